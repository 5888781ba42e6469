// By what the issuer of single sign-on knows a person, said by an administrator.
// Never knows: how an issuer is asked.

import { type FormEvent, type ReactNode, useState } from "react";
import { put, remove } from "../../api/client";
import type { PersonText } from "../../api/schema";
import { Dialog } from "../../parts/Dialog";
import { Field } from "../../parts/Field";
import { FailureNote } from "../../parts/Note";
import { useDoing } from "../../parts/useDoing";

/** `issuer`: that of the settings; nothing: there is none. */
export function Identity(props: { person: PersonText; issuer: string | null; again: () => void }): ReactNode {
  const { person, issuer } = props;
  const [open, setOpen] = useState(false);
  if (issuer === null && (person.single_sign_on === null || person.single_sign_on === undefined)) return null;
  return (
    <>
      <button type="button" className="small" onClick={() => setOpen(true)}>
        Single sign-on<span className="out-of-sight"> of {person.name}</span>
      </button>
      {open && (
        <Edit
          person={person}
          issuer={issuer}
          close={(changed) => {
            setOpen(false);
            if (changed) props.again();
          }}
        />
      )}
    </>
  );
}

function Edit(props: { person: PersonText; issuer: string | null; close: (changed: boolean) => void }): ReactNode {
  const { person, close } = props;
  const known = person.single_sign_on ?? null;
  const [issuer, setIssuer] = useState(known?.issuer ?? props.issuer ?? "");
  const [subject, setSubject] = useState(known?.subject ?? "");
  const doing = useDoing();
  const names = { person: person.name };
  const act = (what: () => Promise<void>): void => {
    void doing.run(what).then((done) => (done ? close(true) : undefined));
  };
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    act(async () => {
      await put("people/{person}/identity", { issuer, subject }, names);
    });
  };
  const forget = (): void => {
    act(async () => {
      await remove("people/{person}/identity", names);
    });
  };
  return (
    <Dialog title={`${person.name} at the issuer`} close={() => close(false)}>
      <form className="stack" onSubmit={submit}>
        <p>Whom the issuer calls by this subject comes in here as {person.name}, with the roles that {person.name} has here.</p>
        <Field label="Issuer" value={issuer} onChange={(event) => setIssuer(event.target.value)} required />
        <Field
          label="Subject"
          about="What the issuer calls the person for ever (sub); not a name or an address of mail, which may go to somebody else."
          value={subject}
          onChange={(event) => setSubject(event.target.value)}
          maxLength={255}
          autoComplete="off"
          required
        />
        {props.issuer !== null && issuer !== props.issuer && <p className="trouble">The settings name another issuer, {props.issuer}: nobody is let in by this one.</p>}
        <FailureNote why={doing.failure} />
        <div className="row end">
          {known !== null && (
            <button type="button" className="danger" disabled={doing.busy} onClick={forget}>
              Known by nothing
            </button>
          )}
          <button type="button" onClick={() => close(false)}>
            Cancel
          </button>
          <button type="submit" className="main" disabled={doing.busy}>
            Make known
          </button>
        </div>
      </form>
    </Dialog>
  );
}
