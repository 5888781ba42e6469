// What needs a person: what lasts first.
// Never knows: who is told by other ways.

import type { ReactNode } from "react";
import { useNews } from "../../api/news";
import type { AlertText } from "../../api/schema";
import { useAsked } from "../../api/useAsked";
import { place } from "../../app/router";
import { Link } from "../../parts/Link";
import { Moment } from "../../parts/Moment";
import { Page } from "../../parts/Page";
import { Shown } from "../../parts/Shown";

const KINDS: Record<string, string> = {
  late: "No point in time",
  gap: "Gap",
  damaged: "Damaged data",
  space: "Disk filling",
  job: "Job failed",
  logins: "Failed logins",
};

export function Alerts(): ReactNode {
  const asked = useAsked("alerts");
  useNews((news) => (news.event === "alert" || news.event === "missed") && asked.again());
  return (
    <Page title="Alerts">
      <Shown asked={asked}>
        {(alerts) => {
          const lasting = alerts.filter((alert) => alert.ended === null || alert.ended === undefined);
          const over = alerts.filter((alert) => !lasting.includes(alert));
          return (
            <>
              {lasting.length === 0 ? <p role="status">Nothing needs a person now.</p> : <Table title="These last" alerts={lasting} />}
              {over.length > 0 && <Table title="Over" alerts={over} />}
            </>
          );
        }}
      </Shown>
    </Page>
  );
}

function Table(props: { title: string; alerts: AlertText[] }): ReactNode {
  const lasts = props.title === "These last";
  return (
    <section className="sheet bare" aria-label={props.title}>
      <h2>{props.title}</h2>
      <div className="table cards" tabIndex={0} role="region" aria-label={`${props.title}: alerts`}>
        <table>
          <thead>
            <tr>
              <th scope="col">What</th>
              <th scope="col">About</th>
              <th scope="col">Since</th>
              {!lasts && <th scope="col">Until</th>}
              <th scope="col">More</th>
            </tr>
          </thead>
          <tbody>
            {props.alerts.map((alert) => (
              <tr key={alert.id}>
                <td>
                  <span className={lasts ? "word bad" : "word"}>{KINDS[alert.kind] ?? alert.kind}</span>
                </td>
                <td data-label="About">
                  <Subject alert={alert} />
                </td>
                <td data-label="Since">
                  <Moment at={alert.since} />
                </td>
                {!lasts && (
                  <td data-label="Until">
                    <Moment at={alert.ended} />
                  </td>
                )}
                <td className="wide">{alert.text}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function Subject(props: { alert: AlertText }): ReactNode {
  const { kind, subject } = props.alert;
  return kind === "late" || kind === "gap" ? <Link to={place("machines", subject)}>{subject}</Link> : subject;
}
