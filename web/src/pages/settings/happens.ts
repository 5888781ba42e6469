// What single sign-on comes to, in sentences: who would be let in, as what, and what a change does to those who are there. Pure.
// Never knows: who is in which group.

import type { GrantText, Oidc } from "../../api/schema";

/** `operator of everything`. */
function role(grant: GrantText): string {
  const [kind, name] = grant.scope.split(":");
  return `${grant.role} of ${grant.scope === "all" ? "everything" : `${kind} ${name}`}`;
}

/** A few things, as a sentence names them: `a`, `a and b`, `a, b and c`. */
function listed(words: string[]): string {
  const last = words[words.length - 1] ?? "";
  return words.length < 2 ? last : `${words.slice(0, -1).join(", ")} and ${last}`;
}

/** Which roles go together with none of the others, as `crates/server/src/rights.rs` has it. */
function clash(grants: GrantText[]): boolean {
  const has = (word: string): boolean => grants.some((grant) => grant.role === word);
  return (has("administrator") && has("restore-operator")) || (has("auditor") && grants.some((grant) => grant.role !== "auditor"));
}

/** What the settings would do. */
export function happens(now: Oidc | null, before: Oidc | null): string[] {
  if (now === null) return before === null ? [] : removed();
  const said = [`People can log in by “${now.label === undefined || now.label === "" ? "Single sign-on" : now.label}”, too. Passwords go on working.`];
  const groups = now.groups ?? [];
  for (const { group, grants } of groups) {
    if (group === "" || grants.length === 0) continue;
    said.push(`Who is in the group ${group} comes in as ${listed(grants.map(role))}.`);
    if (clash(grants)) said.push(`These roles exclude each other: nobody of the group ${group} would be let in.`);
  }
  said.push("People that an administrator made known under People keep the roles that they have here.");
  said.push(groups.length === 0 ? "Nobody else is let in: no group gives a role." : "Nobody else is let in. Roles are given anew at each login; who leaves a group loses its roles then.");
  if (before !== null && before.issuer !== now.issuer) said.push(`Whoever is known by ${before.issuer} is not let in by ${now.issuer}: they have to be made known again.`);
  return said;
}

function removed(): string[] {
  return [
    "Nobody can log in by single sign-on any more.",
    "Who has a password here logs in with it. Who has none cannot come in until an administrator resets it under People.",
    "Sessions that have begun and tokens last until they end: shut out under People who should be out now.",
  ];
}
