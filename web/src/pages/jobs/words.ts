// What jobs do and did, in words. Pure.
// Never knows: how jobs are started.

import type { JobText, Keep, Work } from "../../api/schema";
import { bytes, count } from "../../say/bytes";
import { length } from "../../say/time";

/** What a job does, in a few words. */
export function title(work: Work): string {
  switch (work.kind) {
    case "forget":
      if ((work.points ?? []).length > 0) return `Forget ${count((work.points ?? []).length)} points of ${work.machine ?? ""}`;
      return work.machine === null || work.machine === undefined ? "Forget points of all machines" : `Forget points of ${work.machine}`;
    case "reclaim":
      return "Reclaim space";
    case "restore":
      return `Restore ${work.machine}${work.disk === null || work.disk === undefined ? "" : `:${work.disk}`}, point ${count(work.point)}, to ${work.to}`;
    case "check":
      return work.read_data === true ? "Check everything, and the data" : "Check everything but the data";
    default:
      return (work as { kind: string }).kind;
  }
}

/** What is kept: `all for 1 d, hourly for 30 d`. */
export function keeps(keep: Keep): string {
  const words: [number | undefined, string][] = [
    [keep.all, "all"],
    [keep.minutely, "one a minute"],
    [keep.hourly, "one an hour"],
    [keep.daily, "one a day"],
    [keep.monthly, "one a month"],
    [keep.yearly, "one a year"],
  ];
  const said = words.filter(([seconds]) => (seconds ?? 0) > 0).map(([seconds, word]) => `${word} for ${length((seconds ?? 0) * 1000)}`);
  return said.length === 0 ? "nothing" : said.join(", ");
}

function number(value: unknown): number {
  return typeof value === "number" ? value : 0;
}

/** What came of a job. */
export function outcome(job: JobText): string {
  const told: unknown = job.result;
  if (typeof told === "string") return told;
  if (typeof told !== "object" || told === null) return "";
  const said = told as Record<string, unknown>;
  if ("dropped" in said) return `${count(number(said.dropped))} points forgotten, ${count(number(said.kept))} kept`;
  if ("freed_bytes" in said) return `${bytes(number(said.freed_bytes))} freed`;
  if ("clean" in said) {
    const defects = Array.isArray(said.defects) ? said.defects.map(String) : [];
    return said.clean === true ? `all is well; ${bytes(number(said.read_bytes))} read` : `damage: ${defects.join("; ")}`;
  }
  if ("written_bytes" in said) return restored(said);
  return Object.entries(said).map(([name, value]) => `${name.replaceAll("_", " ")}: ${String(value)}`).join(", ");
}

/** What came of a restore; what is damaged is named. */
function restored(said: Record<string, unknown>): string {
  const compared = number(said.compared_bytes) > 0 ? `, ${bytes(number(said.compared_bytes))} compared` : "";
  const all = `${bytes(number(said.written_bytes))} written to ${String(said.file)}${compared}`;
  const lost = Array.isArray(said.unreadable) ? (said.unreadable as { from: number; to: number; why: string }[]) : [];
  if (lost.length === 0) return all;
  return `${all}; damaged, and not restored: ${lost.map((one) => `bytes ${count(one.from)} to ${count(one.to)}`).join(", ")}`;
}

/** What a plan says would be done. */
export function plan(work: Work, told: Record<string, unknown>): string[] {
  if (work.kind === "reclaim") return [`${bytes(number(told.free_bytes))} would be freed: ${count(number(told.packs))} packs deleted, ${count(number(told.rewrite))} rewritten.`];
  if (work.kind === "forget" && Array.isArray(told.machines)) {
    const machines = told.machines as { machine: string; drop: { time: string }[]; keep: number }[];
    return machines.map((one) => `${one.machine}: ${count(one.drop.length)} points would go, ${count(one.keep)} stay.`);
  }
  return [];
}
