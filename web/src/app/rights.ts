// What a role may, as `crates/server/src/rights.rs` has it: so that what is not allowed is not offered. The server decides.
// Never knows: what is done with a right.

import type { GrantText } from "../api/schema";

export type Right = "see" | "run" | "read" | "configure" | "audit";

const ROLES: Record<string, Right[]> = {
  administrator: ["see", "configure"],
  operator: ["see", "run"],
  "restore-operator": ["see", "read"],
  auditor: ["audit"],
};

export const ROLE_WORDS = Object.keys(ROLES);

/** What a role is for, in a line. */
export const ROLE_TEXTS: Record<string, string> = {
  administrator: "people, roles, settings; cannot read data",
  operator: "jobs, suspending, enrolling; cannot read data",
  "restore-operator": "looks into points, downloads, restores",
  auditor: "the log of who did what, and nothing else",
};

function holds(scope: string, machine: string | null, vault: string | null): boolean {
  return scope === "all" || (machine !== null && scope === `machine:${machine}`) || (vault !== null && scope === `vault:${vault}`);
}

/** Whether these roles allow something for everything there is, or for one machine. */
export function may(grants: GrantText[], right: Right, machine: string | null = null, vault: string | null = null): boolean {
  return grants.some((grant) => (ROLES[grant.role] ?? []).includes(right) && holds(grant.scope, machine, vault));
}

/** Whether these roles allow something for anything at all. */
export function maySome(grants: GrantText[], right: Right): boolean {
  return grants.some((grant) => (ROLES[grant.role] ?? []).includes(right));
}
