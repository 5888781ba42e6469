// Cancelling a job, for whom the server says that they may.
// Never knows: who that is.

import type { ReactNode } from "react";
import { post } from "../../api/client";
import type { JobText } from "../../api/schema";
import { Ask } from "../../parts/Ask";

export function Cancel(props: { job: JobText; again: () => void }): ReactNode {
  const { job } = props;
  if (!job.may_cancel) return null;
  const fresh = job.work.kind === "restore" && job.work.delta !== true;
  return (
    <Ask
      small
      label="Cancel"
      which={`job ${job.id}`}
      title="Cancel this job?"
      act="Cancel the job"
      leave="Let it go on"
      do={() => post("jobs/{job}/cancel", null, { job: job.id }).then(props.again)}
    >
      <p>{fresh ? "The file that it writes is removed." : "It ends after the step that it is at. What it did stays done."}</p>
    </Ask>
  );
}
