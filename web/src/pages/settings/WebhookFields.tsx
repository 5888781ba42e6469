// Which programs are told of alerts, over HTTPS.
// Never knows: other settings.

import type { ReactNode } from "react";
import type { Webhook } from "../../api/schema";
import { Field } from "../../parts/Field";
import { Authorities } from "./Authorities";

/** What is typed of a secret is sent; what is not stays as it was. */
type Typed = Webhook & { secret?: string };

export function WebhookFields(props: { webhooks: Typed[]; set: (webhooks: Typed[]) => void }): ReactNode {
  const { webhooks, set } = props;
  const change = (at: number, webhook: Typed): void => set(webhooks.map((one, index) => (index === at ? webhook : one)));
  return (
    <section className="sheet stack" aria-labelledby="webhooks">
      <h2 id="webhooks">Alerts by webhook</h2>
      {webhooks.map((webhook, at) => (
        <fieldset key={at} className="stack">
          <legend>Webhook {at + 1}</legend>
          <One at={at + 1} webhook={webhook} set={(next) => change(at, next)} remove={() => set(webhooks.filter((_, index) => index !== at))} />
        </fieldset>
      ))}
      <div>
        <button type="button" onClick={() => set([...webhooks, { url: "" }])}>
          Add a webhook
        </button>
      </div>
    </section>
  );
}

function One(props: { at: number; webhook: Typed; set: (webhook: Typed) => void; remove: () => void }): ReactNode {
  const { at, webhook, set } = props;
  return (
    <>
      <div className="row">
        <Field label={`Address ${at}`} type="url" placeholder="https://" value={webhook.url} onChange={(event) => set({ ...webhook, url: event.target.value })} required />
        <Field
          label={`Secret ${at}`}
          about={webhook.has_secret === true ? "One is kept. Empty: it stays." : "Signs what is sent; at least 16 characters."}
          type="password"
          value={webhook.secret ?? ""}
          onChange={(event) => {
            const { secret: _, ...rest } = webhook;
            set(event.target.value === "" ? rest : { ...rest, secret: event.target.value });
          }}
          autoComplete="new-password"
        />
        <button type="button" className="small" onClick={props.remove}>
          Take away<span className="out-of-sight"> webhook {at}</span>
        </button>
      </div>
      <details>
        <summary>If its certificate is by an authority of your own</summary>
        <Authorities of={`webhook ${at}`} pem={webhook.ca_pem} set={(ca_pem) => set({ ...webhook, ca_pem })} />
      </details>
    </>
  );
}
