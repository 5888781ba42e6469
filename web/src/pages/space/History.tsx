// What the store took from day to day, as a line and as a table.
// Never knows: why.

import type { ReactNode } from "react";
import type { TakenText } from "../../api/schema";
import { Moment } from "../../parts/Moment";
import { bytes } from "../../say/bytes";

const [WIDE, HIGH] = [600, 120];

/** The line, in a box of WIDE by HIGH; from nothing to a little above the most. */
function path(taken: TakenText[]): string {
  const times = taken.map((one) => Date.parse(one.at));
  const [first, last] = [Math.min(...times), Math.max(...times)];
  const most = Math.max(...taken.map((one) => one.stored_bytes), 1) * 1.08;
  const dots = taken.map((one, at) => {
    const x = (((times[at] ?? first) - first) / Math.max(last - first, 1)) * WIDE;
    return `${x.toFixed(1)} ${(HIGH - (one.stored_bytes / most) * HIGH).toFixed(1)}`;
  });
  return `M${dots.join("L")}`;
}

export function History(props: { taken: TakenText[] }): ReactNode {
  const { taken } = props;
  const [first, last] = [taken[0], taken[taken.length - 1]];
  if (first === undefined || last === undefined || taken.length < 2) return null;
  return (
    <section className="sheet stack" aria-labelledby="history">
      <h2 id="history">Stored, so far</h2>
      <svg className="history" viewBox={`0 0 ${WIDE} ${HIGH}`} preserveAspectRatio="none" role="img" aria-label={`From ${bytes(first.stored_bytes)} to ${bytes(last.stored_bytes)}`}>
        <path d={`${path(taken)}L${WIDE} ${HIGH}L0 ${HIGH}Z`} className="under" />
        <path d={path(taken)} className="line" vectorEffect="non-scaling-stroke" />
      </svg>
      <div className="row apart quiet">
        <span>
          <Moment at={first.at} />, {bytes(first.stored_bytes)}
        </span>
        <span>
          <Moment at={last.at} />, {bytes(last.stored_bytes)}
        </span>
      </div>
      <details>
        <summary>As a table</summary>
        <div className="table" tabIndex={0} role="region" aria-label="What the store took">
          <table>
            <thead>
              <tr>
                <th scope="col">When</th>
                <th scope="col" className="number">
                  Stored
                </th>
              </tr>
            </thead>
            <tbody>
              {taken.map((one) => (
                <tr key={one.at}>
                  <td>
                    <Moment at={one.at} />
                  </td>
                  <td className="number">{bytes(one.stored_bytes)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </details>
    </section>
  );
}
