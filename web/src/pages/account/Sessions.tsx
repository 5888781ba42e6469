// Where one is logged in, with a way to end it.
// Never knows: other people's sessions.

import type { ReactNode } from "react";
import { remove } from "../../api/client";
import { useAsked } from "../../api/useAsked";
import { Ask } from "../../parts/Ask";
import { Moment } from "../../parts/Moment";
import { Shown } from "../../parts/Shown";

export function Sessions(): ReactNode {
  const asked = useAsked("me/sessions");
  return (
    <section className="sheet bare" aria-labelledby="sessions">
      <h2 id="sessions">Where I am logged in</h2>
      <Shown asked={asked}>
        {(sessions) => (
          <div className="table cards" tabIndex={0} role="region" aria-label="Sessions">
            <table>
              <thead>
                <tr>
                  <th scope="col">From</th>
                  <th scope="col">By</th>
                  <th scope="col">Since</th>
                  <th scope="col">Last seen</th>
                  <th scope="col">
                    <span className="out-of-sight">End</span>
                  </th>
                </tr>
              </thead>
              <tbody>
                {sessions.map((session) => (
                  <tr key={session.id}>
                    <td>
                      {session.address} {session.current && <span className="quiet">(this one)</span>}
                    </td>
                    <td data-label="By">{session.way}</td>
                    <td data-label="Since">
                      <Moment at={session.created} />
                    </td>
                    <td data-label="Last seen">
                      <Moment at={session.seen} />
                    </td>
                    <td>
                      {!session.current && (
                        <Ask
                          small
                          danger
                          label="End"
                          which={`the session from ${session.address}`}
                          title="End this session?"
                          act="End it"
                          do={() => remove("me/sessions/{session}", { session: session.id }).then(asked.again)}
                        >
                          <p>Whoever uses it has to log in again.</p>
                        </Ask>
                      )}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </Shown>
    </section>
  );
}
