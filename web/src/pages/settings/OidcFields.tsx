// Who else vouches for people, by OpenID Connect, and what its groups give.
// Never knows: other settings.

import type { ReactNode } from "react";
import type { Group, Oidc } from "../../api/schema";
import { Copied } from "../../parts/Copied";
import { Field } from "../../parts/Field";
import { GrantFields } from "../people/Grants";
import { Authorities } from "./Authorities";
import { happens } from "./happens";

/** What is typed of a secret is sent; what is not stays as it was. */
export type TypedOidc = Oidc & { client_secret?: string };

const FRESH: Oidc = { issuer: "", client_id: "", label: "", scopes: ["profile"], groups_claim: "groups", groups: [] };
const BACK = "/api/v1/login/oidc/callback";

export function OidcFields(props: { oidc: TypedOidc | null; before: Oidc | null; set: (oidc: TypedOidc | null) => void }): ReactNode {
  const { oidc, before, set } = props;
  const told = happens(oidc, before);
  return (
    <section className="sheet stack" aria-labelledby="oidc">
      <h2 id="oidc">Single sign-on</h2>
      {oidc === null ? (
        <div>
          <button type="button" onClick={() => set(before ?? FRESH)}>
            Let people log in elsewhere
          </button>
        </div>
      ) : (
        <>
          <Issuer oidc={oidc} set={set} />
          <Groups oidc={oidc} set={set} />
        </>
      )}
      {told.length > 0 && (
        <div className="note">
          <strong>What would happen</strong>
          <ul className="said">
            {told.map((line) => (
              <li key={line}>{line}</li>
            ))}
          </ul>
        </div>
      )}
      {oidc !== null && (
        <div>
          <button type="button" className="danger" onClick={() => set(null)}>
            No single sign-on
          </button>
        </div>
      )}
    </section>
  );
}

function Issuer(props: { oidc: TypedOidc; set: (oidc: TypedOidc) => void }): ReactNode {
  const { oidc, set } = props;
  return (
    <>
      <p className="quiet">Make this server known at the issuer first, with this address to come back to:</p>
      <Copied label="the address to come back to" text={window.location.origin + BACK} />
      <div className="row">
        <Field label="Issuer" type="url" placeholder="https://login.example.org" value={oidc.issuer} onChange={(event) => set({ ...oidc, issuer: event.target.value })} required />
        <Field label="On the button" about="Empty: Single sign-on." value={oidc.label ?? ""} onChange={(event) => set({ ...oidc, label: event.target.value })} />
      </div>
      <div className="row">
        <Field label="Client" about="What the issuer knows this server as." value={oidc.client_id} onChange={(event) => set({ ...oidc, client_id: event.target.value })} autoComplete="off" required />
        <Field
          label="Secret of the client"
          about={oidc.has_client_secret === true ? "One is kept for this issuer and client. Empty: it stays." : "Empty: none, as for public clients."}
          type="password"
          value={oidc.client_secret ?? ""}
          onChange={(event) => {
            const { client_secret: _, ...rest } = oidc;
            set(event.target.value === "" ? rest : { ...rest, client_secret: event.target.value });
          }}
          autoComplete="new-password"
        />
      </div>
      <details>
        <summary>What is asked for, and whom it is believed</summary>
        <div className="stack">
          <div className="row">
            <Field
              label="Scopes"
              about="Besides openid, separated by spaces."
              value={(oidc.scopes ?? []).join(" ")}
              onChange={(event) => set({ ...oidc, scopes: event.target.value.split(" ").filter((word, at, all) => word !== "" || at === all.length - 1) })}
            />
            <Field label="Claim with the groups" value={oidc.groups_claim ?? "groups"} onChange={(event) => set({ ...oidc, groups_claim: event.target.value })} required />
          </div>
          <Authorities of="single sign-on" pem={oidc.ca_pem} set={(ca_pem) => set({ ...oidc, ca_pem })} />
        </div>
      </details>
    </>
  );
}

function Groups(props: { oidc: TypedOidc; set: (oidc: TypedOidc) => void }): ReactNode {
  const { oidc, set } = props;
  const groups = oidc.groups ?? [];
  const change = (at: number, group: Group): void => set({ ...oidc, groups: groups.map((one, index) => (index === at ? group : one)) });
  return (
    <div className="stack">
      <h3>Groups that give roles</h3>
      {groups.map((group, at) => (
        <fieldset key={at} className="stack">
          <legend>Group {at + 1}</legend>
          <div className="row">
            <Field label={`Name of group ${at + 1}`} about="As the issuer's claim says it." value={group.group} onChange={(event) => change(at, { ...group, group: event.target.value })} required />
            <button type="button" className="small" onClick={() => set({ ...oidc, groups: groups.filter((_, index) => index !== at) })}>
              Take away<span className="out-of-sight"> group {at + 1}</span>
            </button>
          </div>
          <GrantFields of={`of group ${at + 1}`} grants={group.grants} set={(grants) => change(at, { ...group, grants })} />
        </fieldset>
      ))}
      <div>
        <button type="button" onClick={() => set({ ...oidc, groups: [...groups, { group: "", grants: [{ role: "operator", scope: "all" }] }] })}>
          Add a group
        </button>
      </div>
    </div>
  );
}
