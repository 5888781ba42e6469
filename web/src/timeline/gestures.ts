// Wheel, fingers, mouse and keys on a timeline: dragging moves it, the wheel and two fingers zoom, a click chooses a moment.
// Never knows: what is drawn.

import { type KeyboardEvent, type RefObject, useEffect } from "react";
import type { ViewStore } from "./store";
import { atX, moved, span, type View, zoomed } from "./view";

/** A finger that moved less has clicked. */
const CLICK_PX = 4;
const NEARER = 1 / 1.5;

export function useGestures(place: RefObject<HTMLElement | null>, store: ViewStore): void {
  useEffect(() => {
    const element = place.current;
    return element === null ? undefined : attach(element, store);
  }, [place, store]);
}

interface Held {
  x: number;
  at: number;
}

function attach(element: HTMLElement, store: ViewStore): () => void {
  const fingers = new Map<number, Held>();
  let began: { view: View; x: number; far: boolean } | null = null;
  const inside = (event: { clientX: number }): number => event.clientX - element.getBoundingClientRect().left;
  const width = (): number => Math.max(element.clientWidth, 1);

  const restart = (): void => {
    const view = store.now.view;
    for (const finger of fingers.values()) finger.at = atX(finger.x, view, width());
    const [only] = fingers.values();
    began = only === undefined ? null : { view, x: only.x, far: began?.far ?? false };
  };
  const down = (event: PointerEvent): void => {
    if (event.button !== 0) return;
    element.setPointerCapture(event.pointerId);
    if (fingers.size === 0) began = null;
    fingers.set(event.pointerId, { x: inside(event), at: 0 });
    restart();
    if (fingers.size > 1 && began !== null) began.far = true;
  };
  const move = (event: PointerEvent): void => {
    const finger = fingers.get(event.pointerId);
    if (finger === undefined || began === null) return;
    finger.x = inside(event);
    const { bounds } = store.now;
    if (fingers.size === 1) {
      if (Math.abs(finger.x - began.x) > CLICK_PX) began.far = true;
      if (began.far) store.look(moved(began.view, (began.x - finger.x) / width(), bounds));
      return;
    }
    const [a, b] = [...fingers.values()];
    if (a === undefined || b === undefined || Math.abs(a.x - b.x) < 8) return;
    // What was under each finger stays under it.
    const perPixel = (b.at - a.at) / (b.x - a.x);
    if (!(perPixel > 0)) return;
    const now = store.now.view;
    const from = a.at - a.x * perPixel;
    const factor = (perPixel * width()) / span(now);
    store.look(zoomed({ from, to: from + span(now) }, from, factor, bounds));
  };
  const up = (event: PointerEvent): void => {
    const finger = fingers.get(event.pointerId);
    if (finger === undefined) return;
    fingers.delete(event.pointerId);
    if (fingers.size === 0 && began !== null && !began.far && event.type === "pointerup") store.choose(atX(finger.x, store.now.view, width()));
    restart();
  };
  const wheel = (event: WheelEvent): void => {
    event.preventDefault();
    const { view, bounds } = store.now;
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) store.look(moved(view, event.deltaX / width(), bounds));
    else store.look(zoomed(view, atX(inside(event), view, width()), Math.exp(Math.max(-100, Math.min(100, event.deltaY)) / 250), bounds));
  };
  const pairs = [
    ["pointerdown", down],
    ["pointermove", move],
    ["pointerup", up],
    ["pointercancel", up],
  ] as const;
  for (const [name, act] of pairs) element.addEventListener(name, act);
  element.addEventListener("wheel", wheel, { passive: false });
  return () => {
    for (const [name, act] of pairs) element.removeEventListener(name, act);
    element.removeEventListener("wheel", wheel);
  };
}

/** Keys; whether the key meant something. */
export function onKey(event: KeyboardEvent, store: ViewStore): void {
  const { view, bounds, chosen } = store.now;
  const step = span(view) / (event.shiftKey ? 10 : 100);
  const acts: Record<string, () => void> = {
    ArrowLeft: () => store.choose(chosen - step),
    ArrowRight: () => store.choose(chosen + step),
    ArrowDown: () => store.choose(chosen - step),
    ArrowUp: () => store.choose(chosen + step),
    PageUp: () => store.choose(chosen + span(view)),
    PageDown: () => store.choose(chosen - span(view)),
    Home: () => store.choose(bounds.from),
    End: () => store.choose(bounds.to),
    "+": () => store.look(zoomed(view, chosen, NEARER, bounds)),
    "=": () => store.look(zoomed(view, chosen, NEARER, bounds)),
    "-": () => store.look(zoomed(view, chosen, 1 / NEARER, bounds)),
  };
  const act = acts[event.key];
  if (act === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  act();
}
