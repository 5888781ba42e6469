// Getting a whole disk back: into a folder of the server, or elsewhere by the command line.
// Never knows: how a disk is written.

import { type FormEvent, type ReactNode, useState } from "react";
import { post } from "../../api/client";
import type { DiskParts, PointText } from "../../api/schema";
import { Copied } from "../../parts/Copied";
import { Check, Choice, Field } from "../../parts/Field";
import { FailureNote } from "../../parts/Note";
import { useDoing } from "../../parts/useDoing";
import { Progress } from "../jobs/Progress";

export function RestoreDisk(props: { machine: string; point: PointText; disks: DiskParts[] }): ReactNode {
  const { machine, point, disks } = props;
  const [disk, setDisk] = useState(disks[0]?.disk ?? "");
  const [to, setTo] = useState(`${machine}.img`.replaceAll(/[^A-Za-z0-9._-]/g, "_"));
  const [delta, setDelta] = useState(false);
  const [job, setJob] = useState<number | null>(null);
  const doing = useDoing();
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    setJob(null);
    void doing.run(async () => setJob((await post("restores", { machine, point: point.point, disk, to, delta })).id));
  };
  if (disks.length === 0) return null;
  return (
    <section className="sheet stack" aria-labelledby="restore">
      <h2 id="restore">Restore a whole disk</h2>
      <Choice label="Disk" value={disk} onChange={(event) => setDisk(event.target.value)}>
        {disks.map((one) => (
          <option key={one.disk}>{one.disk}</option>
        ))}
      </Choice>
      <div className="columns">
        <form className="stack" onSubmit={submit} aria-label="Into the server's folder">
          <h3>Into the server&apos;s folder for restores</h3>
          <Field label="File" value={to} onChange={(event) => setTo(event.target.value)} required spellCheck={false} autoCapitalize="none" />
          <Check label="The file is there: write only what differs" checked={delta} onChange={(event) => setDelta(event.target.checked)} />
          <FailureNote why={doing.failure} />
          {job !== null && <Progress key={job} job={job} />}
          <div>
            <button type="submit" className="main" disabled={doing.busy}>
              Restore
            </button>
          </div>
        </form>
        <div className="stack">
          <h3>Elsewhere, by the command line</h3>
          <p className="quiet">
            On any machine that reaches this server, after <code>backstay login {window.location.origin}</code> there; TARGET is a device or a
            file.
          </p>
          <Copied label="the command" text={command(machine, disk, disks.length, point)} />
        </div>
      </div>
    </section>
  );
}

function quoted(word: string): string {
  return /^[A-Za-z0-9_.:/-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

function command(machine: string, disk: string, disks: number, point: PointText): string {
  const what = disks > 1 ? `${machine}:${disk}` : machine;
  return `backstay restore --server ${window.location.origin} ${quoted(what)} --at ${quoted(point.time)} --to TARGET`;
}
