// A machine's timeline as pages need it: its ends, its sums, its gaps, the points of what is seen; and all that kept new.
// Never knows: how it is shown.

import { useEffect, useRef, useState } from "react";
import { Failure, get } from "../api/client";
import { useNews } from "../api/news";
import type { GapText, PointText } from "../api/schema";
import { type Asked, useAsked, useAsking } from "../api/useAsked";
import { Columns, type Figures } from "./columns";
import { asked, useCalm, ViewStore } from "./store";

/** Points are drawn one by one up to so many. */
const FEW = 300;
/** What happens in so short a time is shown together. */
const TOGETHER_MS = 1000;

export interface Line {
  store: ViewStore;
  columns: Columns;
  /** How far the server's clock is ahead of the one here. */
  ahead: number;
}

/** The sums of a time, without what lies exactly at its end: that is in the next piece. */
async function ask(machine: string, from: number, to: number, columns: number, signal: AbortSignal): Promise<Figures> {
  const end = new Date(to - 1).toISOString().replace("Z", "999999Z");
  const found = await get("machines/{machine}/density", { machine }, { from: new Date(from).toISOString(), to: end, columns }, signal);
  return { points: found.points, changed: found.changed_bytes, stored: found.stored_bytes, read: found.read_bytes, frozen: found.frozen_ms };
}

/** Nothing while it is awaited, and for a machine without points. */
export function useLine(machine: string, chosen: number | null): { line: Line | null; failure: Failure | null } {
  const ends = useAsked("machines/{machine}/density", { machine }, { columns: 1 });
  const [line, setLine] = useState<Line | null>(null);
  const begin = useRef(chosen);
  const { answer } = ends;
  const some = (answer?.points[0] ?? 0) > 0;
  useEffect(() => {
    if (answer === null || !some) return undefined;
    const store = new ViewStore({ from: Date.parse(answer.from), to: Date.parse(answer.to) }, begin.current);
    const columns = new Columns((from, to, count, signal) => ask(machine, from, to, count, signal), () => store.redraw());
    setLine({ store, columns, ahead: Date.parse(answer.to) - Date.now() });
    return () => columns.end();
  }, [machine, answer, some]);
  useNews((news) => {
    // The first point of all.
    if (!some && news.event === "point" && news.machine === machine) ends.again();
  });
  return { line, failure: ends.failure };
}

/** Time passes, and points are made. */
export function useLive(machine: string, line: Line, made: () => void): void {
  const waiting = useRef<number[]>([]);
  const telling = useRef(made);
  telling.current = made;
  useNews((news) => {
    if (news.event === "missed") line.columns.doubtAll();
    if (news.event === "point" && news.machine === machine) waiting.current.push(Date.parse(news.time));
  });
  useEffect(() => {
    const timer = setInterval(() => {
      line.store.reach(Date.now() + line.ahead);
      if (waiting.current.length === 0) return;
      for (const at of waiting.current) line.columns.touched(at);
      waiting.current = [];
      telling.current();
    }, TOGETHER_MS);
    return () => clearInterval(timer);
  }, [line]);
}

/** The points of what is seen, if they are few; else none. */
export function useFewPoints(machine: string, line: Line): { points: PointText[]; again: () => void } {
  const times = asked(useCalm(line.store));
  const few = useAsking(`${machine} ${times.from} ${times.to}`, (signal) =>
    get("machines/{machine}/points", { machine }, { ...times, limit: FEW }, signal),
  );
  const held = useRef<PointText[]>([]);
  if (few.answer !== null) held.current = few.answer.next === null || few.answer.next === undefined ? few.answer.points : [];
  return { points: held.current, again: few.again };
}

/** The newest point that is not after a moment; the newest of all if none is said. */
export function usePointAt(machine: string, at: number | null): Asked<PointText | null> {
  // Points are more exact than clocks here: all of the millisecond is meant.
  const to = at === null ? {} : { to: new Date(at).toISOString().replace("Z", "999999Z") };
  return useAsking(`${machine} ${to.to}`, async (signal) => {
    const page = await get("machines/{machine}/points", { machine }, { ...to, limit: 1 }, signal);
    return page.points[0] ?? null;
  });
}

export function useGaps(machine: string): Asked<GapText[]> {
  return useAsked("machines/{machine}/gaps", { machine });
}
