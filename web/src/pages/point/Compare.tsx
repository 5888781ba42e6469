// What became of files between another moment and this point.
// Never knows: the content of files.

import { type FormEvent, type ReactNode, useEffect, useState } from "react";
import { Failure, get } from "../../api/client";
import type { ChangeText, Compared, PointText, StateText } from "../../api/schema";
import { Field } from "../../parts/Field";
import { Moment } from "../../parts/Moment";
import { FailureNote } from "../../parts/Note";
import { useDoing } from "../../parts/useDoing";
import { bytes, count } from "../../say/bytes";
import { moment, read, typed, zone } from "../../say/time";
import type { Place } from "./Browse";

export function Compare(props: { place: Place; point: PointText }): ReactNode {
  const { place, point } = props;
  const [text, setText] = useState("");
  const [shown, setShown] = useState<{ with: PointText; compared: Compared } | null>(null);
  const doing = useDoing();
  // If nobody says otherwise: the point before.
  useEffect(() => {
    pointAt(place.machine, Date.parse(point.time) - 1).then(
      (found) => found !== null && setText((before) => (before === "" ? typed(Date.parse(found.time)) : before)),
      () => undefined,
    );
  }, [place.machine, point]);
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    void doing.run(async () => {
      const at = read(text);
      const other = at === null ? null : await pointAt(place.machine, Math.min(at + 999, Date.parse(point.time) - 1));
      const found = other ?? (at === null ? null : await pointAt(place.machine, at + 999));
      if (found === null) throw new Failure(404, "not_found", "there is no point at or before that moment", "");
      const ends = found.point < point.point ? { from: found.point, to: point.point } : { from: point.point, to: found.point };
      const where = place.partition === null ? { disk: place.disk } : { disk: place.disk, partition: place.partition };
      setShown({ with: found, compared: await get("machines/{machine}/compare", { machine: place.machine }, { ...ends, ...where }) });
    });
  };
  return (
    <section className="sheet bare" aria-labelledby="compare">
      <h2 id="compare">Compare with another moment</h2>
      <form className="inset stack" onSubmit={submit}>
        <div className="row">
          <Field label="Moment to compare with" about={zone()} type="datetime-local" step={1} value={text} onChange={(event) => setText(event.target.value)} required />
          <button type="submit" disabled={doing.busy}>
            Compare
          </button>
        </div>
        <FailureNote why={doing.failure} />
      </form>
      {shown !== null && <Changes with={shown.with} compared={shown.compared} />}
    </section>
  );
}

async function pointAt(machine: string, at: number): Promise<PointText | null> {
  const page = await get("machines/{machine}/points", { machine }, { to: new Date(at).toISOString().replace("Z", "999999Z"), limit: 1 });
  return page.points[0] ?? null;
}

function Changes(props: { with: PointText; compared: Compared }): ReactNode {
  const { compared } = props;
  return (
    <>
      <p className="empty" role="status">
        From point {count(compared.from)} to point {count(compared.to)}, compared with {moment(props.with.time)}:{" "}
        {compared.changes.length === 0 ? "no file differs." : `${count(compared.changes.length)} changes${compared.cut ? ", and more" : ""}.`}
        {compared.unreadable.length > 0 && ` Not readable: ${compared.unreadable.join(", ")}.`}
      </p>
      {compared.changes.length > 0 && (
        <div className="table cards dense" tabIndex={0} role="region" aria-label="Changes">
          <table className="files">
            <thead>
              <tr>
                <th scope="col">What</th>
                <th scope="col">Path</th>
                <th scope="col">Before</th>
                <th scope="col">After</th>
              </tr>
            </thead>
            <tbody>
              {compared.changes.map((change) => (
                <Row key={change.path} change={change} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  );
}

function Row(props: { change: ChangeText }): ReactNode {
  const { change } = props;
  return (
    <tr>
      <td>{change.kind}</td>
      <td className="name">{change.path}</td>
      <td data-label="Before">
        <State of={change.before ?? null} />
      </td>
      <td data-label="After">
        <State of={change.after ?? null} />
      </td>
    </tr>
  );
}

function State(props: { of: StateText | null }): ReactNode {
  if (props.of === null) return <span className="quiet">–</span>;
  return (
    <>
      {props.of.kind === "file" ? bytes(props.of.bytes) : props.of.kind}, <Moment at={props.of.modified} />
    </>
  );
}
