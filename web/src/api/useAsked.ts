// What a page asked the server for: the answer, or why there is none, and a way to ask again.
// Never knows: what is asked for.

import { useCallback, useEffect, useRef, useState } from "react";
import { type Answer, Failure, get, type Names, type Path, type Query } from "./client";

export interface Asked<T> {
  /** The newest answer; nothing before the first. */
  answer: T | null;
  /** Why the newest request was not answered. */
  failure: Failure | null;
  /** Asks again; what was answered stays until then. */
  again: () => void;
}

/** Asks when `key` changes, and again when told to. No key: nothing is asked. */
export function useAsking<T>(key: string | null, ask: (signal: AbortSignal) => Promise<T>): Asked<T> {
  const [state, setState] = useState<{ key: string | null; answer: T | null; failure: Failure | null }>({
    key: null,
    answer: null,
    failure: null,
  });
  const [turn, setTurn] = useState(0);
  const asking = useRef(ask);
  asking.current = ask;
  useEffect(() => {
    if (key === null) return undefined;
    const controller = new AbortController();
    const { signal } = controller;
    asking.current(signal).then(
      (answer) => !signal.aborted && setState({ key, answer, failure: null }),
      (thrown: unknown) =>
        !signal.aborted &&
        setState((before) => ({ key, answer: before.key === key ? before.answer : null, failure: Failure.of(thrown) })),
    );
    return () => controller.abort();
  }, [key, turn]);
  const again = useCallback(() => setTurn((before) => before + 1), []);
  // Of another key nothing is shown, not even while the new answer is awaited.
  const mine = state.key === key;
  return { answer: mine ? state.answer : null, failure: mine ? state.failure : null, again };
}

/** As [`useAsking`], for one request of the API. */
export function useAsked<P extends Path<"GET">>(
  path: P | null,
  names: Names = {},
  query: Query<"GET", P> | null = null,
): Asked<Answer<"GET", P>> {
  const key = path === null ? null : JSON.stringify([path, names, query]);
  return useAsking(key, (signal) => get(path as P, names, query, signal));
}
