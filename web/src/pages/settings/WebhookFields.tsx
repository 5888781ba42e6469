// Which programs are told of alerts, over HTTPS.
// Never knows: other settings.

import type { ReactNode } from "react";
import type { Webhook } from "../../api/schema";
import { Field } from "../../parts/Field";

/** What is typed of a secret is sent; what is not stays as it was. */
type Typed = Webhook & { secret?: string };

export function WebhookFields(props: { webhooks: Typed[]; set: (webhooks: Typed[]) => void }): ReactNode {
  const { webhooks, set } = props;
  const change = (at: number, webhook: Typed): void => set(webhooks.map((one, index) => (index === at ? webhook : one)));
  return (
    <section className="sheet stack" aria-labelledby="webhooks">
      <h2 id="webhooks">Alerts by webhook</h2>
      {webhooks.map((webhook, at) => (
        <div className="row" key={at}>
          <Field label={`Address ${at + 1}`} type="url" placeholder="https://" value={webhook.url} onChange={(event) => change(at, { ...webhook, url: event.target.value })} required />
          <Field
            label={`Secret ${at + 1}`}
            about={webhook.has_secret === true ? "One is kept. Empty: it stays." : "Signs what is sent."}
            type="password"
            value={webhook.secret ?? ""}
            onChange={(event) => {
              const { secret: _, ...rest } = webhook;
              change(at, event.target.value === "" ? rest : { ...rest, secret: event.target.value });
            }}
            autoComplete="new-password"
          />
          <button type="button" className="small" onClick={() => set(webhooks.filter((_, index) => index !== at))}>
            Take away<span className="out-of-sight"> webhook {at + 1}</span>
          </button>
        </div>
      ))}
      <div>
        <button type="button" onClick={() => set([...webhooks, { url: "" }])}>
          Add a webhook
        </button>
      </div>
    </section>
  );
}
