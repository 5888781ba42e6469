// The newest gaps of a timeline: since when, until when, and why.
// Never knows: the picture.

import type { ReactNode } from "react";
import type { GapText } from "../../api/schema";
import { Moment } from "../../parts/Moment";
import { count } from "../../say/bytes";
import { length } from "../../say/time";

const MOST = 10;

export function GapTable(props: { gaps: GapText[]; choose: (at: number) => void }): ReactNode {
  const { gaps } = props;
  if (gaps.length === 0) return null;
  const shown = gaps.slice(-MOST).reverse();
  return (
    <section className="sheet bare" aria-labelledby="gaps">
      <h2 id="gaps">Gaps</h2>
      {gaps.length > MOST && <p className="empty">The newest {MOST} of {count(gaps.length)}.</p>}
      <div className="table cards" tabIndex={0} role="region" aria-label="Gaps, newest first">
        <table>
          <thead>
            <tr>
              <th scope="col">From</th>
              <th scope="col">To</th>
              <th scope="col">For</th>
              <th scope="col">Why</th>
            </tr>
          </thead>
          <tbody>
            {shown.map((gap) => (
              <tr key={gap.from}>
                <td data-label="From">
                  <button type="button" className="small plain" onClick={() => props.choose(Date.parse(gap.from))}>
                    <Moment at={gap.from} />
                  </button>
                </td>
                <td data-label="To">
                  <Moment at={gap.to} never="it lasts" />
                </td>
                <td data-label="For">{gap.to === null || gap.to === undefined ? "" : length(Date.parse(gap.to) - Date.parse(gap.from))}</td>
                <td className="wide">{gap.causes.map((cause) => (cause.text === "" ? cause.why : `${cause.why}: ${cause.text}`)).join("; ")}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
