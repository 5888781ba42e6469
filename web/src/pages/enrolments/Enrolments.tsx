// Making machines known: a code, and what is to be typed on the machine.
// Never knows: what machines do afterwards.

import { type FormEvent, type ReactNode, useState } from "react";
import { post, remove } from "../../api/client";
import type { EnrolmentText, NewCode } from "../../api/schema";
import { useAsked } from "../../api/useAsked";
import { Ask } from "../../parts/Ask";
import { Copied } from "../../parts/Copied";
import { Choice, Field } from "../../parts/Field";
import { Moment } from "../../parts/Moment";
import { FailureNote } from "../../parts/Note";
import { Page } from "../../parts/Page";
import { Shown } from "../../parts/Shown";
import { useDoing } from "../../parts/useDoing";

const LENGTHS = [
  [3600, "an hour"],
  [86_400, "a day"],
  [7 * 86_400, "a week"],
] as const;

export function Enrolments(): ReactNode {
  const asked = useAsked("enrolments");
  return (
    <Page title="Enrolments" lead="A code makes one machine known to this server. It is used once.">
      <NewOne made={asked.again} />
      <Shown asked={asked}>{(all) => <Table all={all} again={asked.again} />}</Shown>
    </Page>
  );
}

function NewOne(props: { made: () => void }): ReactNode {
  const [machine, setMachine] = useState("");
  const [seconds, setSeconds] = useState(86_400);
  const [code, setCode] = useState<(NewCode & { machine: string }) | null>(null);
  const doing = useDoing();
  const known = useAsked("machines").answer?.some((one) => one.name === machine && one.enrolled) === true;
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    void doing.run(async () => {
      setCode({ ...(await post("enrolments", { machine, seconds })), machine });
      setMachine("");
      props.made();
    });
  };
  return (
    <form className="sheet stack" onSubmit={submit} aria-labelledby="new-code">
      <h2 id="new-code">New code</h2>
      <div className="row">
        <Field
          label="Machine"
          about={known ? "It is enrolled. Once the code is used, the certificate that it has is taken back: whatever goes by that name now is turned away." : undefined}
          value={machine}
          onChange={(event) => setMachine(event.target.value)}
          required
          maxLength={64}
          autoCapitalize="none"
          spellCheck={false}
        />
        <Choice narrow label="Good for" value={seconds} onChange={(event) => setSeconds(Number(event.target.value))}>
          {LENGTHS.map(([value, word]) => (
            <option key={value} value={value}>
              {word}
            </option>
          ))}
        </Choice>
        <button type="submit" className="main" disabled={doing.busy}>
          Make a code
        </button>
      </div>
      <FailureNote why={doing.failure} />
      {code !== null && (
        <div className="note good stack" role="status">
          <strong>
            For {code.machine}, until <Moment at={code.until} />
          </strong>
          <span>On the machine, as root. The code is shown this once:</span>
          <Copied label="the commands" text={`backstay enroll ${window.location.origin} ${code.code}\nbackstay agent`} />
        </div>
      )}
    </form>
  );
}

function state(one: EnrolmentText): string {
  if (one.used !== null && one.used !== undefined) return "used";
  if (one.revoked !== null && one.revoked !== undefined) return "taken back";
  return Date.parse(one.until) < Date.now() ? "expired" : "open";
}

function Table(props: { all: EnrolmentText[]; again: () => void }): ReactNode {
  if (props.all.length === 0) return <p className="quiet">No code was made yet.</p>;
  return (
    <section className="sheet bare" aria-labelledby="codes">
      <h2 id="codes">Codes, newest first</h2>
      <div className="table cards" tabIndex={0} role="region" aria-label="Codes, newest first">
        <table>
          <thead>
            <tr>
              <th scope="col">Machine</th>
              <th scope="col">State</th>
              <th scope="col">Made</th>
              <th scope="col">By</th>
              <th scope="col">Until</th>
              <th scope="col">
                <span className="out-of-sight">Take back</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {props.all.map((one) => (
              <tr key={one.id}>
                <td>{one.machine}</td>
                <td data-label="State">{state(one)}</td>
                <td data-label="Made">
                  <Moment at={one.created} />
                </td>
                <td data-label="By">{one.by}</td>
                <td data-label="Until">
                  <Moment at={one.until} />
                </td>
                <td>
                  {state(one) === "open" && (
                    <Ask
                      small
                      danger
                      label="Take back"
                      which={`the code of ${one.machine}`}
                      title={`Take the code of ${one.machine} back?`}
                      act="Take it back"
                      do={() => remove("enrolments/{enrolment}", { enrolment: one.id }).then(props.again)}
                    >
                      <p>It cannot be used any more.</p>
                    </Ask>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
