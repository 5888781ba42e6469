// One point: what it is, and for those who may read it, what is in it.
// Never knows: other points, but the newest.

import type { ReactNode } from "react";
import { useAsked } from "../../api/useAsked";
import { place } from "../../app/router";
import { useSession } from "../../app/session";
import { Link } from "../../parts/Link";
import { Page } from "../../parts/Page";
import { Shown } from "../../parts/Shown";
import { count } from "../../say/bytes";
import { moment } from "../../say/time";
import { Browse } from "./Browse";
import { PointFacts } from "./PointFacts";

export function Point(props: { names: Record<string, string> }): ReactNode {
  const machine = props.names.machine ?? "";
  const number = Number(props.names.point);
  const session = useSession();
  const about = useAsked("machines/{machine}", { machine });
  const point = useAsked("machines/{machine}/points/{point}", { machine, point: props.names.point ?? "" });
  const vault = about.answer?.vault;
  const here = point.answer === null ? place("machines", machine) : `${place("machines", machine)}?at=${point.answer.time}`;
  return (
    <Page
      title={`${machine}, point ${Number.isNaN(number) ? (props.names.point ?? "") : count(number)}`}
      lead={point.answer === null ? undefined : `As it was at ${moment(point.answer.time)}`}
      above={
        <nav aria-label="Where this is" className="crumb">
          <Link to="/">Machines</Link> › <Link to={here}>{machine}</Link>
        </nav>
      }
    >
      <Shown asked={point}>
        {(found) => (
          <>
            <PointFacts point={found} />
            {vault !== undefined && session.may("read", machine, vault) && <Browse machine={machine} point={found} />}
            {vault !== undefined && !session.may("read", machine, vault) && (
              <p className="quiet">What is in it is shown to restore operators only.</p>
            )}
          </>
        )}
      </Shown>
    </Page>
  );
}
