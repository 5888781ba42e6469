// What came of telling somebody of a test alert, in words. Pure.
// Never knows: who is told.

import type { Told } from "../../api/schema";

/** What programs say about the way to an error, and nobody else needs. */
const LAYERS = [/^error sending request: /i, /^client error \(\w+\): /i, /^tcp connect error: /i, / \(os error \d+\)$/];

/** `Mail`, `Webhook chat.example.org`: without the sign that tells webhooks of one host apart. */
export function channel(name: string): string {
  const [kind = "", ...rest] = name.split(" ");
  const host = rest.filter((word) => !/^[0-9a-f]{16}$/.test(word)).join(" ");
  return kind === "email" ? "Mail" : `${kind.charAt(0).toUpperCase()}${kind.slice(1)} ${host}`.trim();
}

/** Why somebody was not told. */
export function why(told: Told): string {
  return LAYERS.reduce((text, layer) => text.replace(layer, ""), told.error ?? "");
}
