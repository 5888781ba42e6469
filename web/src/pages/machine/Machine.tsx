// One machine: how it does, its timeline, and what can be done with the moment that is chosen.
// Never knows: what is in a point.

import { type ReactNode, useState } from "react";
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
            {line === null && (about.newest === null || about.newest === undefined) && <p>There are no points of this machine yet.</p>}
            <Manage about={about} again={asked.again} />
          </>
        )}
      </Shown>
    </Page>
  );
}
