// A password that is good once, to be handed to whom it is for.
// Never knows: why it was made.

import type { ReactNode } from "react";
import type { OneTime } from "../../api/schema";
import { Copied } from "../../parts/Copied";
import { Dialog } from "../../parts/Dialog";
import { Moment } from "../../parts/Moment";

export function OnceShown(props: { title: string; once: OneTime; close: () => void }): ReactNode {
  return (
    <Dialog title={props.title} close={props.close}>
      <p>
        Hand this password over, in a way that nobody else reads. It is good until <Moment at={props.once.until} />, has to be changed at the
        first login, and is shown this once:
      </p>
      <Copied label="the password" text={props.once.password} />
      <div className="row end">
        <button type="button" className="main" onClick={props.close}>
          Done
        </button>
      </div>
    </Dialog>
  );
}
