// The whole console: the door for nobody, and the pages for somebody, as far as their roles go.
// Never knows: how a page is made.

import { type ReactNode, useState } from "react";
import { FailureNote } from "../parts/Note";
import { Page } from "../parts/Page";
import { Link } from "../parts/Link";
import { Password } from "../pages/account/Password";
import { Door } from "../pages/door/Door";
import { Frame } from "./Frame";
import { PAGES } from "./pages";
import { match, usePlace } from "./router";
import { SessionGate, useSession } from "./session";

export function App(): ReactNode {
  return (
    <SessionGate
      nobody={(entered, ended) => <Door entered={entered} ended={ended} />}
      unreachable={(why, again) => (
        <div className="door">
          <main>
            <FailureNote why={why} again={again} />
          </main>
        </div>
      )}
    >
      <PasswordFirst>
        <Inside />
      </PasswordFirst>
    </SessionGate>
  );
}

/** Who came with a password that somebody else knows changes it before anything else. */
function PasswordFirst(props: { children: ReactNode }): ReactNode {
  const session = useSession();
  if (!session.me.must_change_password) return props.children;
  return (
    <div className="door">
      <main>
        <h1>A password of your own</h1>
        <p>Somebody else knows the one that you came with. Change it to go on.</p>
        <Password changed={session.refresh} />
        <div>
          <button type="button" onClick={() => void session.leave()}>
            Log out
          </button>
        </div>
      </main>
    </div>
  );
}

function Inside(): ReactNode {
  const { path } = usePlace();
  const session = useSession();
  const [open, setOpen] = useState(false);
  const found = PAGES.map((page) => ({ page, names: match(page.pattern, path) })).find(({ names }) => names !== null);
  // Who may see no machines begins where they may be.
  const start = path === "/" && !session.maySome("see") ? PAGES.find((page) => page.menu !== undefined && page.offered(session)) : undefined;
  const page = start ?? found?.page;
  const names = found?.names ?? {};
  return (
    <Frame open={open} setOpen={setOpen}>
      {page === undefined ? <Nothing path={path} /> : page.offered(session) ? <page.show key={path} names={names} /> : <NotOffered />}
    </Frame>
  );
}

function Nothing(props: { path: string }): ReactNode {
  const { path } = props;
  const session = useSession();
  return (
    <Page title="No such page">
      <p>
        There is nothing at <span className="mono">{path}</span>. It may have been typed or copied wrongly. What there is:
      </p>
      <ul className="places">
        {PAGES.filter((page) => page.menu !== undefined && page.offered(session)).map((page) => (
          <li key={page.pattern}>
            <Link to={page.pattern}>{page.menu}</Link>
          </li>
        ))}
      </ul>
    </Page>
  );
}

function NotOffered(): ReactNode {
  return (
    <Page title="Not for your roles">
      <p>Your roles do not allow this page. An administrator can give you others.</p>
    </Page>
  );
}
