// Sums of a timeline in columns of equal times, asked from the server piece by piece and kept: however many points there are,
// a screen needs a few thousand numbers.
// Never knows: how they are drawn, or which machine they are of.

import { span, type View } from "./view";

/** What is summed up in each column. */
export interface Figures {
  points: ArrayLike<number>;
  changed: ArrayLike<number>;
  stored: ArrayLike<number>;
  read: ArrayLike<number>;
  /** The longest time for which writers were held still for a point of each, in milliseconds. */
  frozen: ArrayLike<number>;
}

export type FigureName = keyof Figures;

/** Some columns beside each other, all of the same width. */
export interface Piece {
  from: number;
  /** Milliseconds. */
  wide: number;
  figures: Figures;
}

/** Asks for columns of a time. */
export type Ask = (from: number, to: number, columns: number, signal: AbortSignal) => Promise<Figures>;

/** Columns of a piece. */
export const COLUMNS = 256;
/** Pixels of a column, at least. */
const PIXELS = 2;
/** Requests at once. */
const AT_ONCE = 4;
/** Pieces that are kept: some megabytes. */
const MOST = 400;
/** The finest level: columns of 4 ms. */
const FINEST = 2;
/** A piece that failed is not asked for again before this. */
const PATIENCE_MS = 5000;

interface Kept {
  piece: Piece | null;
  /** Something has happened in it since it was asked for. */
  stale: boolean;
  asking: AbortController | null;
  failed: number;
}

/** The level whose columns are wide enough to be seen: its columns are 2^level ms wide. */
export function levelOf(view: View, width: number): number {
  const least = (span(view) / Math.max(width, 1)) * PIXELS;
  return Math.max(FINEST, Math.ceil(Math.log2(Math.max(least, 1))));
}

export class Columns {
  private readonly kept = new Map<string, Kept>();
  private asked: { level: number; index: number }[] = [];
  private running = 0;
  private readonly ask: Ask;
  private readonly changed: () => void;

  /** `changed` is called when there is more to be drawn. */
  constructor(ask: Ask, changed: () => void) {
    this.ask = ask;
    this.changed = changed;
  }

  /** The best of what is there for a view, the coarser first; what is missing is asked for. */
  pieces(view: View, width: number): Piece[] {
    const level = levelOf(view, width);
    const found: Piece[] = [];
    this.asked = [];
    for (const index of indices(view, level)) {
      const one = this.kept.get(`${level}:${index}`);
      if (one !== undefined) this.touch(`${level}:${index}`, one);
      if (one?.piece === null || one === undefined) found.push(...this.coarser(level, index));
      if (one?.piece) found.push(one.piece);
      if (wanted(one)) this.asked.push({ level, index });
    }
    this.go();
    return found.sort((a, b) => b.wide - a.wide);
  }

  /** Something has happened at a moment. */
  touched(at: number): void {
    for (const [key, one] of this.kept) {
      const [level, index] = key.split(":").map(Number) as [number, number];
      const [from, to] = times(level, index);
      if (from <= at && at < to) one.stale = true;
    }
    this.changed();
  }

  /** All may have changed. */
  doubtAll(): void {
    for (const one of this.kept.values()) one.stale = true;
    this.changed();
  }

  /** Nobody looks any more. */
  end(): void {
    this.asked = [];
    for (const one of this.kept.values()) one.asking?.abort();
    this.kept.clear();
  }

  /** What stands in for a piece that is not there yet. */
  private coarser(level: number, index: number): Piece[] {
    for (let up = 1; up <= 40; up += 1) {
      const piece = this.kept.get(`${level + up}:${Math.floor(index / 2 ** up)}`)?.piece;
      if (piece) return [piece];
    }
    return [];
  }

  private touch(key: string, one: Kept): void {
    this.kept.delete(key);
    this.kept.set(key, one);
  }

  private go(): void {
    while (this.running < AT_ONCE) {
      const next = this.asked.shift();
      if (next === undefined) return;
      void this.fetch(next.level, next.index);
    }
  }

  private async fetch(level: number, index: number): Promise<void> {
    const key = `${level}:${index}`;
    const asking = new AbortController();
    const one: Kept = { piece: this.kept.get(key)?.piece ?? null, stale: false, asking, failed: 0 };
    this.kept.set(key, one);
    this.running += 1;
    const [from, to] = times(level, index);
    try {
      one.piece = { from, wide: 2 ** level, figures: await this.ask(from, to, COLUMNS, asking.signal) };
    } catch {
      one.failed = Date.now();
    }
    one.asking = null;
    this.running -= 1;
    this.forget();
    if (!asking.signal.aborted) this.changed();
  }

  private forget(): void {
    for (const [key, one] of this.kept) {
      if (this.kept.size <= MOST) return;
      if (one.asking === null) this.kept.delete(key);
    }
  }
}

function wanted(one: Kept | undefined): boolean {
  if (one === undefined) return true;
  if (one.asking !== null || Date.now() - one.failed < PATIENCE_MS) return false;
  return one.stale || one.piece === null;
}

function times(level: number, index: number): [number, number] {
  const wide = 2 ** level * COLUMNS;
  return [index * wide, (index + 1) * wide];
}

/** Which pieces of a level lie in a view. */
function indices(view: View, level: number): number[] {
  const wide = 2 ** level * COLUMNS;
  const [first, last] = [Math.floor(view.from / wide), Math.floor(view.to / wide)];
  return Array.from({ length: Math.min(last - first + 1, 64) }, (_, at) => first + at);
}

/** What is in a view, added up, from pieces as `pieces` answers them: `null` while some of it is not there. Not of the longest times. */
export function summed(pieces: Piece[], view: View, name: Exclude<FigureName, "frozen">): number | null {
  const finest = pieces[pieces.length - 1]?.wide;
  if (finest === undefined) return null;
  let [sum, covered] = [0, 0];
  for (const piece of pieces.filter((one) => one.wide === finest)) {
    const values = piece.figures[name];
    const first = Math.max(0, Math.ceil((view.from - piece.from) / finest));
    const end = Math.min(COLUMNS, Math.floor((view.to - piece.from) / finest));
    for (let at = first; at < end; at += 1) sum += values[at] ?? 0;
    covered += Math.max(0, end - first) * finest;
  }
  return covered < span(view) - 3 * finest ? null : sum;
}
