// Asks before something is done that is felt, in the words of what would happen.
// Never knows: what is done.

import { type ReactNode, useState } from "react";
import { Dialog } from "./Dialog";
import { FailureNote } from "./Note";
import { useDoing } from "./useDoing";

export function Ask(props: {
  /** On the button that asks. */
  label: string;
  /** Of many such buttons on a page: which this is. */
  which?: string;
  title: string;
  /** On the button that does it. */
  act: string;
  /** On the button that does nothing, where Cancel would be taken for the other one. */
  leave?: string;
  do: () => Promise<void>;
  danger?: boolean;
  small?: boolean;
  children: ReactNode;
}): ReactNode {
  const [open, setOpen] = useState(false);
  const doing = useDoing();
  const yes = (): Promise<void> => doing.run(props.do).then((done) => (done ? setOpen(false) : undefined));
  const look = [props.danger === true ? "danger" : "", props.small === true ? "small" : ""].join(" ").trim();
  return (
    <>
      <button type="button" className={look} onClick={() => setOpen(true)}>
        {props.label}
        {props.which !== undefined && <span className="out-of-sight"> {props.which}</span>}
      </button>
      {open && (
        <Dialog title={props.title} close={() => setOpen(false)}>
          <div className="stack">{props.children}</div>
          <FailureNote why={doing.failure} />
          <div className="row end">
            <button type="button" onClick={() => setOpen(false)}>
              {props.leave ?? "Cancel"}
            </button>
            <button type="button" className={props.danger === true ? "danger" : "main"} disabled={doing.busy} onClick={yes}>
              {props.act}
            </button>
          </div>
        </Dialog>
      )}
    </>
  );
}
