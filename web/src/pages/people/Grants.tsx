// Roles and what they hold for, to be chosen.
// Never knows: whom they are given to.

import { type FormEvent, type ReactNode, useState } from "react";
import { put } from "../../api/client";
import type { GrantText, PersonText } from "../../api/schema";
import { ROLE_TEXTS, ROLE_WORDS } from "../../app/rights";
import { Dialog } from "../../parts/Dialog";
import { Choice, Field } from "../../parts/Field";
import { FailureNote } from "../../parts/Note";
import { useDoing } from "../../parts/useDoing";

/** `operator of everything`. */
export function said(grant: GrantText): string {
  const [kind, name] = grant.scope.split(":");
  return `${grant.role} of ${grant.scope === "all" ? "everything" : `${kind} ${name}`}`;
}

/** A role that holds for everything, and nothing less. */
function isWhole(role: string): boolean {
  return role === "administrator" || role === "auditor";
}

/** `of`: whose they are, where a page has several. */
export function GrantFields(props: { grants: GrantText[]; set: (grants: GrantText[]) => void; of?: string }): ReactNode {
  const { grants, set } = props;
  const of = props.of === undefined ? "" : ` ${props.of}`;
  const change = (at: number, grant: GrantText): void => set(grants.map((one, index) => (index === at ? grant : one)));
  return (
    <fieldset className="stack grants">
      <legend>Roles</legend>
      {grants.map((grant, at) => (
        <div className="row" key={at}>
          <Choice
            label={`Role ${at + 1}${of}`}
            about={ROLE_TEXTS[grant.role]}
            value={grant.role}
            onChange={(event) => change(at, { role: event.target.value, scope: isWhole(event.target.value) ? "all" : grant.scope })}
          >
            {ROLE_WORDS.map((role) => (
              <option key={role}>{role}</option>
            ))}
          </Choice>
          <Field
            label={`Holds for ${at + 1}${of}`}
            about="all, machine:NAME or vault:NAME"
            value={grant.scope}
            disabled={isWhole(grant.role)}
            onChange={(event) => change(at, { ...grant, scope: event.target.value })}
            required
          />
          <button type="button" className="small" onClick={() => set(grants.filter((_, index) => index !== at))}>
            Take away
            <span className="out-of-sight">
              {" "}
              role {at + 1}
              {of}
            </span>
          </button>
        </div>
      ))}
      <div>
        <button type="button" className="small" onClick={() => set([...grants, { role: "operator", scope: "all" }])}>
          Add a role<span className="out-of-sight">{of}</span>
        </button>
      </div>
    </fieldset>
  );
}

export function EditGrants(props: { person: PersonText; again: () => void }): ReactNode {
  const [open, setOpen] = useState(false);
  return (
    <>
      <button type="button" className="small" onClick={() => setOpen(true)}>
        Roles<span className="out-of-sight"> of {props.person.name}</span>
      </button>
      {open && (
        <Edit
          person={props.person}
          close={(changed) => {
            setOpen(false);
            if (changed) props.again();
          }}
        />
      )}
    </>
  );
}

function Edit(props: { person: PersonText; close: (changed: boolean) => void }): ReactNode {
  const [grants, setGrants] = useState(props.person.grants);
  const doing = useDoing();
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    void doing
      .run(async () => {
        await put("people/{person}/grants", { grants }, { person: props.person.name });
      })
      .then((done) => (done ? props.close(true) : undefined));
  };
  return (
    <Dialog title={`Roles of ${props.person.name}`} close={() => props.close(false)}>
      <form className="stack" onSubmit={submit}>
        <GrantFields grants={grants} set={setGrants} />
        <p className="quiet">Their tokens end when this is changed.</p>
        <FailureNote why={doing.failure} />
        <div className="row end">
          <button type="button" onClick={() => props.close(false)}>
            Cancel
          </button>
          <button type="submit" className="main" disabled={doing.busy}>
            Give exactly these
          </button>
        </div>
      </form>
    </Dialog>
  );
}
