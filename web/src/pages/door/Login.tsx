// Logging in: name and password, and the code of the second factor for those who have one.
// Never knows: what somebody may do.

import { type FormEvent, type ReactNode, useState } from "react";
import { Failure, post } from "../../api/client";
import type { Me } from "../../api/schema";
import { Field } from "../../parts/Field";
import { FailureNote } from "../../parts/Note";
import { useDoing } from "../../parts/useDoing";

export function Login(props: { name: string; entered: (me: Me) => void }): ReactNode {
  const [name, setName] = useState(props.name);
  const [password, setPassword] = useState("");
  const [code, setCode] = useState("");
  const [asksCode, setAsksCode] = useState(false);
  const doing = useDoing();
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    void doing.run(async () => {
      try {
        props.entered(await post("login", { name, password, totp: asksCode ? code.replace(/\s/g, "") : null }));
      } catch (thrown) {
        if (!(thrown instanceof Failure) || thrown.code !== "needs_totp") throw thrown;
        setAsksCode(true);
      }
    });
  };
  return (
    <form className="sheet" onSubmit={submit}>
      <h1>Log in</h1>
      <Field
        label="Name"
        value={name}
        onChange={(event) => setName(event.target.value)}
        required
        autoComplete="username"
        autoCapitalize="none"
        autoFocus={props.name === ""}
      />
      <Field label="Password" type="password" value={password} onChange={(event) => setPassword(event.target.value)} required autoComplete="current-password" />
      {asksCode && (
        <Field
          label="Code of the second factor"
          about="Six digits from your app."
          value={code}
          onChange={(event) => setCode(event.target.value)}
          required
          inputMode="numeric"
          autoComplete="one-time-code"
          autoFocus
        />
      )}
      <FailureNote why={doing.failure} />
      <button type="submit" className="main" disabled={doing.busy}>
        Log in
      </button>
    </form>
  );
}
