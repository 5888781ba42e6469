// The timeline of a machine as a picture: to zoom, to drag over, to choose a moment in. A slider for those who do not see it.
// Never knows: what is done with the moment.

import { type ReactNode, useCallback, useRef } from "react";
import type { GapText, PointText } from "../api/schema";
import { moment } from "../say/time";
import type { Columns } from "./columns";
import { drawTimeline } from "./draw";
import { onKey, useGestures } from "./gestures";
import { Picture, type Sheet } from "./Picture";
import { useCalm, type ViewStore } from "./store";
import { span, whole, zoomed } from "./view";

/** What will be left, and when. */
export interface Ahead {
  at: number;
  columns: Columns;
}

export function Timeline(props: {
  store: ViewStore;
  columns: Columns;
  ahead: Ahead | null;
  gaps: GapText[];
  points: PointText[];
  said: string;
}): ReactNode {
  const { store, columns, gaps, points, ahead } = props;
  const place = useRef<HTMLDivElement>(null);
  useGestures(place, store);
  const calm = useCalm(store);
  const draw = useCallback(
    (sheet: Sheet) => {
      const pieces = (of: Columns) => of.pieces(store.now.view, sheet.width);
      const later = ahead === null ? null : { at: ahead.at, pieces: pieces(ahead.columns) };
      drawTimeline(sheet, { seen: store.now, pieces: pieces(columns), gaps, points, ahead: later });
    },
    [store, columns, gaps, points, ahead],
  );
  const zoom = (factor: number): void => {
    const { view, chosen, bounds } = store.now;
    const inside = view.from <= chosen && chosen <= view.to;
    store.look(zoomed(view, inside ? chosen : (view.from + view.to) / 2, factor, bounds));
  };
  return (
    <div className="timeline">
      <div className="row apart">
        <span className="quiet range">
          <span className="moment">{moment(calm.view.from)}</span> – <span className="moment">{moment(calm.view.to)}</span>
        </span>
        <div className="row" role="group" aria-label="Zoom">
          <button type="button" className="small" onClick={() => zoom(0.5)}>
            Nearer
          </button>
          <button type="button" className="small" onClick={() => zoom(2)} disabled={span(calm.view) >= span(whole(calm.bounds))}>
            Farther
          </button>
          <button type="button" className="small" onClick={() => store.look(whole(store.now.bounds))}>
            All
          </button>
        </div>
      </div>
      <Picture
        store={store}
        draw={draw}
        place={place}
        className="picture main"
        tabIndex={0}
        role="slider"
        aria-label="Moment on the timeline"
        aria-valuemin={Math.floor(calm.bounds.from / 1000)}
        aria-valuemax={Math.ceil(calm.bounds.to / 1000)}
        aria-valuenow={Math.round(calm.chosen / 1000)}
        aria-valuetext={props.said}
        onKeyDown={(event) => onKey(event, store)}
      />
      <div className="legend" aria-hidden="true">
        {ahead === null ? (
          <span>points</span>
        ) : (
          <>
            <span className="left">points that will be left</span>
            <span className="gone">that will be gone</span>
          </>
        )}
        <span className="gap">gap</span>
        <span className="here">chosen moment</span>
        <span className="ahead">now</span>
      </div>
    </div>
  );
}
