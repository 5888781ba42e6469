// What administrators settle: the promise, who is told of alerts, who else vouches for people.
// Never knows: secrets; they are written and never read.

import { type FormEvent, type ReactNode, useState } from "react";
import { post, put } from "../../api/client";
import type { Email, Settings as All, Told, Webhook } from "../../api/schema";
import { useAsked } from "../../api/useAsked";
import { Field } from "../../parts/Field";
import { FailureNote, GoodNote } from "../../parts/Note";
import { Page } from "../../parts/Page";
import { Shown } from "../../parts/Shown";
import { useDoing } from "../../parts/useDoing";
import { length } from "../../say/time";
import { MailFields } from "./MailFields";
import { OidcFields, type TypedOidc } from "./OidcFields";
import { channel, why } from "./told";
import { WebhookFields } from "./WebhookFields";

export function Settings(): ReactNode {
  const asked = useAsked("settings");
  return (
    <Page title="Settings">
      <Shown asked={asked}>{(settings) => <Edit before={settings} again={asked.again} />}</Shown>
      <TestAlert />
    </Page>
  );
}

function Edit(props: { before: All; again: () => void }): ReactNode {
  const { before } = props;
  const [promise, setPromise] = useState(before.promise_seconds ?? 0);
  const [email, setEmail] = useState<Email | null>(before.alerts?.email ?? null);
  const [webhooks, setWebhooks] = useState<Webhook[]>(before.alerts?.webhooks ?? []);
  const [oidc, setOidc] = useState<TypedOidc | null>(before.oidc ?? null);
  const [kept, setKept] = useState(false);
  const doing = useDoing();
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    setKept(false);
    void doing.run(async () => {
      const now = await put("settings", { ...before, promise_seconds: promise === 0 ? null : promise, alerts: { email: addressed(email), webhooks }, oidc: sent(oidc) });
      // As it was kept: without secrets, and with a word that there are some.
      setEmail(now.alerts?.email ?? null);
      setWebhooks(now.alerts?.webhooks ?? []);
      setOidc(now.oidc ?? null);
      setKept(true);
      props.again();
    });
  };
  return (
    <form className="stack" onSubmit={submit}>
      <section className="sheet stack" aria-labelledby="promise">
        <h2 id="promise">Promise</h2>
        <Field
          label="A point at least every so many seconds"
          about={`${promise > 0 ? `${length(promise * 1000)}. ` : ""}Of machines for which nothing else was promised. 0: as often as their agents make points.`}
          type="number"
          min={0}
          value={promise}
          onChange={(event) => setPromise(Number(event.target.value))}
        />
      </section>
      <MailFields email={email} set={setEmail} />
      <WebhookFields webhooks={webhooks} set={setWebhooks} />
      <OidcFields oidc={oidc} before={before.oidc ?? null} set={setOidc} />
      <FailureNote why={doing.failure} />
      {kept && <GoodNote>The settings are kept.</GoodNote>}
      <div>
        <button type="submit" className="main" disabled={doing.busy}>
          Keep the settings
        </button>
      </div>
    </form>
  );
}

/** Without the empty words of what is typed. */
function sent(oidc: TypedOidc | null): TypedOidc | null {
  return oidc === null ? null : { ...oidc, scopes: (oidc.scopes ?? []).filter((word) => word !== "") };
}

/** Without what follows a last comma. */
function addressed(email: Email | null): Email | null {
  return email === null ? null : { ...email, to: email.to.filter((address) => address !== "") };
}

function TestAlert(): ReactNode {
  const [told, setTold] = useState<Told[] | null>(null);
  const doing = useDoing();
  const tell = (): void => {
    void doing.run(async () => setTold(await post("settings/test-alert", null)));
  };
  return (
    <section className="sheet stack" aria-labelledby="test-alert">
      <h2 id="test-alert">Try it</h2>
      <p className="quiet">Tells everybody above that this is a test. Keep the settings first.</p>
      <FailureNote why={doing.failure} />
      {told !== null && (
        <div role="status">
          <ul>
            {told.map((one) => (
              <li key={one.channel}>
                {channel(one.channel)}: {one.ok ? "told" : <span className="trouble">not told: {why(one)}</span>}
              </li>
            ))}
          </ul>
        </div>
      )}
      <div>
        <button type="button" onClick={tell} disabled={doing.busy}>
          Send a test alert
        </button>
      </div>
    </section>
  );
}
