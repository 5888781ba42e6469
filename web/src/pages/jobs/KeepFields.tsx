// How long points are kept: a number and a unit for each kind of spacing.
// Never knows: which points those are.

import type { ReactNode } from "react";
import type { Keep } from "../../api/schema";
import { Field } from "../../parts/Field";

const DAY = 86_400;
const TIERS: [keyof Keep, string][] = [
  ["all", "All, for days"],
  ["hourly", "One an hour, for days"],
  ["daily", "One a day, for days"],
  ["monthly", "One a month, for days"],
  ["yearly", "One a year, for days"],
];

/** What is meant by somebody who says nothing else. */
export const USUAL: Keep = { all: 2 * DAY, hourly: 14 * DAY, daily: 90 * DAY, monthly: 730 * DAY };

export function KeepFields(props: { keep: Keep; set: (keep: Keep) => void }): ReactNode {
  return (
    <div className="row">
      {TIERS.map(([name, label]) => (
        <Field
          key={name}
          label={label}
          type="number"
          min={0}
          step="any"
          value={(props.keep[name] ?? 0) / DAY}
          onChange={(event) => props.set({ ...props.keep, [name]: Math.max(0, Math.round(Number(event.target.value) * DAY)) })}
        />
      ))}
    </div>
  );
}
