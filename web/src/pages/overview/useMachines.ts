// All machines, as they are now: asked once, kept new by what the server tells, and asked again now and then.
// Never knows: how they are shown.

import { useCallback, useEffect, useRef, useState } from "react";
import { Failure, get } from "../../api/client";
import { type News, useNews } from "../../api/news";
import { type Seen, seen } from "./machines";

/** At least so long between two requests, however much happens. */
const LEAST_MS = 5000;
/** What is late is found by the server: so it is asked, also when nothing happens. */
const MOST_MS = 30_000;

export interface Machines {
  all: Seen[] | null;
  failure: Failure | null;
  again: () => void;
}

export function useMachines(): Machines {
  const [all, setAll] = useState<Seen[] | null>(null);
  const [failure, setFailure] = useState<Failure | null>(null);
  const asked = useRef(0);
  const due = useRef<ReturnType<typeof setTimeout>>(undefined);
  const pending = useRef(new Map<string, News & { event: "point" }>());

  const ask = useCallback(() => {
    asked.current = Date.now();
    clearTimeout(due.current);
    due.current = setTimeout(ask, MOST_MS);
    get("machines").then(
      (answer) => {
        const now = Date.now();
        setAll(answer.map((machine) => seen(machine, now)));
        setFailure(null);
      },
      (thrown: unknown) => setFailure(Failure.of(thrown)),
    );
  }, []);
  useEffect(() => {
    ask();
    return () => clearTimeout(due.current);
  }, [ask]);

  /** Points of a second are shown together: a thousand machines make hundreds. */
  useEffect(() => {
    const timer = setInterval(() => {
      if (pending.current.size === 0) return;
      const points = pending.current;
      pending.current = new Map();
      setAll((before) => before?.map((one) => newer(one, points.get(one.machine.name))) ?? null);
    }, 1000);
    return () => clearInterval(timer);
  }, []);

  useNews((news) => {
    if (news.event === "point") {
      pending.current.set(news.machine, news);
      const known = all?.find((one) => one.machine.name === news.machine);
      // A point that ends trouble changes the order, and only the server knows what else is wrong.
      if (known !== undefined && known.machine.trouble.length === 0) return;
    } else if (news.event === "job" || news.event === "alert") return;
    clearTimeout(due.current);
    due.current = setTimeout(ask, Math.max(0, asked.current + LEAST_MS - Date.now()));
  });
  return { all, failure, again: ask };
}

function newer(one: Seen, news: (News & { event: "point" }) | undefined): Seen {
  if (news === undefined) return one;
  const machine = { ...one.machine, newest: news.time, newest_point: news.point, age_seconds: 0 };
  return { machine, newest: Date.now() };
}
