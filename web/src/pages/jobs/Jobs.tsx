// Jobs: what runs, what ran and what came of it; new ones, and when they are due.
// Never knows: how jobs are done.

import { type ReactNode, useState } from "react";
import { type News, useNews } from "../../api/news";
import type { JobText } from "../../api/schema";
import { useAsked } from "../../api/useAsked";
import { useSession } from "../../app/session";
import { Moment } from "../../parts/Moment";
import { Page } from "../../parts/Page";
import { Shown } from "../../parts/Shown";
import { Calendar } from "./Calendar";
import { Cancel } from "./Cancel";
import { NewJob } from "./NewJob";
import { outcome, title } from "./words";

type Progress = Extract<News, { event: "job" }>;

export function Jobs(): ReactNode {
  const session = useSession();
  const asked = useAsked("jobs");
  const [progress, setProgress] = useState<Progress | null>(null);
  useNews((news) => {
    if (news.event === "job") setProgress(news);
    if (news.event === "missed" || (news.event === "job" && (news.state !== "running" || news.done === 0))) asked.again();
  });
  return (
    <Page title="Jobs">
      {session.may("run") && <NewJob started={asked.again} />}
      <Shown asked={asked}>{(jobs) => <Table jobs={jobs} progress={progress} again={asked.again} />}</Shown>
      {session.may("see") && <Calendar />}
    </Page>
  );
}

function Table(props: { jobs: JobText[]; progress: Progress | null; again: () => void }): ReactNode {
  const { jobs } = props;
  return (
    <section className="sheet bare" aria-labelledby="jobs">
      <h2 id="jobs">Jobs, newest first</h2>
      {jobs.length === 0 && <p className="empty">None has run yet.</p>}
      {jobs.length > 0 && (
        <div className="table cards" tabIndex={0} role="region" aria-label="Jobs, newest first">
          <table>
            <thead>
              <tr>
                <th scope="col">Job</th>
                <th scope="col">State</th>
                <th scope="col">Begun</th>
                <th scope="col">By</th>
                <th scope="col">What came of it</th>
              </tr>
            </thead>
            <tbody>
              {jobs.map((job) => (
                <Row key={job.id} job={job} progress={props.progress?.job === job.id ? props.progress : null} again={props.again} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

const BAD = ["failed", "interrupted"];

function Row(props: { job: JobText; progress: Progress | null; again: () => void }): ReactNode {
  const { job, progress } = props;
  const runs = job.state === "running";
  const [done, total] = [progress?.done ?? job.done, progress?.total ?? job.total ?? 0];
  return (
    <tr>
      <td>{title(job.work)}</td>
      <td data-label="State">
        <span className={`word ${BAD.includes(job.state) ? "bad" : job.state === "done" ? "well" : ""}`}>{job.state}</span>
      </td>
      <td data-label="Begun">
        <Moment at={job.created} />
      </td>
      <td data-label="By">{job.by}</td>
      <td className="wide">{runs ? <Running job={job} done={done} total={total} again={props.again} /> : outcome(job)}</td>
    </tr>
  );
}

function Running(props: { job: JobText; done: number; total: number; again: () => void }): ReactNode {
  const { job, done, total } = props;
  return (
    <div className="row">
      {total > 0 ? <progress max={total} value={done} aria-label={`Progress of ${title(job.work)}`} /> : <progress aria-label={`Progress of ${title(job.work)}`} />}
      <Cancel job={job} again={props.again} />
    </div>
  );
}
