// A new password for somebody who has lost theirs, good once.
// Never knows: the old one.

import { type FormEvent, type ReactNode, useState } from "react";
import { post } from "../../api/client";
import type { OneTime, PersonText } from "../../api/schema";
import { Dialog } from "../../parts/Dialog";
import { Check } from "../../parts/Field";
import { FailureNote } from "../../parts/Note";
import { useDoing } from "../../parts/useDoing";
import { OnceShown } from "./OnceShown";

export function ResetPassword(props: { person: PersonText; again: () => void }): ReactNode {
  const { person } = props;
  const [open, setOpen] = useState(false);
  return (
    <>
      <button type="button" className="small" onClick={() => setOpen(true)}>
        Reset password<span className="out-of-sight"> of {person.name}</span>
      </button>
      {open && (
        <Reset
          person={person}
          close={() => {
            setOpen(false);
            props.again();
          }}
        />
      )}
    </>
  );
}

function Reset(props: { person: PersonText; close: () => void }): ReactNode {
  const { person, close } = props;
  const [factor, setFactor] = useState(false);
  const [once, setOnce] = useState<OneTime | null>(null);
  const doing = useDoing();
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    void doing.run(async () => setOnce(await post("people/{person}/password", { remove_second_factor: factor }, { person: person.name })));
  };
  if (once !== null) return <OnceShown title={`A password for ${person.name}`} once={once} close={close} />;
  return (
    <Dialog title={`Reset the password of ${person.name}?`} close={close}>
      <form className="stack" onSubmit={submit}>
        <p>Their sessions end now. A password is made that is good once.</p>
        <Check label="Take their second factor away, too" checked={factor} onChange={(event) => setFactor(event.target.checked)} />
        <FailureNote why={doing.failure} />
        <div className="row end">
          <button type="button" onClick={close}>
            Cancel
          </button>
          <button type="submit" className="danger" disabled={doing.busy}>
            Reset
          </button>
        </div>
      </form>
    </Dialog>
  );
}
