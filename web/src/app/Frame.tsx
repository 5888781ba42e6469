// What is around every page: the menu, who is logged in, and how it looks.
// Never knows: what the pages show.

import { type ReactNode, useEffect } from "react";
import { useAsked } from "../api/useAsked";
import { useNews } from "../api/news";
import { Link } from "../parts/Link";
import { zone } from "../say/time";
import { PAGES } from "./pages";
import { usePlace } from "./router";
import { type Session, useSession } from "./session";
import { chooseTheme, useTheme } from "./theme";

export function Frame(props: { open: boolean; setOpen: (open: boolean) => void; children: ReactNode }): ReactNode {
  const session = useSession();
  const { path } = usePlace();
  const { setOpen } = props;
  useEffect(() => setOpen(false), [path, setOpen]);
  return (
    <div className="frame">
      <a className="skip" href="#content">
        To the content
      </a>
      <header className="side" data-open={props.open}>
        <Link to="/" className="brand">
          <img src="/icon.svg" alt="" />
          Backstay
        </Link>
        <button type="button" className="menu small" aria-expanded={props.open} onClick={() => setOpen(!props.open)}>
          Menu
        </button>
        <nav aria-label="Pages">
          {PAGES.filter((page) => page.menu !== undefined && page.offered(session)).map((page) => (
            <Link key={page.pattern} to={page.pattern} aria-current={isAt(page.pattern, path) ? "page" : undefined}>
              {page.menu}
              {page.pattern === "/alerts" && <AlertCount />}
            </Link>
          ))}
        </nav>
        <Foot session={session} />
      </header>
      <main id="content" tabIndex={-1}>
        {props.children}
      </main>
    </div>
  );
}

function isAt(pattern: string, path: string): boolean {
  return pattern === "/" ? path === "/" || path === "/machines" || path.startsWith("/machines/") : path === pattern;
}

/** How many alerts last. */
function AlertCount(): ReactNode {
  const asked = useAsked("alerts");
  useNews((news) => (news.event === "alert" || news.event === "missed") && asked.again());
  const lasting = (asked.answer ?? []).filter((alert) => alert.ended === null || alert.ended === undefined).length;
  if (lasting === 0) return null;
  return (
    <span className="count">
      {lasting}
      <span className="out-of-sight"> that last</span>
    </span>
  );
}

function Foot(props: { session: Session }): ReactNode {
  const { dark } = useTheme();
  return (
    <footer>
      <span className="who">{props.session.me.name}</span>
      <span>Times are {zone()}.</span>
      <div className="row">
        <button type="button" className="small" onClick={() => chooseTheme(dark ? "light" : "dark")}>
          {dark ? "Light" : "Dark"}
        </button>
        <button type="button" className="small" onClick={() => void props.session.leave()}>
          Log out
        </button>
      </div>
    </footer>
  );
}
