// What the store takes, what dedup and compression save, and what is left.
// Never knows: which machine takes it.

import type { ReactNode } from "react";
import type { SpaceText } from "../../api/schema";
import { useAsked } from "../../api/useAsked";
import { Page } from "../../parts/Page";
import { Shown } from "../../parts/Shown";
import { bytes, count } from "../../say/bytes";

export function Space(): ReactNode {
  const asked = useAsked("space");
  return (
    <Page title="Space">
      <Shown asked={asked}>
        {(space) => (
          <>
            <section className="sheet stack" aria-labelledby="store">
              <h2 id="store">Store</h2>
              <dl className="facts">
                <div>
                  <dt>Stored, of all points of all machines</dt>
                  <dd className="large">{bytes(space.stored_bytes)}</dd>
                  <dd className="quiet">{count(space.packs)} packs</dd>
                </div>
                <div>
                  <dt>Disks, at their newest points</dt>
                  <dd className="large">{bytes(space.disk_bytes)}</dd>
                </div>
                <div>
                  <dt>Free where the store is</dt>
                  <dd className="large">{space.free_bytes === null || space.free_bytes === undefined ? "unknown" : bytes(space.free_bytes)}</dd>
                  {space.total_bytes !== null && space.total_bytes !== undefined && <dd className="quiet">of {bytes(space.total_bytes)}</dd>}
                </div>
              </dl>
              <Left space={space} />
            </section>
          </>
        )}
      </Shown>
    </Page>
  );
}

function Left(props: { space: SpaceText }): ReactNode {
  const { free_bytes: free, total_bytes: total } = props.space;
  if (free === null || free === undefined || total === null || total === undefined || total === 0) return null;
  const used = Math.round((1 - free / total) * 100);
  return (
    <div className="stack">
      <div className={used >= 90 ? "meter bad" : "meter"} role="meter" aria-label="Used where the store is" aria-valuemin={0} aria-valuemax={100} aria-valuenow={used}>
        <span style={{ width: `${used}%` }} />
      </div>
      <p className="quiet">{used} % of the disk are used.</p>
    </div>
  );
}
