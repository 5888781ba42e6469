// A folder of a point: to go through, to search, to download from.
// Never knows: disks and partitions.

import { type FormEvent, type ReactNode, useMemo, useState } from "react";
import { address, get } from "../../api/client";
import type { FoundText } from "../../api/schema";
import { useAsked } from "../../api/useAsked";
import { Field } from "../../parts/Field";
import { FailureNote } from "../../parts/Note";
import { Shown } from "../../parts/Shown";
import { useDoing } from "../../parts/useDoing";
import { count } from "../../say/bytes";
import type { Place } from "./Browse";
import { Folder } from "./Folder";
import { above, below, steps } from "./paths";

export function Files(props: { place: Place }): ReactNode {
  const { machine, point, disk, partition } = props.place;
  const [path, setPath] = useState("/");
  const where = useMemo(() => (partition === null ? { disk, path } : { disk, partition, path }), [disk, partition, path]);
  const asked = useAsked("machines/{machine}/points/{point}/files", { machine, point }, where);
  const file = (name: string): string => address("machines/{machine}/points/{point}/file", { machine, point }, { ...where, path: below(path, name) });
  const archive = (name: string): string =>
    address("machines/{machine}/points/{point}/archive", { machine, point }, { ...where, path: name === "" ? path : below(path, name) });
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
        <a className="button small" href={archive("")} download={`${steps(path).at(-1)?.name.replaceAll("/", "") || machine}.tar`}>
          Download this folder
        </a>
      </header>
      <Find key={path} where={where} place={props.place} open={(found) => setPath(above(found))} />
      <Shown asked={asked}>{(listing) => <Folder listing={listing} into={(name) => setPath(below(path, name))} file={file} archive={archive} />}</Shown>
    </div>
  );
}

/** Looks for names in this folder and below it. */
function Find(props: { where: { disk: string; partition?: number; path: string }; place: Place; open: (path: string) => void }): ReactNode {
  const { machine, point } = props.place;
  const [pattern, setPattern] = useState("");
  const [found, setFound] = useState<FoundText | null>(null);
  const doing = useDoing();
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    void doing.run(async () => setFound(await get("machines/{machine}/points/{point}/find", { machine, point }, { ...props.where, pattern })));
  };
  return (
    <form className="inset stack" onSubmit={submit} role="search">
      <div className="row">
        <Field label="Find a name, here and below" type="search" value={pattern} onChange={(event) => setPattern(event.target.value)} required />
        <button type="submit" disabled={doing.busy}>
          Find
        </button>
      </div>
      <FailureNote why={doing.failure} />
      {found !== null && (
        <div role="status">
          {count(found.paths.length)} found{found.cut ? "; there are more" : ""}.
          <ul className="found">
            {found.paths.map((path) => (
              <li key={path}>
                <button type="button" className="plain small mono" onClick={() => props.open(path)}>
                  {path}
                </button>
              </li>
            ))}
          </ul>
          {found.unreadable.length > 0 && <p className="trouble">These folders could not be read: {found.unreadable.join(", ")}</p>}
        </div>
      )}
    </form>
  );
}
