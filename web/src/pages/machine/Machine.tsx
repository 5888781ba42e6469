// One machine: how it does, its timeline, and what can be done with the moment that is chosen.
// Never knows: what is in a point.

import { type ReactNode, useState } from "react";
import type { MachineText } from "../../api/schema";
import { useAsked } from "../../api/useAsked";
import { useNews } from "../../api/news";
import { usePlace } from "../../app/router";
import { FailureNote } from "../../parts/Note";
import { Link } from "../../parts/Link";
import { Page } from "../../parts/Page";
import { Shown } from "../../parts/Shown";
import { useLine } from "../../timeline/useTimeline";
import { Facts } from "./Facts";
import { History } from "./History";
import { Manage } from "./Manage";

export function Machine(props: { names: Record<string, string> }): ReactNode {
  const machine = props.names.machine ?? "";
  const { query } = usePlace();
  const [begin] = useState(() => {
    const at = Date.parse(query.get("at") ?? "");
    return Number.isNaN(at) ? null : at;
  });
  const asked = useAsked("machines/{machine}", { machine });
  useNews((news) => (news.event === "missed" || (news.event !== "job" && "machine" in news && news.machine === machine)) && asked.again());
  const { line, failure } = useLine(machine, begin);
  return (
    <Page
      title={machine}
      above={
        <nav aria-label="Where this is" className="crumb">
          <Link to="/">Machines</Link>
        </nav>
      }
    >
      <Shown asked={asked}>
        {(about) => (
          <>
            <Facts about={about} />
            {asked.failure === null && <FailureNote why={about.newest === null || about.newest === undefined ? null : failure} />}
            {line !== null && <History machine={about} line={line} />}
            {line === null && (about.newest === null || about.newest === undefined) && <NoPoints about={about} />}
            <Manage about={about} again={asked.again} />
          </>
        )}
      </Shown>
    </Page>
  );
}

/** What to do for a first point: who has just enrolled a machine looks here. */
function NoPoints(props: { about: MachineText }): ReactNode {
  const { about } = props;
  return (
    <div className="note">
      <strong>There are no points of this machine yet.</strong>
      {about.connected && <span>Its agent is there: the first point takes as long as its disks are read.</span>}
      {!about.connected && about.enrolled && (
        <span>
          Its agent is away. On the machine <code>systemctl start backstay-agent</code> starts it, and <code>journalctl -u backstay-agent</code> tells what it
          does. Without the service: <code>backstay agent DISK</code>.
        </span>
      )}
      {!about.connected && !about.enrolled && <span>It has no certificate: make a code for it among the enrolments.</span>}
    </div>
  );
}
