// People, what they may do, and their tokens.
// Never knows: what people did.

import { type ReactNode, useState } from "react";
import { put, remove } from "../../api/client";
import type { PersonText } from "../../api/schema";
import { useAsked } from "../../api/useAsked";
import { useSession } from "../../app/session";
import { Ask } from "../../parts/Ask";
import { Moment } from "../../parts/Moment";
import { Page } from "../../parts/Page";
import { Shown } from "../../parts/Shown";
import { EditGrants, said } from "./Grants";
import { Identity } from "./Identity";
import { NewPerson } from "./NewPerson";
import { ResetPassword } from "./ResetPassword";
import { Tokens } from "./Tokens";

export function People(): ReactNode {
  const asked = useAsked("people");
  const settings = useAsked("settings");
  const [adding, setAdding] = useState(false);
  return (
    <Page
      title="People"
      actions={
        <button type="button" className="main" onClick={() => setAdding(true)}>
          Add a person
        </button>
      }
    >
      {adding && (
        <NewPerson
          close={(added) => {
            setAdding(false);
            if (added) asked.again();
          }}
        />
      )}
      <Shown asked={asked}>{(people) => <Table people={people} issuer={settings.answer?.oidc?.issuer ?? null} again={asked.again} />}</Shown>
      <Tokens />
    </Page>
  );
}

function Table(props: { people: PersonText[]; issuer: string | null; again: () => void }): ReactNode {
  const signsOn = props.issuer !== null || props.people.some((person) => person.single_sign_on);
  return (
    <section className="sheet bare" aria-label="People">
      <div className="table cards" tabIndex={0} role="region" aria-label="People and their roles">
        <table>
          <thead>
            <tr>
              <th scope="col">Name</th>
              <th scope="col">Roles</th>
              {signsOn && <th scope="col">Single sign-on</th>}
              <th scope="col">Second factor</th>
              <th scope="col">Since</th>
              <th scope="col">
                <span className="out-of-sight">Change</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {props.people.map((person) => (
              <Row key={person.name} person={person} issuer={props.issuer} signsOn={signsOn} again={props.again} />
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function Row(props: { person: PersonText; issuer: string | null; signsOn: boolean; again: () => void }): ReactNode {
  const { person, issuer, again } = props;
  const session = useSession();
  const self = session.me.name === person.name;
  const names = { person: person.name };
  return (
    <tr>
      <td>
        {person.name}
        {self && <span className="quiet"> (you)</span>}
        {person.disabled && (
          <>
            <br />
            <span className="word">shut out</span>
          </>
        )}
      </td>
      <td>{person.grants.length === 0 ? <span className="quiet">none</span> : person.grants.map((grant) => <div key={`${grant.role} ${grant.scope}`}>{said(grant)}</div>)}</td>
      {props.signsOn && <td className="wide" data-label="Single sign-on">{person.single_sign_on?.subject ?? <span className="quiet">no</span>}</td>}
      <td data-label="Second factor">
        {person.second_factor ? "yes" : "no"}
        {person.must_change_password && <div className="quiet">has to change the password</div>}
      </td>
      <td data-label="Since">
        <Moment at={person.created} />
      </td>
      <td>
        {!self && (
          <div className="row">
            <EditGrants person={person} again={again} />
            <Identity person={person} issuer={issuer} again={again} />
            <ResetPassword person={person} again={again} />
            <Ask
              small
              label={person.disabled ? "Let in" : "Shut out"}
              which={person.name}
              title={person.disabled ? `Let ${person.name} in again?` : `Shut ${person.name} out?`}
              act={person.disabled ? "Let in" : "Shut out"}
              do={() => put("people/{person}/disabled", { disabled: !person.disabled }, names).then(again)}
            >
              <p>{person.disabled ? "They can log in again." : "Their sessions and tokens end now."}</p>
            </Ask>
            <Ask small danger label="Remove" which={person.name} title={`Remove ${person.name}?`} act="Remove" do={() => remove("people/{person}", names).then(again)}>
              <p>Their sessions and tokens end now. What they did stays in the log.</p>
            </Ask>
          </div>
        )}
      </td>
    </tr>
  );
}
