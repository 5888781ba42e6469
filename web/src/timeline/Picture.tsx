// A canvas that is as large as its place and as sharp as the screen, and is drawn at most once per frame.
// Never knows: what is drawn.

import { type HTMLAttributes, type ReactNode, type Ref, useEffect, useImperativeHandle, useRef } from "react";
import { useTheme } from "../app/theme";
import { type Colours, colours } from "./colours";
import type { ViewStore } from "./store";

export interface Sheet {
  context: CanvasRenderingContext2D;
  width: number;
  height: number;
  colours: Colours;
}

export function Picture(
  props: { store: ViewStore; draw: (sheet: Sheet) => void; place?: Ref<HTMLDivElement> } & HTMLAttributes<HTMLDivElement>,
): ReactNode {
  const { store, draw, place, ...rest } = props;
  const host = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const drawing = useRef(draw);
  drawing.current = draw;
  const { dark } = useTheme();
  useImperativeHandle(place, () => host.current as HTMLDivElement);
  useEffect(() => {
    const [around, inside] = [host.current, canvas.current];
    const context = inside?.getContext("2d");
    if (around === null || inside === null || !context) return undefined;
    let frame = 0;
    let palette = colours(around);
    const now = (): void => {
      frame = 0;
      const { clientWidth: width, clientHeight: height } = around;
      const sharp = window.devicePixelRatio;
      if (inside.width !== Math.round(width * sharp) || inside.height !== Math.round(height * sharp)) {
        inside.width = Math.round(width * sharp);
        inside.height = Math.round(height * sharp);
        palette = colours(around);
      }
      context.setTransform(sharp, 0, 0, sharp, 0, 0);
      context.clearRect(0, 0, width, height);
      drawing.current({ context, width, height, colours: palette });
    };
    const soon = (): void => {
      if (frame === 0) frame = requestAnimationFrame(now);
    };
    const sizes = new ResizeObserver(soon);
    sizes.observe(around);
    const unsubscribe = store.subscribe(soon);
    soon();
    return () => {
      sizes.disconnect();
      unsubscribe();
      cancelAnimationFrame(frame);
    };
  }, [store, dark]);
  return (
    <div ref={host} {...rest}>
      <canvas ref={canvas} aria-hidden="true" />
    </div>
  );
}
