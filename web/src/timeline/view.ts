// Which part of a timeline is seen. Pure.
// Never knows: what is there, or how it is drawn.

/** A time, in milliseconds since 1970. */
export interface View {
  from: number;
  to: number;
}

/** Nobody needs to see less at once: points are made once a second at most. */
export const NARROWEST = 2000;

export function span(view: View): number {
  return view.to - view.from;
}

/** The widest that makes sense: all there is, and a little more on both sides. */
export function whole(bounds: View): View {
  const more = Math.max(span(bounds) * 0.02, NARROWEST);
  return { from: bounds.from - more, to: bounds.to + more };
}

/** The view, not beyond what there is. */
export function kept(view: View, bounds: View): View {
  const widest = whole(bounds);
  const wide = Math.min(Math.max(span(view), NARROWEST), span(widest));
  const middle = (view.from + view.to) / 2;
  const from = Math.min(Math.max(middle - wide / 2, widest.from), widest.to - wide);
  return { from, to: from + wide };
}

/** Nearer or farther by a factor; `at` stays where it is. */
export function zoomed(view: View, at: number, factor: number, bounds: View): View {
  const wide = Math.min(Math.max(span(view) * factor, NARROWEST), span(whole(bounds)));
  const left = (at - view.from) / span(view);
  const from = at - wide * left;
  return kept({ from, to: from + wide }, bounds);
}

/** Moved by a part of itself: 1 is a whole screen later. */
export function moved(view: View, part: number, bounds: View): View {
  const by = span(view) * part;
  return kept({ from: view.from + by, to: view.to + by }, bounds);
}

/** Moved as little as needed so that a moment is inside. */
export function showing(view: View, at: number, bounds: View): View {
  const edge = span(view) * 0.02;
  if (at < view.from + edge) return kept({ from: at - edge, to: at - edge + span(view) }, bounds);
  if (at > view.to - edge) return kept({ from: at + edge - span(view), to: at + edge }, bounds);
  return view;
}

export function xOf(at: number, view: View, width: number): number {
  return ((at - view.from) / span(view)) * width;
}

export function atX(x: number, view: View, width: number): number {
  return view.from + (x / width) * span(view);
}
