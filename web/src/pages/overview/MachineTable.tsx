// The table of machines. A row is drawn again only when what it says has changed.
// Never knows: where machines come from.

import { memo, type ReactNode } from "react";
import type { MachineText } from "../../api/schema";
import { place } from "../../app/router";
import { Link } from "../../parts/Link";
import { useNow } from "../../parts/now";
import { bytes } from "../../say/bytes";
import { age, passed, promise, type Seen, state, suspension } from "./machines";

export function MachineTable(props: { machines: Seen[]; all: number }): ReactNode {
  const now = useNow();
  return (
    <div className="sheet bare">
      <table className="machines" aria-rowcount={props.all + 1}>
        <caption className="out-of-sight">Machines, those with trouble first</caption>
        <thead>
          <tr>
            <th scope="col">Machine</th>
            <th scope="col">State</th>
            <th scope="col">Newest point</th>
            <th scope="col">Promise</th>
            <th scope="col" className="number">
              Disks
            </th>
            <th scope="col">Agent</th>
          </tr>
        </thead>
        <tbody>
          {props.machines.map((one) => (
            <Row key={one.machine.name} machine={one.machine} age={age(one, now)} parts={steps(passed(one, now))} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** In steps of a tenth, so that a row is not drawn for less. */
function steps(part: number | null): number | null {
  return part === null ? null : Math.min(20, Math.floor(part * 10));
}

const Row = memo(function Row(props: { machine: MachineText; age: string; parts: number | null }): ReactNode {
  const { machine } = props;
  const { word, look } = state(machine);
  const held = suspension(machine);
  return (
    <tr>
      <th scope="row" title={machine.name}>
        <Link to={place("machines", machine.name)}>{machine.name}</Link>
      </th>
      <td>
        <span className={`word ${look}`}>{word}</span>
        {held !== "" && <div className="quiet held">{held}</div>}
      </td>
      <td data-label="newest">{props.age}</td>
      <td data-label="promise">
        {promise(machine)}
        {props.parts !== null && <Kept parts={props.parts} />}
      </td>
      <td className="number" data-label="disks">
        {machine.disk_bytes === 0 ? "–" : bytes(machine.disk_bytes)}
      </td>
      <td data-label="agent">{machine.connected ? "there" : machine.enrolled ? "away" : "none"}</td>
    </tr>
  );
});

/** The age against the promise: full when it is time for the next point, red when that is long past. */
function Kept(props: { parts: number }): ReactNode {
  return (
    <span className={props.parts >= 20 ? "kept bad" : "kept"} aria-hidden="true">
      <span data-parts={Math.min(10, props.parts)} />
    </span>
  );
}
