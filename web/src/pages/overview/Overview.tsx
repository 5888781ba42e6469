// Every machine at a glance: those with trouble first.
// Never knows: what is in a point.

import { type ReactNode, useDeferredValue, useEffect, useMemo, useState } from "react";
import { useSession } from "../../app/session";
import { Check, Field } from "../../parts/Field";
import { Link } from "../../parts/Link";
import { FailureNote } from "../../parts/Note";
import { Page } from "../../parts/Page";
import { count } from "../../say/bytes";
import { found, type Seen } from "./machines";
import { MachineTable } from "./MachineTable";
import { useMachines } from "./useMachines";

export function Overview(): ReactNode {
  const machines = useMachines();
  const session = useSession();
  const [words, setWords] = useState("");
  const [only, setOnly] = useState(false);
  const wanted = useDeferredValue(words);
  const shown = useMemo(
    () => machines.all?.filter((one) => found(one.machine, wanted, only)) ?? [],
    [machines.all, wanted, only],
  );
  return (
    <Page title="Machines" lead={machines.all === null ? undefined : <Summary all={machines.all} />}>
      <FailureNote why={machines.failure} again={machines.again} />
      {machines.all === null && machines.failure === null && <p className="quiet">Loading …</p>}
      {machines.all !== null && machines.all.length === 0 && (
        <p>
          There are no machines yet.{" "}
          {session.may("run") ? <Link to="/enrolments">Enrol the first one</Link> : "An operator enrols them."}
        </p>
      )}
      {machines.all !== null && machines.all.length > 0 && (
        <>
          <div className="row" role="search">
            <Field label="Find" type="search" placeholder="name, vault or state" value={words} onChange={(event) => setWords(event.target.value)} />
            <Check label="Only those with trouble" checked={only} onChange={(event) => setOnly(event.target.checked)} />
          </div>
          <Rows shown={shown} />
        </>
      )}
    </Page>
  );
}

/** The first rows are there at once, the others a moment later. */
function Rows(props: { shown: Seen[] }): ReactNode {
  const [most, setMost] = useState(50);
  useEffect(() => {
    const timer = setTimeout(() => setMost(Number.POSITIVE_INFINITY), 100);
    return () => clearTimeout(timer);
  }, []);
  if (props.shown.length === 0) return <p className="quiet">No machine is like that.</p>;
  return <MachineTable machines={most < props.shown.length ? props.shown.slice(0, most) : props.shown} all={props.shown.length} />;
}

function Summary(props: { all: Seen[] }): ReactNode {
  const bad = props.all.filter((one) => one.machine.trouble.length > 0).length;
  const suspended = props.all.filter((one) => one.machine.suspended !== null && one.machine.suspended !== undefined).length;
  const words = [`${count(props.all.length)} ${props.all.length === 1 ? "machine" : "machines"}`];
  if (suspended > 0) words.push(`${count(suspended)} suspended`);
  return (
    <span role="status">
      {bad > 0 ? <strong className="trouble">{count(bad)} with trouble</strong> : <strong>{suspended > 0 ? "No trouble" : "All is well"}</strong>}
      {" · "}
      {words.join(" · ")}
    </span>
  );
}
