// Logging in: by name and password with a second factor, by a passkey alone, or by whom the server trusts; what is not there is not offered.
// Never knows: what somebody may do.

import { type FormEvent, type ReactNode, useState } from "react";
import { Failure, post } from "../../api/client";
import { canPasskeys, showPasskey } from "../../api/passkeys";
import type { Me } from "../../api/schema";
import { useAsked } from "../../api/useAsked";
import { Field } from "../../parts/Field";
import { FailureNote } from "../../parts/Note";
import { useDoing } from "../../parts/useDoing";

export function Login(props: { name: string; entered: (me: Me) => void }): ReactNode {
  const [name, setName] = useState(props.name);
  const [password, setPassword] = useState("");
  const [code, setCode] = useState("");
  const [asksCode, setAsksCode] = useState(false);
  const ways = useAsked("login/ways").answer;
  const doing = useDoing();
  const passkeys = ways?.passkey === true && canPasskeys();
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    void doing.run(async () => {
      try {
        props.entered(await post("login", { name, password, totp: asksCode ? code.replace(/\s/g, "") : null }));
      } catch (thrown) {
        if (!(thrown instanceof Failure)) throw thrown;
        // Where theirs belong to another name of the server, it says so.
        if (thrown.code === "needs_passkey" && canPasskeys()) return props.entered(await showPasskey(name, password));
        if (thrown.code !== "needs_totp") throw thrown;
        setAsksCode(true);
      }
    });
  };
  const passkey = (alone: boolean): void => {
    void doing.run(async () => props.entered(await showPasskey(alone ? null : name, alone ? null : password)));
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
        <>
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
          {passkeys && (
            <button type="button" disabled={doing.busy} onClick={() => passkey(false)}>
              Passkey instead of a code
            </button>
          )}
        </>
      )}
      <FailureNote why={doing.failure} />
      <button type="submit" className="main" disabled={doing.busy}>
        Log in
      </button>
      {passkeys && !asksCode && (
        <button type="button" disabled={doing.busy} onClick={() => passkey(true)}>
          With a passkey alone
        </button>
      )}
      {ways?.oidc !== null && ways?.oidc !== undefined && (
        <a className="button" href="/api/v1/login/oidc">
          {ways.oidc}
        </a>
      )}
    </form>
  );
}
