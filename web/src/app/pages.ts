// Every page: its address, who is offered it, and its place in the menu.
// Never knows: what is on a page.

import type { ReactNode } from "react";
import { Alerts } from "../pages/alerts/Alerts";
import { Audit } from "../pages/audit/Audit";
import { Account } from "../pages/account/Account";
import { Enrolments } from "../pages/enrolments/Enrolments";
import { Jobs } from "../pages/jobs/Jobs";
import { Machine } from "../pages/machine/Machine";
import { Overview } from "../pages/overview/Overview";
import { People } from "../pages/people/People";
import { Point } from "../pages/point/Point";
import { Settings } from "../pages/settings/Settings";
import { Space } from "../pages/space/Space";
import type { Session } from "./session";

export interface PageAbout {
  pattern: string;
  /** Its name in the menu, if it is there. */
  menu?: string;
  offered: (session: Session) => boolean;
  show: (props: { names: Record<string, string> }) => ReactNode;
}

const sees = (session: Session): boolean => session.maySome("see");

export const PAGES: PageAbout[] = [
  { pattern: "/", menu: "Machines", offered: sees, show: Overview },
  { pattern: "/machines", offered: sees, show: Overview },
  { pattern: "/machines/:machine", offered: sees, show: Machine },
  { pattern: "/machines/:machine/points/:point", offered: sees, show: Point },
  { pattern: "/alerts", menu: "Alerts", offered: (session) => session.may("see"), show: Alerts },
  { pattern: "/jobs", menu: "Jobs", offered: sees, show: Jobs },
  { pattern: "/space", menu: "Space", offered: sees, show: Space },
  { pattern: "/enrolments", menu: "Enrolments", offered: (session) => session.may("run"), show: Enrolments },
  { pattern: "/people", menu: "People", offered: (session) => session.may("configure"), show: People },
  { pattern: "/settings", menu: "Settings", offered: (session) => session.may("configure"), show: Settings },
  { pattern: "/audit", menu: "Audit log", offered: (session) => session.may("audit"), show: Audit },
  { pattern: "/account", menu: "My account", offered: () => true, show: Account },
];
