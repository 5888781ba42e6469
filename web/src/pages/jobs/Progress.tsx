// How far one job is, and what came of it, wherever it was started.
// Never knows: other jobs.

import { type ReactNode, useState } from "react";
import { type News, useNews } from "../../api/news";
import { useAsked } from "../../api/useAsked";
import { Link } from "../../parts/Link";
import { FailureNote, GoodNote } from "../../parts/Note";
import { Cancel } from "./Cancel";
import { outcome, title } from "./words";

type Step = Extract<News, { event: "job" }>;

export function Progress(props: { job: number }): ReactNode {
  const asked = useAsked("jobs/{job}", { job: props.job });
  const [step, setStep] = useState<Step | null>(null);
  useNews((news) => {
    if (news.event === "missed") asked.again();
    if (news.event !== "job" || news.job !== props.job) return;
    setStep(news);
    if (news.state !== "running") asked.again();
  });
  const job = asked.answer;
  if (job === null) return <FailureNote why={asked.failure} again={asked.again} />;
  const [done, total] = [step?.done ?? job.done, step?.total ?? job.total ?? 0];
  if (job.state === "running")
    return (
      <div className="note" role="status">
        <strong>{title(job.work)}</strong>
        <div className="row">
          <progress aria-label="Progress of the restore" {...(total > 0 ? { max: total, value: done } : {})} />
          <span>{total > 0 ? `${Math.floor((done / total) * 100)} %` : "It has begun."}</span>
          <Cancel job={job} again={asked.again} />
        </div>
        <span className="hint">It goes on if this page is left; it is among the jobs.</span>
      </div>
    );
  if (job.state === "done")
    return (
      <GoodNote>
        <strong>{title(job.work)}: done</strong>
        <span>{outcome(job)}</span>
        <Link to="/jobs">All jobs</Link>
      </GoodNote>
    );
  return (
    <div className="note bad" role="alert">
      <strong>
        {title(job.work)}: {job.state}
      </strong>
      <span>{outcome(job)}</span>
    </div>
  );
}
