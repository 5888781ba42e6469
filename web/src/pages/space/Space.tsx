// What the store takes, what dedup and compression save, what is left and for how long.
// Never knows: which machine takes it.

import type { ReactNode } from "react";
import type { SpaceText } from "../../api/schema";
import { useAsked } from "../../api/useAsked";
import { Moment } from "../../parts/Moment";
import { Page } from "../../parts/Page";
import { Shown } from "../../parts/Shown";
import { bytes, count } from "../../say/bytes";
import { length } from "../../say/time";
import { History } from "./History";

export function Space(): ReactNode {
  const asked = useAsked("space");
  return (
    <Page title="Space">
      <Shown asked={asked}>
        {(space) => (
          <>
            <Saved space={space} />
            <Left space={space} />
            <History taken={space.history} />
          </>
        )}
      </Shown>
    </Page>
  );
}

function times(whole: number, part: number): string {
  return part === 0 ? "–" : `${(whole / part).toLocaleString("en-US", { maximumFractionDigits: whole / part < 10 ? 1 : 0 })} ×`;
}

function Saved(props: { space: SpaceText }): ReactNode {
  const { space } = props;
  return (
    <section className="sheet" aria-labelledby="saved">
      <h2 id="saved">What it takes, and what it saves</h2>
      <dl className="facts">
        <div>
          <dt>Stored</dt>
          <dd className="large">{bytes(space.stored_bytes)}</dd>
          <dd className="quiet">everything of all points, in {count(space.packs)} packs</dd>
        </div>
        <div>
          <dt>Disks at {count(space.points)} points</dt>
          <dd className="large">{bytes(space.logical_bytes)}</dd>
          <dd className="quiet">{times(space.logical_bytes, space.stored_bytes)} what is stored: so much would full copies take</dd>
        </div>
        <div>
          <dt>Changed, from point to point</dt>
          <dd className="large">{bytes(space.changed_bytes)}</dd>
          <dd className="quiet">{times(space.changed_bytes, space.stored_bytes)} what is stored: dedup and compression save the rest</dd>
        </div>
        <div>
          <dt>Disks now</dt>
          <dd className="large">{bytes(space.disk_bytes)}</dd>
          <dd className="quiet">of all newest points</dd>
        </div>
      </dl>
    </section>
  );
}

function Left(props: { space: SpaceText }): ReactNode {
  const { free_bytes: free, total_bytes: total, forecast } = props.space;
  const known = free !== null && free !== undefined && total !== null && total !== undefined && total > 0;
  const used = known ? Math.round((1 - free / total) * 100) : 0;
  const full = forecast?.full_at;
  return (
    <section className="sheet stack" aria-labelledby="left">
      <h2 id="left">What is left</h2>
      {known ? (
        <>
          <p>
            <strong>{bytes(free)}</strong> of {bytes(total)} are free where the store is; {used} % are used.
          </p>
          <div className={used >= 90 ? "meter bad" : "meter"} role="meter" aria-label="Used where the store is" aria-valuemin={0} aria-valuemax={100} aria-valuenow={used}>
            <span style={{ width: `${used}%` }} />
          </div>
        </>
      ) : (
        <p>Nobody knows: the store is not on a disk of this server.</p>
      )}
      {forecast === null || forecast === undefined ? (
        <p className="quiet">There is no forecast yet: it needs some days.</p>
      ) : (
        <p>
          It grows by {bytes(forecast.per_day_bytes)} a day.{" "}
          {full === null || full === undefined ? (
            "At that pace it does not become full."
          ) : (
            <>
              At that pace it is full in <strong>{length(Date.parse(full) - Date.now())}</strong>, on <Moment at={full} />.
            </>
          )}
        </p>
      )}
    </section>
  );
}
