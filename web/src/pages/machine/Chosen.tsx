// The moment that is chosen, the point that answers for it, and the ways from there.
// Never knows: how a moment was chosen.

import { type FormEvent, type ReactNode, useEffect, useState } from "react";
import type { MachineText, PointText } from "../../api/schema";
import type { Asked } from "../../api/useAsked";
import { place } from "../../app/router";
import { useSession } from "../../app/session";
import { Field } from "../../parts/Field";
import { Link } from "../../parts/Link";
import { Moment } from "../../parts/Moment";
import { FailureNote } from "../../parts/Note";
import { bytes, count } from "../../say/bytes";
import { length, read, typed, zone } from "../../say/time";
import { useCalm, type ViewStore } from "../../timeline/store";
import { keptInWords } from "./kept";

export function Chosen(props: { machine: MachineText; store: ViewStore; point: Asked<PointText | null> }): ReactNode {
  const { store, machine } = props;
  const { chosen, bounds } = useCalm(store);
  const [text, setText] = useState(typed(chosen));
  useEffect(() => setText(typed(chosen)), [chosen]);
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    const at = read(text);
    // To the end of the second that was typed: a point within it is meant.
    if (at !== null) store.choose(at + 999);
  };
  return (
    <div className="stack">
      <form className="row" onSubmit={submit}>
        <Field narrow label="Moment" about={zone()} type="datetime-local" step={1} value={text} onChange={(event) => setText(event.target.value)} />
        <button type="submit">Go there</button>
        <button type="button" onClick={() => store.choose(bounds.to)} disabled={chosen === bounds.to}>
          Newest
        </button>
      </form>
      <div aria-live="polite">
        <FailureNote why={props.point.failure} />
        {props.point.answer !== null && <Answer machine={machine} point={props.point.answer} chosen={chosen} />}
        {props.point.answer === null && props.point.failure === null && <p className="quiet">There is no point at or before this moment.</p>}
      </div>
    </div>
  );
}

function Answer(props: { machine: MachineText; point: PointText; chosen: number }): ReactNode {
  const { machine, point } = props;
  const session = useSession();
  const before = props.chosen - Date.parse(point.time);
  return (
    <div className="note good">
      <div className="row apart">
        <div>
          <strong>Point {count(point.point)}</strong> shows <Moment at={point.time} />
          {before >= 1000 && `, ${length(before)} before the moment chosen`}
          <br />
          {point.consistent ? "Consistent: what is in it hangs together." : "Fuzzy: disks changed while they were read."}{" "}
          {point.disks.length} {point.disks.length === 1 ? "disk" : "disks"}, {bytes(point.stored_bytes)} stored.{" "}
          {keptInWords(point.kept, Date.now())}
          {point.note !== "" && (
            <>
              <br />
              Note: {point.note}
            </>
          )}
        </div>
        {session.may("read", machine.name, machine.vault) ? (
          <Link className="button main" to={place("machines", machine.name, "points", point.point)}>
            Look inside and restore
          </Link>
        ) : (
          <Link className="button" to={place("machines", machine.name, "points", point.point)}>
            This point
          </Link>
        )}
      </div>
    </div>
  );
}
