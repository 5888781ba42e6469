// Small pictures of what points cost, over the same time as the timeline above them.
// Never knows: where the figures come from.

import { type ReactNode, useCallback, useRef, useState } from "react";
import { bytes } from "../say/bytes";
import { short } from "../say/time";
import { type Columns, type FigureName, type Piece, summed } from "./columns";
import { drawChart } from "./draw";
import { Picture, type Sheet } from "./Picture";
import { type ViewStore } from "./store";
import type { View } from "./view";

interface About {
  name: FigureName;
  title: string;
}

const CHARTS: About[] = [
  { name: "changed", title: "Changed" },
  { name: "read", title: "Read and sent" },
  { name: "stored", title: "Stored" },
  { name: "frozen", title: "Writers held still" },
];

export function Charts(props: { store: ViewStore; columns: Columns }): ReactNode {
  return (
    <div className="charts">
      {CHARTS.map((about) => (
        <Chart key={about.name} about={about} store={props.store} columns={props.columns} />
      ))}
    </div>
  );
}

function inWords(name: FigureName, highest: number, pieces: Piece[], view: View): string {
  if (name === "frozen") return highest === 0 ? "never" : `at most ${short(highest)} for a point`;
  const sum = summed(pieces, view, name);
  return highest === 0 ? "nothing" : `at most ${bytes(highest)}/s${sum === null ? "" : `, ${bytes(sum)} in all`}`;
}

function Chart(props: { about: About; store: ViewStore; columns: Columns }): ReactNode {
  const { about, store, columns } = props;
  const [said, setSaid] = useState("");
  const shown = useRef("");
  const draw = useCallback(
    (sheet: Sheet) => {
      const { view } = store.now;
      const pieces = columns.pieces(view, sheet.width);
      const highest = drawChart(sheet, pieces, about.name, store.now);
      const words = inWords(about.name, highest, pieces, view);
      if (words === shown.current) return;
      shown.current = words;
      setSaid(words);
    },
    [store, columns, about],
  );
  return (
    <figure>
      <figcaption>
        <strong>{about.title}</strong>
        <span className="quiet">{said}</span>
      </figcaption>
      <Picture store={store} draw={draw} className="picture chart" />
    </figure>
  );
}
