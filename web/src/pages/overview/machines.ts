// What the overview says of a machine, from what the API says. Pure.
// Never knows: how it looks.

import type { MachineText } from "../../api/schema";
import { ago, length, moment } from "../../say/time";

/** A machine, and when that was so by this computer's clock: ages go on from there, whatever the clocks say. */
export interface Seen {
  machine: MachineText;
  /** The moment of its newest point on this computer's clock. */
  newest: number | null;
}

export function seen(machine: MachineText, now: number): Seen {
  const age = machine.age_seconds;
  return { machine, newest: age === null || age === undefined ? null : now - age * 1000 };
}

/** How it does, in a few words; the first trouble if there is any. */
export function state(machine: MachineText): { word: string; look: "bad" | "well" | "held" } {
  if (machine.suspended !== null && machine.suspended !== undefined) return { word: "suspended", look: "held" };
  switch (machine.trouble[0]) {
    case "late":
      return { word: "late", look: "bad" };
    case "empty":
      return { word: "no point yet", look: "bad" };
    case "away":
      return { word: "agent away", look: "bad" };
    default:
  }
  return { word: "well", look: "well" };
}

/** `until 2026-11-23 14:00:00: maintenance`; nothing of one that is not suspended. */
export function suspension(machine: MachineText): string {
  const { suspended } = machine;
  if (suspended === null || suspended === undefined) return "";
  return `until ${moment(suspended.until)}: ${suspended.reason}`;
}

/** `12 s ago`. */
export function age(one: Seen, now: number): string {
  return one.newest === null ? "never" : ago(now - one.newest);
}

/** `every 10 s`. */
export function promise(machine: MachineText): string {
  const every = machine.promise_seconds;
  return every === null || every === undefined || every === 0 ? "none" : `every ${length(every * 1000)}`;
}

/** How much of the promise has passed; nothing where none was made. */
export function passed(one: Seen, now: number): number | null {
  const every = one.machine.promise_seconds;
  if (every === null || every === undefined || every === 0 || one.newest === null) return null;
  return (now - one.newest) / (every * 1000);
}

/** Whether a machine is among those that are looked for. */
export function found(machine: MachineText, words: string, only: boolean): boolean {
  if (only && machine.trouble.length === 0) return false;
  const wanted = words.toLowerCase().split(/\s+/).filter((word) => word !== "");
  const text = `${machine.name} ${machine.vault} ${state(machine).word} ${suspension(machine)}`.toLowerCase();
  return wanted.every((word) => text.includes(word));
}
