// Whom alerts are mailed to, and by which server.
// Never knows: other settings.

import type { ReactNode } from "react";
import type { Email, Security } from "../../api/schema";
import { Choice, Field } from "../../parts/Field";
import { Authorities } from "./Authorities";

/** What is typed of a password is sent; what is not stays as it was. */
type Typed = Email & { password?: string };

const FRESH: Email = { from: "", host: "", port: 587, security: "starttls", to: [] };

export function MailFields(props: { email: Typed | null; set: (email: Typed | null) => void }): ReactNode {
  const { email, set } = props;
  return (
    <section className="sheet stack" aria-labelledby="mail">
      <h2 id="mail">Alerts by mail</h2>
      {email === null ? (
        <div>
          <button type="button" onClick={() => set(FRESH)}>
            Tell people by mail
          </button>
        </div>
      ) : (
        <>
          <Field
            label="To"
            about="Addresses, separated by commas."
            value={email.to.join(", ")}
            onChange={(event) => set({ ...email, to: event.target.value.split(",").map((one) => one.trim()) })}
            required
          />
          <Field label="From" type="email" value={email.from} onChange={(event) => set({ ...email, from: event.target.value })} required />
          <div className="row">
            <Field label="Mail server" value={email.host} onChange={(event) => set({ ...email, host: event.target.value })} required />
            <Field narrow label="Port" type="number" min={1} max={65535} value={email.port} onChange={(event) => set({ ...email, port: Number(event.target.value) })} required />
            <Choice narrow label="Encryption" value={email.security} onChange={(event) => set({ ...email, security: event.target.value as Security })}>
              <option value="starttls">STARTTLS</option>
              <option value="tls">TLS</option>
              <option value="plain">none, on this host only</option>
            </Choice>
          </div>
          <div className="row">
            <Field
              label="User"
              about="Empty: no login."
              value={email.user ?? ""}
              onChange={(event) => set({ ...email, user: event.target.value === "" ? null : event.target.value })}
              autoComplete="off"
            />
            <Field
              label="Password of the mail server"
              about={email.has_password === true ? "One is kept. Empty: it stays." : "Never shown again."}
              type="password"
              value={email.password ?? ""}
              onChange={(event) => {
                const { password: _, ...rest } = email;
                set(event.target.value === "" ? rest : { ...rest, password: event.target.value });
              }}
              autoComplete="new-password"
            />
          </div>
          <details>
            <summary>If its certificate is by an authority of your own</summary>
            <Authorities of="the mail server" pem={email.ca_pem} set={(ca_pem) => set({ ...email, ca_pem })} />
          </details>
          <div>
            <button type="button" className="danger" onClick={() => set(null)}>
              No mail
            </button>
          </div>
        </>
      )}
    </section>
  );
}
