// Changing one's password.
// Never knows: the second factor.

import { type FormEvent, type ReactNode, useState } from "react";
import { post } from "../../api/client";
import { Field } from "../../parts/Field";
import { FailureNote, GoodNote } from "../../parts/Note";
import { useDoing } from "../../parts/useDoing";
import { useSession } from "../../app/session";

export function Password(props: { changed?: () => void }): ReactNode {
  const { me } = useSession();
  const [old, setOld] = useState("");
  const [fresh, setFresh] = useState("");
  const [done, setDone] = useState(false);
  const doing = useDoing();
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    setDone(false);
    void doing.run(async () => {
      await post("me/password", { old, new: fresh });
      setOld("");
      setFresh("");
      setDone(true);
      props.changed?.();
    });
  };
  return (
    <form className="sheet stack" onSubmit={submit} aria-labelledby="password">
      <h2 id="password">Password</h2>
      <input type="text" autoComplete="username" defaultValue={me.name} hidden aria-hidden="true" tabIndex={-1} />
      <Field label="Password now" type="password" value={old} onChange={(event) => setOld(event.target.value)} required autoComplete="current-password" />
      <Field
        label="New password"
        about="At least 12 characters."
        type="password"
        minLength={12}
        value={fresh}
        onChange={(event) => setFresh(event.target.value)}
        required
        autoComplete="new-password"
      />
      <FailureNote why={doing.failure} />
      {done && <GoodNote>The password is changed. Your other sessions have ended.</GoodNote>}
      <div>
        <button type="submit" className="main" disabled={doing.busy}>
          Change the password
        </button>
      </div>
    </form>
  );
}
