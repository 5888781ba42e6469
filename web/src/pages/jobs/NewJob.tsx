// Starting a job: first what it would do, then it. A check changes nothing, and has no plan.
// Never knows: what becomes of it.

import { type FormEvent, type ReactNode, useState } from "react";
import { post } from "../../api/client";
import type { Work } from "../../api/schema";
import { Check, Choice, Field } from "../../parts/Field";
import { FailureNote } from "../../parts/Note";
import { useDoing } from "../../parts/useDoing";
import { KeepFields, USUAL } from "./KeepFields";
import { plan } from "./words";

type Kind = Work["kind"];

export function NewJob(props: { started: () => void }): ReactNode {
  const [work, setWork] = useState<Work>({ kind: "check", read_data: false });
  const [told, setTold] = useState<string[] | null>(null);
  const doing = useDoing();
  const change = (next: Work): void => {
    setWork(next);
    setTold(null);
  };
  const look = (event: FormEvent): void => {
    event.preventDefault();
    if (work.kind === "check") return start();
    void doing.run(async () => setTold(plan(work, await post("plans", work))));
  };
  const start = (): void => {
    void doing.run(async () => {
      await post("jobs", work);
      setTold(null);
      props.started();
    });
  };
  return (
    <form className="sheet stack" onSubmit={look} aria-labelledby="new-job">
      <h2 id="new-job">New job</h2>
      <div className="row">
        <Choice narrow label="Kind" value={work.kind} onChange={(event) => change(usual(event.target.value as Kind))}>
          <option value="check">Check</option>
          <option value="forget">Forget points</option>
          <option value="reclaim">Reclaim space</option>
        </Choice>
        {work.kind === "forget" && (
          <Field
            label="Machine"
            about="Empty: all of them."
            value={work.machine ?? ""}
            onChange={(event) => change({ ...work, machine: event.target.value === "" ? null : event.target.value })}
          />
        )}
      </div>
      {work.kind === "check" && (
        <>
          <p className="quiet">It reads, and changes nothing.</p>
          <Check label="Read the data, too" checked={work.read_data === true} onChange={(event) => change({ kind: "check", read_data: event.target.checked })} />
        </>
      )}
      {work.kind === "forget" && <KeepFields keep={work.keep ?? {}} set={(keep) => change({ ...work, keep })} />}
      <FailureNote why={doing.failure} />
      {told !== null && (
        <div className="note" role="status">
          <strong>What it would do</strong>
          <ul>
            {told.map((line) => (
              <li key={line}>{line}</li>
            ))}
          </ul>
        </div>
      )}
      <div className="row">
        {work.kind !== "check" && (
          <button type="submit" disabled={doing.busy}>
            Show the plan
          </button>
        )}
        <button type="button" className={work.kind === "check" ? "main" : "danger"} disabled={doing.busy || (told === null && work.kind !== "check")} onClick={start}>
          Start
        </button>
      </div>
    </form>
  );
}

function usual(kind: Kind): Work {
  if (kind === "forget") return { kind, machine: null, keep: USUAL };
  return kind === "reclaim" ? { kind } : { kind: "check", read_data: false };
}
