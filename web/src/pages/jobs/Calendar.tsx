// When jobs are due; administrators set it.
// Never knows: jobs that ran.

import { type FormEvent, type ReactNode, useState } from "react";
import { put } from "../../api/client";
import type { DueText, Work } from "../../api/schema";
import { useAsked } from "../../api/useAsked";
import { useSession } from "../../app/session";
import { Choice, Field } from "../../parts/Field";
import { Dialog } from "../../parts/Dialog";
import { Moment } from "../../parts/Moment";
import { FailureNote } from "../../parts/Note";
import { Shown } from "../../parts/Shown";
import { useDoing } from "../../parts/useDoing";
import { length, read, typed } from "../../say/time";
import { KeepFields, USUAL } from "./KeepFields";
import { keeps, title } from "./words";

export function Calendar(): ReactNode {
  const asked = useAsked("calendar");
  const session = useSession();
  const [open, setOpen] = useState<DueText | null>(null);
  const fresh: DueText = { work: { kind: "forget", machine: null, keep: USUAL }, every_seconds: 86_400 };
  return (
    <section className="sheet bare" aria-labelledby="calendar">
      <header className="row apart">
        <h2 id="calendar">Calendar</h2>
        {session.may("configure") && (
          <button type="button" className="small" onClick={() => setOpen(fresh)}>
            Set a time
          </button>
        )}
      </header>
      <Shown asked={asked}>
        {(dues) =>
          dues.length === 0 ? (
            <p className="empty">No job is due by itself.</p>
          ) : (
            <div className="table cards" tabIndex={0} role="region" aria-label="When jobs are due">
              <table>
                <thead>
                  <tr>
                    <th scope="col">Job</th>
                    <th scope="col">Every</th>
                    <th scope="col">Next</th>
                    <th scope="col">Keeps</th>
                    {session.may("configure") && (
                      <th scope="col">
                        <span className="out-of-sight">Change</span>
                      </th>
                    )}
                  </tr>
                </thead>
                <tbody>
                  {dues.map((due) => (
                    <tr key={due.work.kind}>
                      <td>{title(due.work)}</td>
                      <td data-label="Every">{due.every_seconds === 0 ? "never" : length(due.every_seconds * 1000)}</td>
                      <td data-label="Next">{due.every_seconds === 0 ? "" : <Moment at={due.next} />}</td>
                      <td className="wide">{due.work.kind === "forget" ? keeps(due.work.keep ?? {}) : ""}</td>
                      {session.may("configure") && (
                        <td>
                          <button type="button" className="small" onClick={() => setOpen(due)}>
                            Change<span className="out-of-sight"> {due.work.kind}</span>
                          </button>
                        </td>
                      )}
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )
        }
      </Shown>
      {open !== null && (
        <Edit
          due={open}
          close={(changed) => {
            setOpen(null);
            if (changed) asked.again();
          }}
        />
      )}
    </section>
  );
}

function Edit(props: { due: DueText; close: (changed: boolean) => void }): ReactNode {
  const [work, setWork] = useState<Work>(props.due.work);
  const [hours, setHours] = useState(props.due.every_seconds / 3600);
  const [next, setNext] = useState(props.due.next === null || props.due.next === undefined ? "" : typed(Date.parse(props.due.next)));
  const doing = useDoing();
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    const at = read(next);
    void doing
      .run(async () => {
        await put("calendar", { work, every_seconds: Math.round(hours * 3600), next: at === null ? null : new Date(at).toISOString() });
      })
      .then((done) => (done ? props.close(true) : undefined));
  };
  return (
    <Dialog title="When a job is due" close={() => props.close(false)}>
      <form className="stack" onSubmit={submit}>
        <Choice
          label="Job"
          value={work.kind}
          onChange={(event) => {
            const kind = event.target.value as Work["kind"];
            setWork(kind === "forget" ? { kind, machine: null, keep: USUAL } : kind === "check" ? { kind, read_data: true } : { kind: "reclaim" });
          }}
        >
          <option value="forget">Forget points</option>
          <option value="reclaim">Reclaim space</option>
          <option value="check">Check</option>
        </Choice>
        {work.kind === "forget" && <KeepFields keep={work.keep ?? {}} set={(keep) => setWork({ ...work, keep })} />}
        <Field label="Every so many hours" about="0: never." type="number" min={0} step="any" value={hours} onChange={(event) => setHours(Number(event.target.value))} required />
        <Field label="Next" about="Empty: one interval from now." type="datetime-local" step={1} value={next} onChange={(event) => setNext(event.target.value)} />
        <FailureNote why={doing.failure} />
        <div className="row end">
          <button type="button" onClick={() => props.close(false)}>
            Cancel
          </button>
          <button type="submit" className="main" disabled={doing.busy}>
            Set
          </button>
        </div>
      </form>
    </Dialog>
  );
}
