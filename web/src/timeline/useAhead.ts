// What will be left of a timeline's points at a later moment, as sums for its picture.
// Never knows: how it is shown, or what is kept.

import { useEffect, useState } from "react";
import { get } from "../api/client";
import { useNews } from "../api/news";
import { Columns, type Figures } from "./columns";
import type { ViewStore } from "./store";

/** Nothing but points is known of what is to come. */
const NOTHING = { changed: [], stored: [], read: [], frozen: [] };

async function ask(machine: string, at: number, [from, to, columns]: [number, number, number], signal: AbortSignal): Promise<Figures> {
  const end = new Date(to - 1).toISOString().replace("Z", "999999Z");
  const query = { from: new Date(from).toISOString(), to: end, columns, at: new Date(at).toISOString() };
  const found = await get("machines/{machine}/retention", { machine }, query, signal);
  return { ...NOTHING, points: found.left };
}

/** Nothing while no moment is asked for. */
export function useAhead(machine: string, store: ViewStore, at: number | null): Columns | null {
  const [columns, setColumns] = useState<Columns | null>(null);
  useEffect(() => {
    if (at === null) return undefined;
    const made = new Columns((from, to, count, signal) => ask(machine, at, [from, to, count], signal), () => store.redraw());
    setColumns(made);
    return () => {
      made.end();
      setColumns(null);
    };
  }, [machine, store, at]);
  useNews((news) => {
    if (news.event === "missed") columns?.doubtAll();
    if (news.event === "point" && news.machine === machine) columns?.touched(Date.parse(news.time));
  });
  return columns;
}
