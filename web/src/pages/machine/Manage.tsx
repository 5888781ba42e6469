// What is done with a machine: it is suspended and resumed, its certificate is taken back, points of it are promised.
// Never knows: its timeline.

import { type ReactNode, useState } from "react";
import { post, remove } from "../../api/client";
import type { MachineText } from "../../api/schema";
import { useSession } from "../../app/session";
import { Ask } from "../../parts/Ask";
import { Choice, Field } from "../../parts/Field";
import { PromiseOf } from "./PromiseOf";

const HOURS = [
  [1, "an hour"],
  [4, "4 hours"],
  [24, "a day"],
  [7 * 24, "a week"],
  [30 * 24, "30 days"],
] as const;

export function Manage(props: { about: MachineText; again: () => void }): ReactNode {
  const { about, again } = props;
  const session = useSession();
  const [reason, setReason] = useState("");
  const [hours, setHours] = useState(1);
  const [runs, configures] = [session.may("run", about.name, about.vault), session.may("configure")];
  if (!runs && !configures) return null;
  const names = { machine: about.name };
  const suspended = about.suspended !== null && about.suspended !== undefined;
  return (
    <section className="sheet stack" aria-labelledby="manage">
      <h2 id="manage">Manage</h2>
      <div className="row">
        {configures && <PromiseOf about={about} again={again} />}
        {runs && (suspended ? (
          <Ask key="resume" label="Resume" title={`Resume ${about.name}?`} act="Resume" do={() => post("machines/{machine}/resume", null, names).then(again)}>
            <p>Points are made again from now on. What changed meanwhile is in the first of them.</p>
          </Ask>
        ) : (
          <Ask
            key="suspend"
            label="Suspend"
            title={`Suspend ${about.name}?`}
            act="Suspend"
            do={() => post("machines/{machine}/suspend", { reason, seconds: hours * 3600 }, names).then(again)}
          >
            <p>No points are made for this time. It is shown as a gap, with the reason.</p>
            <Field label="Reason" value={reason} onChange={(event) => setReason(event.target.value)} maxLength={300} required />
            <Choice label="For" value={hours} onChange={(event) => setHours(Number(event.target.value))}>
              {HOURS.map(([value, word]) => (
                <option key={value} value={value}>
                  {word}
                </option>
              ))}
            </Choice>
          </Ask>
        ))}
        {runs && about.enrolled && (
          <Ask
            danger
            label="Take the certificate back"
            title={`Take the certificate of ${about.name} back?`}
            act="Take it back"
            do={() => remove("machines/{machine}/certificate", names).then(again)}
          >
            <p>Its agent cannot connect until the machine is enrolled again. Its points stay.</p>
          </Ask>
        )}
      </div>
    </section>
  );
}
