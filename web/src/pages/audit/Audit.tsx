// The log of who did what, newest first, and what proves that nothing in it was changed.
// Never knows: what is logged.

import { type ReactNode, useState } from "react";
import { get } from "../../api/client";
import type { Line } from "../../api/schema";
import { useAsked } from "../../api/useAsked";
import { Field } from "../../parts/Field";
import { Moment } from "../../parts/Moment";
import { FailureNote } from "../../parts/Note";
import { Page } from "../../parts/Page";
import { Shown } from "../../parts/Shown";
import { useDoing } from "../../parts/useDoing";
import { count } from "../../say/bytes";
import { Proof } from "./Proof";

export function Audit(): ReactNode {
  const asked = useAsked("audit");
  return (
    <Page title="Audit log" lead="Every look into backed-up data and every change is written here before it happens.">
      <Proof />
      <Shown asked={asked}>{(lines) => <Lines key={lines[0]?.index ?? 0} first={lines} again={asked.again} />}</Shown>
    </Page>
  );
}

function Lines(props: { first: Line[]; again: () => void }): ReactNode {
  const [lines, setLines] = useState(props.first);
  const [words, setWords] = useState("");
  const doing = useDoing();
  const last = lines[lines.length - 1]?.index ?? 0;
  const older = (): void => {
    void doing.run(async () => {
      const more = await get("audit", {}, { before: last, limit: 200 });
      setLines((before) => [...before, ...more]);
    });
  };
  const text = (line: Line): string => `${line.what} ${line.user} ${line.object} ${line.from} ${line.detail} ${line.kind}`.toLowerCase();
  const shown = lines.filter((line) => text(line).includes(words.toLowerCase()));
  return (
    <section className="sheet bare" aria-labelledby="lines">
      <header className="row apart">
        <h2 id="lines">Newest first</h2>
        <button type="button" className="small" onClick={props.again}>
          Look again
        </button>
      </header>
      <div className="inset">
        <Field label="Find in what is shown" type="search" value={words} onChange={(event) => setWords(event.target.value)} />
      </div>
      <div className="table cards records" tabIndex={0} role="region" aria-label="Records, newest first">
        <table>
          <thead>
            <tr>
              <th scope="col" className="number">
                No.
              </th>
              <th scope="col">When</th>
              <th scope="col">Who</th>
              <th scope="col">What</th>
              <th scope="col">Outcome</th>
              <th scope="col">To what</th>
              <th scope="col">From</th>
            </tr>
          </thead>
          <tbody>
            {shown.map((line) => (
              <tr key={line.index}>
                <td className="number">{count(line.index)}</td>
                <td data-label="When">
                  <Moment at={line.time} />
                </td>
                <td data-label="Who">{line.user}</td>
                <td data-label="What">{line.what === "" ? line.kind : line.what}</td>
                <td className="moment">{outcome(line)}</td>
                <td className="wide">
                  <span className="mono">{line.object}</span>
                  {line.detail !== "" && <div className="quiet mono">{line.detail}</div>}
                </td>
                <td data-label="From">{line.from}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <FailureNote why={doing.failure} />
      {last > 0 && (
        <div className="empty">
          <button type="button" onClick={older} disabled={doing.busy}>
            Older
          </button>
        </div>
      )}
    </section>
  );
}

function outcome(line: Line): ReactNode {
  if (line.kind === "intent") return "is about to be done";
  if (line.success === null || line.success === undefined) return "";
  const of = line.of === null || line.of === undefined ? "" : ` (of ${count(line.of)})`;
  return line.success ? `done${of}` : <span className="trouble">refused or failed{of}</span>;
}
