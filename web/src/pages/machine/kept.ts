// Until when a point is kept, in words. Pure.
// Never knows: how that is decided.

import type { KeptText } from "../../api/schema";
import { moment } from "../../say/time";

/** A sentence; nothing where no points are forgotten by themselves. */
export function keptInWords(kept: KeptText | null | undefined, now: number): string {
  if (kept === null || kept === undefined) return "";
  if (kept.until === null || kept.until === undefined) return "Kept for as long as it is the newest.";
  if (Date.parse(kept.until) < now) return "Kept until points are forgotten next.";
  const why = kept.as === "all" ? "as all points are" : `as the newest of its ${kept.as}`;
  return `Kept until ${moment(kept.until)}, ${why}.`;
}
