// A machine's timeline with everything beside it: the moment that is chosen, charts, the same in tables.
// Never knows: how pictures are drawn.

import { type ReactNode, useEffect, useMemo, useState } from "react";
import type { MachineText } from "../../api/schema";
import { go, place } from "../../app/router";
import { FailureNote } from "../../parts/Note";
import { moment } from "../../say/time";
import { Charts } from "../../timeline/Charts";
import { useAhead } from "../../timeline/useAhead";
import { useCalm } from "../../timeline/store";
import { Timeline } from "../../timeline/Timeline";
import { type Line, useFewPoints, useGaps, useLive, usePointAt } from "../../timeline/useTimeline";
import { Chosen } from "./Chosen";
import { GapTable } from "./GapTable";
import { PointTable } from "./PointTable";
import { Retention } from "./Retention";

export function History(props: { machine: MachineText; line: Line }): ReactNode {
  const { machine, line } = props;
  const gaps = useGaps(machine.name);
  const few = useFewPoints(machine.name, line);
  const seen = useCalm(line.store);
  const { chosen, bounds } = seen;
  const newest = chosen === bounds.to;
  const point = usePointAt(machine.name, newest ? null : chosen);
  const [at, setAt] = useState<number | null>(null);
  const later = useAhead(machine.name, line.store, at);
  const ahead = useMemo(() => (at === null || later === null ? null : { at, columns: later }), [at, later]);
  useLive(machine.name, line, () => {
    gaps.again();
    few.again();
    if (newest) point.again();
  });
  useEffect(() => {
    const here = place("machines", machine.name);
    if (window.location.pathname !== here) return;
    const at = newest ? "" : `?at=${new Date(chosen).toISOString()}`;
    if (window.location.search !== at) go(here + at, "replace");
  }, [machine.name, chosen, newest]);
  const said = point.answer === null ? moment(chosen) : `${moment(chosen)}, point ${point.answer.point}`;
  return (
    <>
      <section className="sheet stack" aria-labelledby="timeline">
        <h2 id="timeline">Timeline</h2>
        <FailureNote why={gaps.failure} again={gaps.again} />
        <Timeline store={line.store} columns={line.columns} ahead={ahead} gaps={gaps.answer ?? []} points={few.points} said={said} />
        <p className="out-of-sight">Arrow keys move the moment, plus and minus zoom, page keys move by a screen, Home and End go to the ends.</p>
        <Retention machine={machine} at={at} now={() => Date.now() + line.ahead} set={setAt} />
        <Chosen machine={machine} store={line.store} point={point} />
      </section>
      <section className="sheet" aria-labelledby="figures">
        <h2 id="figures">What points cost</h2>
        <Charts store={line.store} columns={line.columns} />
      </section>
      <PointTable machine={machine} seen={seen} chosen={point.answer?.point ?? null} choose={(at) => line.store.choose(at)} />
      <GapTable gaps={gaps.answer ?? []} choose={(at) => line.store.choose(at)} />
    </>
  );
}
