// One's own tokens, for programs: made, shown once, ended.
// Never knows: other people's.

import { type FormEvent, type ReactNode, useState } from "react";
import { post, remove } from "../../api/client";
import type { MadeToken } from "../../api/schema";
import { useAsked } from "../../api/useAsked";
import { useSession } from "../../app/session";
import { Copied } from "../../parts/Copied";
import { Choice, Field } from "../../parts/Field";
import { Moment } from "../../parts/Moment";
import { FailureNote } from "../../parts/Note";
import { Shown } from "../../parts/Shown";
import { useDoing } from "../../parts/useDoing";
import { said } from "../people/Grants";
import { TokenTable } from "../people/TokenTable";

export function OwnTokens(): ReactNode {
  const asked = useAsked("me/tokens");
  return (
    <section className="sheet bare" aria-labelledby="own-tokens">
      <h2 id="own-tokens">My tokens</h2>
      <NewOne made={asked.again} />
      <Shown asked={asked}>{(tokens) => <TokenTable tokens={tokens} end={(token) => remove("me/tokens/{token}", { token }).then(asked.again)} />}</Shown>
    </section>
  );
}

function NewOne(props: { made: () => void }): ReactNode {
  const { me } = useSession();
  const [name, setName] = useState("");
  const [grant, setGrant] = useState(0);
  const [scope, setScope] = useState("");
  const [days, setDays] = useState(90);
  const [made, setMade] = useState<MadeToken | null>(null);
  const doing = useDoing();
  const chosen = me.grants[grant];
  if (chosen === undefined) return null;
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    void doing.run(async () => {
      setMade(await post("me/tokens", { name, role: chosen.role, scope: scope === "" ? chosen.scope : scope, days }));
      setName("");
      props.made();
    });
  };
  return (
    <form className="stack inset" onSubmit={submit}>
      <div className="row">
        <Field label="Name" value={name} onChange={(event) => setName(event.target.value)} required maxLength={64} />
        <Choice label="Role" value={grant} onChange={(event) => setGrant(Number(event.target.value))}>
          {me.grants.map((one, at) => (
            <option key={`${one.role} ${one.scope}`} value={at}>
              {said(one)}
            </option>
          ))}
        </Choice>
        <Field label="Only for" placeholder={chosen.scope} value={scope} onChange={(event) => setScope(event.target.value)} />
        <Field narrow label="Days" type="number" min={1} max={366} value={days} onChange={(event) => setDays(Number(event.target.value))} required />
        <button type="submit" disabled={doing.busy}>
          Make a token
        </button>
      </div>
      <FailureNote why={doing.failure} />
      {made !== null && (
        <div className="note good stack" role="status">
          <strong>
            Good until <Moment at={made.until} />. It is shown this once:
          </strong>
          <Copied label="the token" text={made.token} />
        </div>
      )}
    </form>
  );
}
