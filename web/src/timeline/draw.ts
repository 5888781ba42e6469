// Draws a timeline: how dense points are, or each of them; gaps; the moment that is chosen.
// Never knows: where any of it comes from.

import type { GapText, KeptText, PointText } from "../api/schema";
import { COLUMNS, type FigureName, type Piece } from "./columns";
import type { Sheet } from "./Picture";
import type { Seen } from "./store";
import { ticks } from "./ticks";
import { span, type View, xOf } from "./view";

const FONT = "12px system-ui, sans-serif";
/** Room for the axis below. */
export const AXIS = 24;

export interface Drawn {
  seen: Seen;
  pieces: Piece[];
  gaps: GapText[];
  /** Points one by one, where there are few. */
  points: PointText[];
  /** What will be left at a later moment, if that is asked for. */
  ahead: { at: number; pieces: Piece[] } | null;
}

export function drawTimeline(sheet: Sheet, drawn: Drawn): void {
  const { view } = drawn.seen;
  const bottom = sheet.height - AXIS;
  drawGaps(sheet, drawn.gaps, drawn.seen, bottom);
  drawAxis(sheet, view, bottom);
  const { colours } = sheet;
  const highest = highestOf(drawn.pieces, "points", view, sheet.width);
  const high = { name: "points", view, highest, top: 10, bottom } as const;
  drawColumns(sheet, { ...high, pieces: drawn.pieces, colour: drawn.ahead === null ? colours.bar : colours["bar-weak"] });
  // Few are left of many: they are to be seen all the same.
  if (drawn.ahead !== null) drawColumns(sheet, { ...high, pieces: drawn.ahead.pieces, colour: colours["bar-strong"], least: 6 });
  drawPoints(sheet, drawn, bottom);
  drawAhead(sheet, drawn.seen, bottom);
  drawChosen(sheet, drawn.seen, bottom);
}

/** A small picture of one figure over the same time; answers what is highest: a rate per second, or the longest time. */
export function drawChart(sheet: Sheet, pieces: Piece[], name: FigureName, seen: Seen): number {
  const bottom = sheet.height - 1;
  const highest = highestOf(pieces, name, seen.view, sheet.width);
  drawColumns(sheet, { pieces, name, view: seen.view, highest, top: 8, bottom, colour: sheet.colours.bar });
  drawChosen(sheet, seen, bottom);
  return highest;
}

/** Whether a point will be there at a moment, as the calendar is now. */
export function lasts(kept: KeptText | null | undefined, at: number): boolean {
  return kept?.until === null || kept?.until === undefined || Date.parse(kept.until) >= at;
}

function drawAxis({ context, width, colours }: Sheet, view: View, bottom: number): void {
  context.font = FONT;
  context.textBaseline = "middle";
  context.textAlign = "left";
  context.strokeStyle = colours.line;
  context.lineWidth = 1;
  line(context, 0, bottom + 0.5, width, bottom + 0.5);
  for (const tick of ticks(view, Math.max(2, width / 85))) {
    const x = Math.round(xOf(tick.at, view, width)) + 0.5;
    context.strokeStyle = tick.strong ? colours["line-strong"] : colours.line;
    line(context, x, 0, x, bottom + 6);
    context.fillStyle = tick.strong ? colours.ink : colours.quiet;
    context.fillText(tick.label, x + 4, bottom + AXIS / 2 + 1);
  }
}

function line(context: CanvasRenderingContext2D, x: number, y: number, toX: number, toY: number): void {
  context.beginPath();
  context.moveTo(x, y);
  context.lineTo(toX, toY);
  context.stroke();
}

function drawGaps({ context, width, colours }: Sheet, gaps: GapText[], seen: Seen, bottom: number): void {
  context.fillStyle = colours.gap;
  for (const gap of gaps) {
    const to = gap.to === null || gap.to === undefined ? seen.bounds.to : Date.parse(gap.to);
    const [left, right] = [xOf(Date.parse(gap.from), seen.view, width), xOf(to, seen.view, width)];
    if (right >= 0 && left <= width) context.fillRect(left, 0, Math.max(right - left, 1), bottom);
  }
}

/** Visits the columns that are seen; the finest there is for each time. */
function eachColumn(pieces: Piece[], name: FigureName, view: View, width: number, visit: (x: number, wide: number, value: number, ms: number) => void): void {
  const finest = pieces[pieces.length - 1]?.wide ?? 0;
  const covered = pieces.filter((piece) => piece.wide === finest).map((piece) => piece.from);
  for (const piece of pieces) {
    const values = piece.figures[name];
    const first = Math.max(0, Math.floor((view.from - piece.from) / piece.wide));
    const end = Math.min(COLUMNS, Math.ceil((view.to - piece.from) / piece.wide));
    for (let at = first; at < end; at += 1) {
      const value = values[at];
      const from = piece.from + at * piece.wide;
      if (value === undefined || value === 0) continue;
      // What a finer piece shows better.
      if (piece.wide > finest && covered.some((start) => start <= from && from < start + finest * COLUMNS)) continue;
      visit(xOf(from, view, width), (piece.wide / span(view)) * width, value, piece.wide);
    }
  }
}

/** How high a column is: what there is of it in a second, but of times the longest. */
function heightOf(name: FigureName, value: number, ms: number): number {
  return name === "frozen" ? value : (value / ms) * 1000;
}

function highestOf(pieces: Piece[], name: FigureName, view: View, width: number): number {
  let highest = 0;
  eachColumn(pieces, name, view, width, (_x, _wide, value, ms) => {
    highest = Math.max(highest, heightOf(name, value, ms));
  });
  return highest;
}

interface Bars {
  pieces: Piece[];
  name: FigureName;
  view: View;
  /** What reaches the top. */
  highest: number;
  top: number;
  bottom: number;
  colour: string;
  /** Pixels of what is nearly nothing. */
  least?: number;
}

function drawColumns({ context, width }: Sheet, bars: Bars): void {
  const { pieces, name, view, highest, top, bottom, least = 2 } = bars;
  context.fillStyle = bars.colour;
  eachColumn(pieces, name, view, width, (x, wide, value, ms) => {
    const height = Math.min(bottom - top, Math.max(least, (heightOf(name, value, ms) / highest) * (bottom - top)));
    context.fillRect(x, bottom - height, Math.max(wide - 0.4, 1), height);
  });
}

/** Each point: filled if what is in it hangs together, hollow if not; longer with a note; weak if it will be gone. */
function drawPoints({ context, width, colours }: Sheet, { points, seen: { view }, ahead }: Drawn, bottom: number): void {
  context.lineWidth = 1.5;
  for (const point of points) {
    const colour = ahead === null || lasts(point.kept, ahead.at) ? colours["bar-strong"] : colours["bar-weak"];
    const x = xOf(Date.parse(point.time), view, width);
    if (x < -5 || x > width + 5) continue;
    context.strokeStyle = colour;
    line(context, x, point.note === "" ? bottom - 26 : 10, x, bottom);
    context.beginPath();
    context.arc(x, bottom - 26, 4, 0, 2 * Math.PI);
    context.fillStyle = point.consistent ? colour : colours.sheet;
    context.fill();
    context.stroke();
    if (point.note !== "") note(context, point.note, x, colours.ink, width);
  }
}

function note(context: CanvasRenderingContext2D, text: string, x: number, colour: string, width: number): void {
  context.font = FONT;
  context.fillStyle = colour;
  const cut = text.length > 28 ? `${text.slice(0, 27)}…` : text;
  const left = x + 5 + context.measureText(cut).width > width ? x - 5 - context.measureText(cut).width : x + 5;
  context.fillText(cut, left, 16);
}

/** What is not yet. */
function drawAhead({ context, width, colours }: Sheet, seen: Seen, bottom: number): void {
  const x = Math.round(xOf(seen.bounds.to, seen.view, width)) + 0.5;
  if (x > width) return;
  context.setLineDash([3, 3]);
  context.strokeStyle = colours["line-strong"];
  line(context, x, 0, x, bottom);
  context.setLineDash([]);
}

function drawChosen({ context, width, colours }: Sheet, seen: Seen, bottom: number): void {
  const x = xOf(seen.chosen, seen.view, width);
  if (x < -8 || x > width + 8) return;
  context.strokeStyle = colours.accent;
  context.lineWidth = 2;
  line(context, x, 0, x, bottom);
  context.fillStyle = colours.accent;
  context.beginPath();
  context.moveTo(x - 6, 0);
  context.lineTo(x + 6, 0);
  context.lineTo(x, 8);
  context.fill();
}
