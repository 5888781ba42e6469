// What people change about themselves: password, second factor, tokens.
// Never knows: other people.

import type { ReactNode } from "react";
import { useSession } from "../../app/session";
import { Page } from "../../parts/Page";
import { said } from "../people/Grants";
import { Appearance } from "./Appearance";
import { OwnTokens } from "./OwnTokens";
import { Sessions } from "./Sessions";
import { Passkeys } from "./Passkeys";
import { Password } from "./Password";
import { Totp } from "./Totp";

export function Account(): ReactNode {
  const { me } = useSession();
  return (
    <Page title="My account" lead={`${me.name}: ${me.grants.map(said).join(", ") || "no roles"}`}>
      <div className="columns">
        <Password />
        <Totp />
        <Passkeys />
        <Appearance />
      </div>
      <OwnTokens />
      <Sessions />
    </Page>
  );
}
