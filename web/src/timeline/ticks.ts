// Where the axis of a timeline has its ticks, and what they say, in the zone of whoever looks. Pure.
// Never knows: how it is drawn.

import { span, type View } from "./view";

export interface Tick {
  at: number;
  label: string;
  /** The first of something larger: a day, a month, a year. */
  strong: boolean;
}

type Unit = "ms" | "day" | "month" | "year";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Steps, from fine to coarse, with about how long they are. */
const STEPS: { unit: Unit; by: number; about: number }[] = [
  ...[1, 2, 5, 10, 30].map((by) => ({ unit: "ms" as Unit, by: by * SECOND, about: by * SECOND })),
  ...[1, 2, 5, 10, 30].map((by) => ({ unit: "ms" as Unit, by: by * MINUTE, about: by * MINUTE })),
  ...[1, 3, 6, 12].map((by) => ({ unit: "ms" as Unit, by: by * HOUR, about: by * HOUR })),
  ...[1, 2, 7].map((by) => ({ unit: "day" as Unit, by, about: by * DAY })),
  ...[1, 3, 6].map((by) => ({ unit: "month" as Unit, by, about: by * 30 * DAY })),
  ...[1, 2, 5, 10].map((by) => ({ unit: "year" as Unit, by, about: by * 365 * DAY })),
];

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const two = (value: number): string => String(value).padStart(2, "0");

/** Ticks that are not nearer to each other than a share of the view. */
export function ticks(view: View, most: number): Tick[] {
  const step = STEPS.find((one) => span(view) / one.about <= most) ?? STEPS[STEPS.length - 1];
  if (step === undefined) return [];
  const found: Tick[] = [];
  for (let date = begin(view.from, step); date.getTime() <= view.to && found.length < 100; date = next(date, step)) {
    if (date.getTime() >= view.from) found.push(tick(date, step.unit, step.by));
  }
  return found;
}

function begin(from: number, step: { unit: Unit; by: number }): Date {
  const date = new Date(from);
  switch (step.unit) {
    case "year":
      return new Date(date.getFullYear() - (date.getFullYear() % step.by), 0, 1);
    case "month":
      return new Date(date.getFullYear(), date.getMonth() - (date.getMonth() % step.by), 1);
    case "day":
      return new Date(date.getFullYear(), date.getMonth(), date.getDate() - ((date.getDate() - 1) % step.by));
    default: {
      // From local midnight on, so that hours are whole where the zone's offset is not.
      const midnight = new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
      return new Date(midnight + Math.floor((from - midnight) / step.by) * step.by);
    }
  }
}

function next(date: Date, step: { unit: Unit; by: number }): Date {
  switch (step.unit) {
    case "year":
      return new Date(date.getFullYear() + step.by, 0, 1);
    case "month":
      return new Date(date.getFullYear(), date.getMonth() + step.by, 1);
    case "day": {
      const later = new Date(date.getFullYear(), date.getMonth(), date.getDate() + step.by);
      // Counting begins anew with each month.
      return later.getMonth() === date.getMonth() ? later : new Date(date.getFullYear(), date.getMonth() + 1, 1);
    }
    default:
      return new Date(date.getTime() + step.by);
  }
}

function tick(date: Date, unit: Unit, by: number): Tick {
  const at = date.getTime();
  const midnight = date.getHours() === 0 && date.getMinutes() === 0 && date.getSeconds() === 0;
  if (unit === "year" || (date.getMonth() === 0 && date.getDate() === 1 && midnight)) {
    return { at, label: String(date.getFullYear()), strong: true };
  }
  if (unit === "month") return { at, label: MONTHS[date.getMonth()] ?? "", strong: false };
  if (unit === "day") return { at, label: `${date.getDate()} ${MONTHS[date.getMonth()]}`, strong: date.getDate() === 1 };
  if (midnight) return { at, label: `${date.getDate()} ${MONTHS[date.getMonth()]}`, strong: true };
  const minutes = `${two(date.getHours())}:${two(date.getMinutes())}`;
  return { at, label: by < MINUTE ? `${minutes}:${two(date.getSeconds())}` : minutes, strong: false };
}
