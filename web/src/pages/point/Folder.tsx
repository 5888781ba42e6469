// The names in a folder of a point, folders first.
// Never knows: where the folder is.

import { type ReactNode, useMemo } from "react";
import type { EntryText, Listing } from "../../api/schema";
import { Moment } from "../../parts/Moment";
import { bytes } from "../../say/bytes";

interface Ways {
  into: (name: string) => void;
  /** The address of a file. */
  file: (name: string) => string;
  /** The address of a folder as an archive. */
  archive: (name: string) => string;
}

export function Folder(props: { listing: Listing } & Ways): ReactNode {
  const { listing } = props;
  const entries = useMemo(() => [...listing.entries].sort(byKind), [listing]);
  if (entries.length === 0) return <p className="empty">This folder is empty.</p>;
  return (
    <>
      <div className="table cards dense" tabIndex={0} role="region" aria-label="Names in this folder">
        <table className="files">
          <thead>
            <tr>
              <th scope="col">Name</th>
              <th scope="col" className="number">
                Size
              </th>
              <th scope="col">Modified</th>
              <th scope="col">Owner and rights</th>
              <th scope="col">
                <span className="out-of-sight">Download</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {entries.map((entry) => (
              <Row key={entry.name} entry={entry} into={props.into} file={props.file} archive={props.archive} />
            ))}
          </tbody>
        </table>
      </div>
      {listing.cut && <p className="empty">There are more names than are listed. The command line lists them all.</p>}
    </>
  );
}

function Row(props: { entry: EntryText } & Ways): ReactNode {
  const { entry } = props;
  return (
    <tr>
      <td className="name">
        <Name {...props} />
      </td>
      <td className="number">{entry.kind === "file" ? bytes(entry.bytes) : ""}</td>
      <td data-label="Modified">
        <Moment at={entry.modified} />
      </td>
      <td className="mono rights">
        {entry.uid}:{entry.gid} {entry.permissions.toString(8).padStart(4, "0")}
      </td>
      <td>
        {entry.kind === "directory" && (
          <a className="button small" href={props.archive(entry.name)} download={`${entry.name}.tar`}>
            Download<span className="out-of-sight"> the folder {entry.name}</span>
          </a>
        )}
      </td>
    </tr>
  );
}

function Name(props: { entry: EntryText } & Ways): ReactNode {
  const { entry } = props;
  if (entry.kind === "directory") {
    return (
      <button type="button" onClick={() => props.into(entry.name)}>
        {entry.name}/
      </button>
    );
  }
  if (entry.kind === "file") {
    return (
      <a href={props.file(entry.name)} download={entry.name}>
        {entry.name}
      </a>
    );
  }
  return (
    <>
      {entry.name} <span className="quiet">({entry.kind})</span>
    </>
  );
}

function byKind(a: EntryText, b: EntryText): number {
  const [one, other] = [a.kind === "directory" ? 0 : 1, b.kind === "directory" ? 0 : 1];
  return one - other || a.name.localeCompare(b.name);
}
