// The points of what is seen of the timeline, as a table: newest first, by pages.
// Never knows: the picture.

import { type ReactNode, useEffect, useRef, useState } from "react";
import type { MachineText } from "../../api/schema";
import { useAsked } from "../../api/useAsked";
import { useNews } from "../../api/news";
import { place } from "../../app/router";
import { Link } from "../../parts/Link";
import { Moment } from "../../parts/Moment";
import { Shown } from "../../parts/Shown";
import { bytes, count } from "../../say/bytes";
import { short } from "../../say/time";
import { asked as times, type Seen } from "../../timeline/store";

const PAGE = 12;

export function PointTable(props: { machine: MachineText; seen: Seen; chosen: number | null; choose: (at: number) => void }): ReactNode {
  const { machine, seen } = props;
  const { from, to } = times(seen);
  /** The cursors of the pages before, and of this one. */
  const [cursors, setCursors] = useState<string[]>([]);
  useEffect(() => setCursors([]), [from, to]);
  const cursor = cursors[cursors.length - 1];
  const query = { ...times(seen), limit: PAGE, ...(cursor === undefined ? {} : { cursor }) };
  const asked = useAsked("machines/{machine}/points", { machine: machine.name }, query);
  // While the next page is awaited the one before stays: tables that come and go are hard to read.
  const held = useRef<typeof asked.answer>(null);
  if (asked.answer !== null) held.current = asked.answer;
  useNews((news) => cursor === undefined && news.event === "point" && news.machine === machine.name && asked.again());
  return (
    <section className="sheet bare" aria-labelledby="points">
      <header className="row apart">
        <h2 id="points">Points in view</h2>
      </header>
      <Shown asked={{ ...asked, answer: asked.answer ?? held.current }}>
        {(page) =>
          page.points.length === 0 ? (
            <p className="empty">There are none in this time.</p>
          ) : (
            <>
              <div className="table cards dense" tabIndex={0} role="region" aria-label="Points, newest first">
                <table>
                  <thead>
                    <tr>
                      <th scope="col">Point</th>
                      <th scope="col">Shows</th>
                      <th scope="col">State</th>
                      <th scope="col" className="number">
                        Changed
                      </th>
                      <th scope="col" className="number">
                        Stored
                      </th>
                      <th scope="col" className="number">
                        Held still
                      </th>
                      {page.points.some((point) => point.kept) && <th scope="col">Kept until</th>}
                      <th scope="col">Note</th>
                    </tr>
                  </thead>
                  <tbody>
                    {page.points.map((point) => (
                      <tr key={point.point} className={point.point === props.chosen ? "chosen" : undefined}>
                        <td data-label="Point">
                          <Link to={place("machines", machine.name, "points", point.point)}>{count(point.point)}</Link>
                        </td>
                        <td>
                          <button type="button" className="small plain" onClick={() => props.choose(Date.parse(point.time))}>
                            <Moment at={point.time} exact />
                          </button>
                        </td>
                        <td>{point.consistent ? "consistent" : "fuzzy"}</td>
                        <td className="number" data-label="Changed">
                          {bytes(point.changed_pages * 4096)}
                        </td>
                        <td className="number" data-label="Stored">
                          {bytes(point.stored_bytes)}
                        </td>
                        <td className="number" data-label="Held still">
                          {point.frozen_ms === null || point.frozen_ms === undefined ? "–" : short(point.frozen_ms)}
                        </td>
                        {page.points.some((one) => one.kept) && (
                          <td data-label="Kept until">
                            <Moment at={point.kept?.until} never="there is a newer one" />
                          </td>
                        )}
                        <td className="wide">{point.note}</td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </div>
              {(cursors.length > 0 || (page.next !== null && page.next !== undefined)) && (
                <nav className="row empty" aria-label="Pages of points">
                  <button type="button" className="small" disabled={cursors.length === 0} onClick={() => setCursors(cursors.slice(0, -1))}>
                    Newer
                  </button>
                  <button
                    type="button"
                    className="small"
                    disabled={page.next === null || page.next === undefined}
                    onClick={() => setCursors([...cursors, page.next ?? ""])}
                  >
                    Older
                  </button>
                </nav>
              )}
            </>
          )
        }
      </Shown>
    </section>
  );
}
