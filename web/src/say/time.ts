// Moments and lengths of time as people read them, in the zone of whoever looks.
// Never knows: what happened then.

const SECOND = 1000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

const two = (value: number): string => String(value).padStart(2, "0");

/** `2026-11-23 03:14:15`, in the local zone. */
export function moment(at: number | string | null | undefined): string {
  if (at === null || at === undefined) return "never";
  const date = new Date(at);
  return `${day(date)} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** The same to the millisecond, where several lie in a second. */
export function exact(at: string): string {
  return `${moment(at)}.${String(new Date(at).getMilliseconds()).padStart(3, "0")}`;
}

function day(date: Date): string {
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

/** The zone's name, to be said once where times are. */
export function zone(): string {
  const name = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const minutes = -new Date().getTimezoneOffset();
  const sign = minutes < 0 ? "−" : "+";
  const offset = `UTC${minutes === 0 ? "" : `${sign}${two(Math.floor(Math.abs(minutes) / 60))}:${two(Math.abs(minutes) % 60)}`}`;
  return name === "" || name === "UTC" ? offset : `${name}, ${offset}`;
}

/** `3 min 20 s`: two units at most. */
export function length(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / SECOND));
  const parts: [number, string][] = [
    [Math.floor(seconds / 86_400), "d"],
    [Math.floor(seconds / 3600) % 24, "h"],
    [Math.floor(seconds / 60) % 60, "min"],
    [seconds % 60, "s"],
  ];
  const first = parts.findIndex(([value]) => value > 0);
  if (first < 0) return "0 s";
  const said = parts.slice(first, first + 2).filter(([value]) => value > 0);
  return said.map(([value, unit]) => `${value} ${unit}`).join(" ");
}

/** `3.2 ms`, `1.25 s`: times that are over in a moment. */
export function short(ms: number): string {
  return ms >= 1000 ? `${(ms / 1000).toFixed(2)} s` : `${ms.toFixed(ms < 100 ? 1 : 0)} ms`;
}

/** `12 s ago`. */
export function ago(ms: number): string {
  return ms < SECOND ? "just now" : `${length(ms)} ago`;
}

/** For a field in which a moment is typed: `2026-11-23T03:14:15`, local. */
export function typed(at: number): string {
  return moment(Math.floor(at / SECOND) * SECOND).replace(" ", "T");
}

/** What was typed in such a field; nothing if it is no moment. */
export function read(text: string): number | null {
  const at = new Date(text).getTime();
  return text === "" || Number.isNaN(at) ? null : at;
}
