// One's own passkeys: made on this computer or a phone, taken away.
// Never knows: how a passkey is checked.

import { type FormEvent, type ReactNode, useState } from "react";
import { remove } from "../../api/client";
import { canPasskeys, makePasskey } from "../../api/passkeys";
import { useAsked } from "../../api/useAsked";
import { Ask } from "../../parts/Ask";
import { Field } from "../../parts/Field";
import { Moment } from "../../parts/Moment";
import { FailureNote } from "../../parts/Note";
import { Shown } from "../../parts/Shown";
import { useDoing } from "../../parts/useDoing";

/** What the server is called here, as this browser has it in its address line. */
const HERE = window.location.hostname;

export function Passkeys(): ReactNode {
  const asked = useAsked("me/passkeys");
  return (
    <section className="sheet stack" aria-labelledby="passkeys">
      <h2 id="passkeys">Passkeys</h2>
      <p className="quiet">
        A passkey is a second factor, and enough alone, too. One made here is shown where the server is called {HERE}, and nowhere else.
      </p>
      <Shown asked={asked}>
        {(all) => (
          <ul className="stack">
            {all.map((one) => (
              <li key={one.id} className="row apart">
                <span>
                  {one.name}
                  <br />
                  <span className="quiet">
                    {one.called !== HERE && `only at ${one.called}; `}
                    shown last: <Moment at={one.used} />
                  </span>
                </span>
                <Ask
                  small
                  danger
                  label="Remove"
                  which={`the passkey ${one.name}`}
                  title={`Remove the passkey ${one.name}?`}
                  act="Remove it"
                  do={() => remove("me/passkeys/{passkey}", { passkey: one.id }).then(asked.again)}
                >
                  <p>It cannot be used to log in any more.</p>
                </Ask>
              </li>
            ))}
          </ul>
        )}
      </Shown>
      {canPasskeys() ? <NewOne made={asked.again} /> : <p>This browser has no passkeys.</p>}
    </section>
  );
}

function NewOne(props: { made: () => void }): ReactNode {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const doing = useDoing();
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    void doing.run(async () => {
      await makePasskey(name, password);
      setName("");
      setPassword("");
      props.made();
    });
  };
  return (
    <form className="stack" onSubmit={submit} aria-label="New passkey">
      <Field label="Name of the passkey" about="What you call it, such as: my phone." value={name} onChange={(event) => setName(event.target.value)} required maxLength={64} />
      <Field label="Password, for a passkey" type="password" value={password} onChange={(event) => setPassword(event.target.value)} autoComplete="current-password" />
      <FailureNote why={doing.failure} />
      <div>
        <button type="submit" disabled={doing.busy}>
          Make a passkey
        </button>
      </div>
    </form>
  );
}
