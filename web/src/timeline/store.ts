// What is seen of a timeline and which moment is chosen, shared by the pictures of one machine: changed at every movement, without
// drawing the page anew.
// Never knows: who draws.

import { useSyncExternalStore } from "react";
import { kept, showing, span, type View, whole } from "./view";

export interface Seen {
  view: View;
  bounds: View;
  /** The moment that is chosen. */
  chosen: number;
}

/** Nobody has moved it for so long: pages are told. */
const CALM_MS = 150;
/** That time passes they are told less often. */
const OFTEN_MS = 10_000;

export class ViewStore {
  private seen: Seen;
  /** The newest moment is followed as time passes. */
  private follows = true;
  private readonly listeners = new Set<() => void>();
  private readonly settled = new Set<() => void>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private calm: Seen;

  constructor(bounds: View, chosen: number | null) {
    this.seen = { bounds, view: whole(bounds), chosen: chosen ?? bounds.to };
    this.follows = chosen === null;
    this.calm = this.seen;
  }

  get now(): Seen {
    return this.seen;
  }

  /** Looks elsewhere. */
  look(view: View): void {
    this.set({ ...this.seen, view });
  }

  /** Chooses a moment, and shows it. */
  choose(at: number): void {
    const chosen = Math.min(Math.max(at, this.seen.bounds.from), this.seen.bounds.to);
    this.follows = chosen === this.seen.bounds.to;
    this.set({ ...this.seen, chosen, view: showing(this.seen.view, chosen, this.seen.bounds) });
  }

  /** Time has passed: the end is later. */
  reach(to: number): void {
    if (to <= this.seen.bounds.to) return;
    const before = this.seen;
    const bounds = { from: before.bounds.from, to };
    const by = to - before.bounds.to;
    const later = { from: before.view.from + by, to: before.view.to + by };
    const all = span(before.view) >= span(whole(before.bounds));
    const view = all ? whole(bounds) : this.follows && before.view.to >= before.bounds.to ? kept(later, bounds) : before.view;
    this.seen = { bounds, view, chosen: this.follows ? to : before.chosen };
    this.redraw();
    if (this.timer === undefined) this.settle(OFTEN_MS);
  }

  /** Something else has to be drawn. */
  redraw(): void {
    for (const listener of this.listeners) listener();
  }

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  subscribeCalm = (listener: () => void): (() => void) => {
    this.settled.add(listener);
    return () => this.settled.delete(listener);
  };

  getCalm = (): Seen => this.calm;

  private set(seen: Seen): void {
    this.seen = seen;
    this.redraw();
    this.settle(CALM_MS);
  }

  private settle(after: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.calm = this.seen;
      for (const listener of this.settled) listener();
    }, after);
  }
}

/** A time as requests say it; open at the ends of what there is, so that it stays the same while time passes. */
export function asked(seen: Seen): { from?: string; to?: string } {
  const { view, bounds } = seen;
  return {
    ...(view.from > bounds.from ? { from: new Date(view.from).toISOString() } : {}),
    ...(view.to < bounds.to ? { to: new Date(view.to).toISOString() } : {}),
  };
}

/** What is seen, once nobody has moved it for a moment. */
export function useCalm(store: ViewStore): Seen {
  return useSyncExternalStore(store.subscribeCalm, store.getCalm);
}
