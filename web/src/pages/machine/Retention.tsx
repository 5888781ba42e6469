// What will be left of the points, in words, and the choice of when that is.
// Never knows: how it is drawn.

import { type ReactNode, useEffect } from "react";
import type { MachineText } from "../../api/schema";
import { useAsked } from "../../api/useAsked";
import { useSession } from "../../app/session";
import { Choice } from "../../parts/Field";
import { Link } from "../../parts/Link";
import { Moment } from "../../parts/Moment";
import { FailureNote } from "../../parts/Note";
import { count } from "../../say/bytes";
import { DAY, moment } from "../../say/time";
import { keeps } from "../jobs/words";

const AHEAD = [
  [0, "now"],
  [1, "in a day"],
  [7, "in a week"],
  [30, "in 30 days"],
  [365, "in a year"],
] as const;

/** `at`: the moment that is asked for; nothing: now. */
export function Retention(props: { machine: MachineText; at: number | null; now: () => number; set: (at: number | null) => void }): ReactNode {
  const { machine, at, set } = props;
  const session = useSession();
  const query = { columns: 1, ...(at === null ? {} : { at: new Date(at).toISOString() }) };
  const asked = useAsked("machines/{machine}/retention", { machine: machine.name }, query);
  const again = asked.again;
  useEffect(again, [machine.points, again]);
  const keep = asked.answer?.keep;
  return (
    <div className="row retention">
      <Choice
        narrow
        label="Points as they will be"
        onChange={(event) => {
          const days = Number(event.target.value);
          set(days === 0 ? null : props.now() + days * DAY);
        }}
      >
        {AHEAD.map(([days, word]) => (
          <option key={days} value={days}>
            {word}
          </option>
        ))}
      </Choice>
      <div role="status">
        <FailureNote why={asked.failure} />
        {asked.answer !== null && (keep === null || keep === undefined) && (
          <p>
            No points are forgotten by themselves. {session.may("configure") && <Link to="/jobs">Say how long they are kept</Link>}
          </p>
        )}
        {asked.answer !== null && keep !== null && keep !== undefined && (
          <>
            {at !== null && <p>{left(machine.points, asked.answer.left[0] ?? 0, at)}</p>}
            <p className="quiet">
              Kept: {keeps(keep)}. Points are forgotten next at <Moment at={asked.answer.next} />.
            </p>
          </>
        )}
      </div>
    </div>
  );
}

function left(all: number, some: number, at: number): string {
  const these = all === 1 ? "the one point there is" : `these ${count(all)} points`;
  return `Of ${these} ${count(some)} will be left at ${moment(at)}.`;
}
