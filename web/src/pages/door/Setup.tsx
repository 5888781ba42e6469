// The first administrator, with the code that the server printed when it started.
// Never knows: who else there will be.

import { type FormEvent, type ReactNode, useState } from "react";
import { post } from "../../api/client";
import { Field } from "../../parts/Field";
import { FailureNote } from "../../parts/Note";
import { useDoing } from "../../parts/useDoing";

export function Setup(props: { made: (name: string) => void }): ReactNode {
  const [code, setCode] = useState("");
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const doing = useDoing();
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    void doing.run(async () => {
      await post("setup", { code: code.trim(), name, password });
      props.made(name);
    });
  };
  return (
    <form className="sheet" onSubmit={submit}>
      <h1>First administrator</h1>
      <p className="quiet">This server is new. The setup code is what it printed when it started.</p>
      <Field label="Setup code" value={code} onChange={(event) => setCode(event.target.value)} required autoComplete="off" spellCheck={false} />
      <Field label="Name" value={name} onChange={(event) => setName(event.target.value)} required autoComplete="username" autoCapitalize="none" />
      <Field
        label="Password"
        about="At least 12 characters."
        type="password"
        minLength={12}
        value={password}
        onChange={(event) => setPassword(event.target.value)}
        required
        autoComplete="new-password"
      />
      <FailureNote why={doing.failure} />
      <button type="submit" className="main" disabled={doing.busy}>
        Make the first administrator
      </button>
    </form>
  );
}
