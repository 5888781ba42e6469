// How a machine does, in figures.
// Never knows: its timeline.

import { type ReactNode, useMemo } from "react";
import type { MachineText } from "../../api/schema";
import { useNow } from "../../parts/now";
import { Moment } from "../../parts/Moment";
import { bytes } from "../../say/bytes";
import { age, promise, seen, state } from "../overview/machines";

export function Facts(props: { about: MachineText }): ReactNode {
  const { about } = props;
  const now = useNow();
  const one = useMemo(() => seen(about, Date.now()), [about]);
  const { word, look } = state(about);
  return (
    <section className="sheet stack" aria-label="How it does">
      <dl className="facts">
        <div>
          <dt>State</dt>
          <dd className="large">
            <span className={`word ${look}`}>{word}</span>
          </dd>
        </div>
        <div>
          <dt>Newest point</dt>
          <dd className="large">{age(one, now)}</dd>
          <dd>{about.newest !== null && about.newest !== undefined && <Moment at={about.newest} />}</dd>
        </div>
        <div>
          <dt>Promise</dt>
          <dd className="large">{promise(about)}</dd>
        </div>
        <div>
          <dt>Disks</dt>
          <dd className="large">{about.newest === null || about.newest === undefined ? "–" : bytes(about.disk_bytes)}</dd>
        </div>
        <div>
          <dt>Agent</dt>
          <dd className="large">{about.connected ? "there" : about.enrolled ? "away" : "none"}</dd>
          <dd>vault {about.vault}</dd>
        </div>
      </dl>
      {about.suspended !== null && about.suspended !== undefined && (
        <div className="note">
          <strong>
            Suspended until <Moment at={about.suspended.until} />
          </strong>
          <span>{about.suspended.reason}</span>
        </div>
      )}
      {/* Of a suspension the note above says all that the gap does. */}
      {about.gap !== null && about.gap !== undefined && (about.suspended === null || about.suspended === undefined) && (
        <div className="note bad">
          <strong>
            No points since <Moment at={about.gap.from} />
          </strong>
          <span>{about.gap.causes.map((cause) => (cause.text === "" ? cause.why : `${cause.why}: ${cause.text}`)).join("; ")}</span>
        </div>
      )}
    </section>
  );
}
