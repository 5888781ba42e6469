// Adding a person.
// Never knows: who is there already.

import { type FormEvent, type ReactNode, useState } from "react";
import { post } from "../../api/client";
import type { GrantText } from "../../api/schema";
import { Dialog } from "../../parts/Dialog";
import { Field } from "../../parts/Field";
import { FailureNote } from "../../parts/Note";
import { useDoing } from "../../parts/useDoing";
import { GrantFields } from "./Grants";

export function NewPerson(props: { close: (added: boolean) => void }): ReactNode {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [grants, setGrants] = useState<GrantText[]>([{ role: "operator", scope: "all" }]);
  const doing = useDoing();
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    void doing
      .run(async () => {
        await post("people", { name, password, grants });
      })
      .then((done) => (done ? props.close(true) : undefined));
  };
  return (
    <Dialog title="Add a person" close={() => props.close(false)}>
      <form className="stack" onSubmit={submit}>
        <Field label="Name" value={name} onChange={(event) => setName(event.target.value)} required maxLength={64} autoComplete="off" autoCapitalize="none" />
        <Field
          label="First password"
          about="At least 12 characters. To be changed by whom it is for."
          type="password"
          minLength={12}
          value={password}
          onChange={(event) => setPassword(event.target.value)}
          required
          autoComplete="new-password"
        />
        <GrantFields grants={grants} set={setGrants} />
        <FailureNote why={doing.failure} />
        <div className="row end">
          <button type="button" onClick={() => props.close(false)}>
            Cancel
          </button>
          <button type="submit" className="main" disabled={doing.busy}>
            Add
          </button>
        </div>
      </form>
    </Dialog>
  );
}
