// A folder of a point: to go through, and to download from.
// Never knows: disks and partitions.

import { type ReactNode, useMemo, useState } from "react";
import { address } from "../../api/client";
import type { EntryText, Listing } from "../../api/schema";
import { useAsked } from "../../api/useAsked";
import { Moment } from "../../parts/Moment";
import { Shown } from "../../parts/Shown";
import { bytes } from "../../say/bytes";
import type { Place } from "./Browse";
import { below, steps } from "./paths";

export function Files(props: { place: Place }): ReactNode {
  const { machine, point, disk, partition } = props.place;
  const [path, setPath] = useState("/");
  const query = useMemo(() => (partition === null ? { disk, path } : { disk, partition, path }), [disk, partition, path]);
  const asked = useAsked("machines/{machine}/points/{point}/files", { machine, point }, query);
  const file = (name: string): string =>
    address("machines/{machine}/points/{point}/file", { machine, point }, { disk, partition, path: below(path, name) });
  return (
    <div className="sheet bare">
      <header className="row apart">
        <nav className="path" aria-label="Folder">
          {steps(path).map((step) => (
            <button key={step.path} type="button" className="plain" onClick={() => setPath(step.path)} aria-current={step.path === path ? "page" : undefined}>
              {step.name}
            </button>
          ))}
        </nav>
      </header>
      <Shown asked={asked}>{(listing) => <Folder listing={listing} into={(name) => setPath(below(path, name))} file={file} />}</Shown>
    </div>
  );
}

function Folder(props: { listing: Listing; into: (name: string) => void; file: (name: string) => string }): ReactNode {
  const { listing, into, file } = props;
  const entries = useMemo(() => [...listing.entries].sort(byKind), [listing]);
  if (entries.length === 0) return <p className="empty">This folder is empty.</p>;
  return (
    <>
      <div className="table" tabIndex={0} role="region" aria-label="Names in this folder">
        <table className="files">
          <thead>
            <tr>
              <th scope="col">Name</th>
              <th scope="col" className="number">
                Size
              </th>
              <th scope="col">Modified</th>
              <th scope="col">Owner and rights</th>
            </tr>
          </thead>
          <tbody>
            {entries.map((entry) => (
              <tr key={entry.name}>
                <td className="name">
                  <Name entry={entry} into={into} file={file} />
                </td>
                <td className="number">{entry.kind === "file" ? bytes(entry.bytes) : ""}</td>
                <td>
                  <Moment at={entry.modified} />
                </td>
                <td className="mono">
                  {entry.uid}:{entry.gid} {entry.permissions.toString(8).padStart(4, "0")}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {listing.cut && <p className="empty">There are more names than are listed. The command line lists them all.</p>}
    </>
  );
}

function Name(props: { entry: EntryText; into: (name: string) => void; file: (name: string) => string }): ReactNode {
  const { entry } = props;
  if (entry.kind === "directory") {
    return (
      <button type="button" onClick={() => props.into(entry.name)}>
        {entry.name}/
      </button>
    );
  }
  if (entry.kind !== "file") {
    return (
      <>
        {entry.name} <span className="quiet">({entry.kind})</span>
      </>
    );
  }
  return (
    <a href={props.file(entry.name)} download={entry.name}>
      {entry.name}
    </a>
  );
}

/** Folders first. */
function byKind(a: EntryText, b: EntryText): number {
  const [one, other] = [a.kind === "directory" ? 0 : 1, b.kind === "directory" ? 0 : 1];
  return one - other || a.name.localeCompare(b.name);
}
