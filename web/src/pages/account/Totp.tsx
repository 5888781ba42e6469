// The second factor: offered as a picture for an app, confirmed by a code, taken away.
// Never knows: how codes are made.

import { type FormEvent, type ReactNode, useState } from "react";
import { post } from "../../api/client";
import type { Offered } from "../../api/schema";
import { Copied } from "../../parts/Copied";
import { Field } from "../../parts/Field";
import { FailureNote, GoodNote } from "../../parts/Note";
import { useDoing } from "../../parts/useDoing";
import { QrCode } from "./QrCode";

export function Totp(): ReactNode {
  const [password, setPassword] = useState("");
  const [offered, setOffered] = useState<Offered | null>(null);
  const [said, setSaid] = useState("");
  const doing = useDoing();
  const offer = (event: FormEvent): void => {
    event.preventDefault();
    setSaid("");
    void doing.run(async () => {
      setOffered(await post("me/totp", { password }));
      setPassword("");
    });
  };
  const takeAway = (): void => {
    setSaid("");
    void doing.run(async () => {
      await post("me/totp/remove", { password });
      setPassword("");
      setSaid("There is no second factor any more.");
    });
  };
  const confirmed = (): void => {
    setOffered(null);
    setSaid("From now on a code is asked for when you log in.");
  };
  if (offered !== null) return <Confirm offered={offered} confirmed={confirmed} cancel={() => setOffered(null)} />;
  return (
    <form className="sheet stack" onSubmit={offer} aria-labelledby="totp">
      <h2 id="totp">Second factor</h2>
      <p className="quiet">Six digits from an app on your phone, asked for after the password.</p>
      <Field label="Password" type="password" value={password} onChange={(event) => setPassword(event.target.value)} required autoComplete="current-password" />
      <FailureNote why={doing.failure} />
      {said !== "" && <GoodNote>{said}</GoodNote>}
      <div className="row">
        <button type="submit" className="main" disabled={doing.busy}>
          Set up an app
        </button>
        <button type="button" disabled={doing.busy || password === ""} onClick={takeAway}>
          Take it away
        </button>
      </div>
    </form>
  );
}

function Confirm(props: { offered: Offered; confirmed: () => void; cancel: () => void }): ReactNode {
  const [code, setCode] = useState("");
  const doing = useDoing();
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    void doing.run(async () => {
      await post("me/totp/confirm", { code: code.replace(/\s/g, "") });
      props.confirmed();
    });
  };
  return (
    <form className="sheet stack" onSubmit={submit} aria-labelledby="totp">
      <h2 id="totp">Second factor</h2>
      <p>Scan this with the app, or type the secret into it. Then type the code that it shows.</p>
      <QrCode text={props.offered.link} label="The secret, for the app's camera" />
      <Copied label="the secret" text={props.offered.secret} />
      <Field label="Code" value={code} onChange={(event) => setCode(event.target.value)} required inputMode="numeric" autoComplete="one-time-code" autoFocus />
      <FailureNote why={doing.failure} />
      <div className="row">
        <button type="submit" className="main" disabled={doing.busy}>
          Confirm
        </button>
        <button type="button" onClick={props.cancel}>
          Cancel
        </button>
      </div>
    </form>
  );
}
