// What is promised of a machine, set by administrators.
// Never knows: what its agent does.

import { type ReactNode, useState } from "react";
import { put } from "../../api/client";
import type { MachineText } from "../../api/schema";
import { Ask } from "../../parts/Ask";
import { Field } from "../../parts/Field";

export function PromiseOf(props: { about: MachineText; again: () => void }): ReactNode {
  const { about, again } = props;
  const [seconds, setSeconds] = useState(about.promise_by === null || about.promise_by === undefined ? "" : String(about.promise_seconds ?? ""));
  const promise = async (): Promise<void> => {
    await put("machines/{machine}/promise", { seconds: seconds === "" ? null : Number(seconds) }, { machine: about.name });
    again();
  };
  return (
    <Ask label="Promise points" title={`Points of ${about.name}`} act="Promise" do={promise}>
      <p>If there is no point for longer than that, it is late, and an alert.</p>
      <Field
        label="A point at least every so many seconds"
        about="Empty: what the settings say, or its agent. 0: none is promised."
        type="number"
        min={0}
        value={seconds}
        onChange={(event) => setSeconds(event.target.value)}
      />
    </Ask>
  );
}
