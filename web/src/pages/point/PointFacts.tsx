// What is known of a point without looking into it.
// Never knows: what is in it.

import type { ReactNode } from "react";
import type { PointText } from "../../api/schema";
import { Moment } from "../../parts/Moment";
import { bytes, count } from "../../say/bytes";
import { short } from "../../say/time";

export function PointFacts(props: { point: PointText }): ReactNode {
  const { point } = props;
  const bad = point.disks.reduce((sum, disk) => sum + disk.unreadable_pages, 0);
  const left = point.disks.reduce((sum, disk) => sum + disk.excluded_pages, 0);
  return (
    <section className="sheet stack" aria-label="About this point">
      <dl className="facts">
        <div>
          <dt>Shows</dt>
          <dd>
            <Moment at={point.time} exact />
          </dd>
        </div>
        <div>
          <dt>Committed</dt>
          <dd>
            <Moment at={point.committed} />
          </dd>
        </div>
        <div>
          <dt>State</dt>
          <dd>{point.consistent ? "consistent" : "fuzzy: disks changed while they were read"}</dd>
        </div>
        <div>
          <dt>Changed</dt>
          <dd>{bytes(point.changed_pages * 4096)}</dd>
        </div>
        <div>
          <dt>Read</dt>
          <dd>{bytes(point.read_bytes)}</dd>
        </div>
        <div>
          <dt>Stored</dt>
          <dd>{bytes(point.stored_bytes)}</dd>
        </div>
        {point.frozen_ms !== null && point.frozen_ms !== undefined && (
          <div>
            <dt>Writers held still</dt>
            <dd>{short(point.frozen_ms)}</dd>
          </div>
        )}
        {point.kept !== null && point.kept !== undefined && (
          <div>
            <dt>Kept until</dt>
            <dd>
              <Moment at={point.kept.until} never="there is a newer one" />
            </dd>
          </div>
        )}
        {left > 0 && (
          <div>
            <dt>Excluded</dt>
            <dd>{bytes(left * 4096)}</dd>
          </div>
        )}
        {point.note !== "" && (
          <div>
            <dt>Note</dt>
            <dd>{point.note}</dd>
          </div>
        )}
      </dl>
      {bad > 0 && (
        <div className="note bad">
          <strong>{count(bad)} pages of the disks could not be read when this point was made.</strong>
        </div>
      )}
    </section>
  );
}
