// Adding a person.
// Never knows: who is there already.

import { type FormEvent, type ReactNode, useState } from "react";
import { post } from "../../api/client";
import type { GrantText, OneTime } from "../../api/schema";
import { Dialog } from "../../parts/Dialog";
import { Field } from "../../parts/Field";
import { FailureNote } from "../../parts/Note";
import { useDoing } from "../../parts/useDoing";
import { GrantFields } from "./Grants";
import { OnceShown } from "./OnceShown";

export function NewPerson(props: { close: (added: boolean) => void }): ReactNode {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [grants, setGrants] = useState<GrantText[]>([{ role: "operator", scope: "all" }]);
  const [once, setOnce] = useState<OneTime | null>(null);
  const doing = useDoing();
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    void doing.run(async () => {
      const made = await post("people", { name, password: password === "" ? null : password, grants });
      if (made === null) props.close(true);
      else setOnce(made);
    });
  };
  if (once !== null) return <OnceShown title={`${name} is added`} once={once} close={() => props.close(true)} />;
  return (
    <Dialog title="Add a person" close={() => props.close(false)}>
      <form className="stack" onSubmit={submit}>
        <Field label="Name" value={name} onChange={(event) => setName(event.target.value)} required maxLength={64} autoComplete="off" autoCapitalize="none" />
        <Field
          label="First password"
          about="Empty: one is made that is good once. Else at least 12 characters."
          type="password"
          minLength={12}
          value={password}
          onChange={(event) => setPassword(event.target.value)}
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
