// What happens now: the server's stream of events, for as long as somebody listens, asked for anew when it ends.
// Never knows: what is done about an event.

import { useEffect, useRef } from "react";

/** Something that happened; as `crates/server/src/live.rs` says it. */
export type News =
  | { event: "point"; machine: string; point: number; time: string; changed_pages: number; stored_bytes: number }
  | { event: "joined"; machine: string }
  | { event: "left"; machine: string; why: string | null }
  | { event: "failed"; machine: string; why: string }
  | { event: "suspended"; machine: string; until: string | null }
  | { event: "job"; job: number; machine: string | null; state: string; done: number; total: number }
  | { event: "alert"; kind: string; subject: string; began: boolean }
  /** Some were missed, or the stream was away: whoever shows something asks for it again. */
  | { event: "missed" };

type Listener = (news: News) => void;

const listeners = new Set<Listener>();
const PAUSE_MS = 3000;
let source: EventSource | null = null;
let later: ReturnType<typeof setTimeout> | undefined;

function tell(news: News): void {
  for (const listener of listeners) listener(news);
}

function open(): void {
  const opened = new EventSource("/api/v1/events");
  let before = false;
  source = opened;
  opened.onopen = () => {
    // The first time there is nothing that could have been missed.
    if (before) tell({ event: "missed" });
    before = true;
  };
  opened.onmessage = (message: MessageEvent<string>) => tell(JSON.parse(message.data) as News);
  opened.addEventListener("missed", () => tell({ event: "missed" }));
  opened.onerror = () => {
    // The browser tries again by itself, except after an answer that is not a stream.
    if (opened.readyState !== EventSource.CLOSED) return;
    clearTimeout(later);
    later = setTimeout(() => {
      if (listeners.size > 0) open();
      tell({ event: "missed" });
    }, PAUSE_MS);
  };
}

/** Hears everything from now on; the answer ends it. */
function listen(listener: Listener): () => void {
  listeners.add(listener);
  if (source === null || source.readyState === EventSource.CLOSED) open();
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    clearTimeout(later);
    source?.close();
    source = null;
  };
}

/** Hears everything while a component is there. */
export function useNews(listener: Listener): void {
  const newest = useRef(listener);
  newest.current = listener;
  useEffect(() => listen((news) => newest.current(news)), []);
}
