// Looks into a point: its disks, what lies on them, and then folders.
// Never knows: how files are shown.

import { type ReactNode, useState } from "react";
import { useAsked } from "../../api/useAsked";
import type { DiskParts, PartText, PointText } from "../../api/schema";
import { Shown } from "../../parts/Shown";
import { bytes } from "../../say/bytes";
import { Compare } from "./Compare";
import { Files } from "./Files";
import { RestoreDisk } from "./RestoreDisk";

export interface Place {
  machine: string;
  point: number;
  disk: string;
  /** The partition's number; none: the whole disk. */
  partition: number | null;
}

export function Browse(props: { machine: string; point: PointText }): ReactNode {
  const { machine, point } = props;
  const asked = useAsked("machines/{machine}/points/{point}/disks", { machine, point: point.point });
  return <Shown asked={asked}>{(disks) => <Disks machine={machine} point={point} disks={disks} />}</Shown>;
}

/** File systems whose files can be shown. */
const READABLE = ["ext2", "ext3", "ext4", "xfs", "btrfs", "ntfs", "fat", "fat12", "fat16", "fat32", "vfat", "exfat"];

function readable(part: PartText): boolean {
  return READABLE.includes(part.kind.toLowerCase());
}

function Disks(props: { machine: string; point: PointText; disks: DiskParts[] }): ReactNode {
  const { machine, point, disks } = props;
  const all = disks.flatMap((disk) => disk.parts.map((part) => ({ disk: disk.disk, part })));
  const first = all.findIndex(({ part }) => readable(part));
  const [chosen, setChosen] = useState(first);
  const shown = all[chosen];
  const place = shown === undefined ? null : { machine, point: point.point, disk: shown.disk, partition: shown.part.partition ?? null };
  return (
    <section className="stack" aria-labelledby="inside">
      <h2 id="inside">What is in it</h2>
      <div className="sheet bare table cards dense" tabIndex={0} role="region" aria-label="Disks and what lies on them">
        <table>
          <thead>
            <tr>
              <th scope="col">Disk</th>
              <th scope="col">Part</th>
              <th scope="col">Kind</th>
              <th scope="col" className="number">
                Size
              </th>
              <th scope="col" className="number">
                Used
              </th>
              <th scope="col">
                <span className="out-of-sight">Files</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {all.map(({ disk, part }, at) => (
              <tr key={`${disk} ${part.partition ?? ""}`} className={at === chosen ? "chosen" : undefined}>
                <td className="mono">{disk}</td>
                <td>{part.partition === null || part.partition === undefined ? "whole disk" : `partition ${part.partition}`}</td>
                <td>{part.kind}</td>
                <td className="number" data-label="Size">
                  {bytes(part.bytes)}
                </td>
                <td className="number" data-label="Used">
                  {bytes(part.used_bytes)}
                </td>
                <td>
                  {readable(part) && (
                    <button type="button" className="small" aria-pressed={at === chosen} onClick={() => setChosen(at)}>
                      Files<span className="out-of-sight"> of {disk}</span>
                    </button>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {place === null ? (
        <p className="quiet">There is no file system here whose files can be shown. The whole disk can be restored.</p>
      ) : (
        <>
          <Files key={chosen} place={place} />
          <Compare key={`compare ${chosen}`} place={place} point={point} />
        </>
      )}
      <RestoreDisk machine={machine} point={point} disks={disks} />
    </section>
  );
}
