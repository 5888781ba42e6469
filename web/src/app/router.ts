// Which page is shown: the path of the address, changed without loading anything.
// Never knows: the pages.

import { useSyncExternalStore } from "react";

const CHANGED = "backstay:place";

function subscribe(changed: () => void): () => void {
  window.addEventListener("popstate", changed);
  window.addEventListener(CHANGED, changed);
  return () => {
    window.removeEventListener("popstate", changed);
    window.removeEventListener(CHANGED, changed);
  };
}

/** Goes to a page of the console. */
export function go(to: string, how: "push" | "replace" = "push"): void {
  if (how === "push") window.history.pushState(null, "", to);
  else window.history.replaceState(null, "", to);
  window.dispatchEvent(new Event(CHANGED));
}

/** The path and the question of the address. */
export function usePlace(): { path: string; query: URLSearchParams } {
  const text = useSyncExternalStore(subscribe, () => window.location.pathname + window.location.search);
  const [path = "/", asked = ""] = text.split("?");
  return { path, query: new URLSearchParams(asked) };
}

/** The names in a path, if it looks like the pattern: `/machines/:machine`. */
export function match(pattern: string, path: string): Record<string, string> | null {
  const [wanted, found] = [pattern, path].map((text) => text.replace(/\/+$/, "").split("/")) as [string[], string[]];
  if (wanted.length !== found.length) return null;
  const names: Record<string, string> = {};
  for (const [at, word] of wanted.entries()) {
    const other = found[at] ?? "";
    if (!word.startsWith(":")) {
      if (word !== other) return null;
    } else {
      try {
        names[word.slice(1)] = decodeURIComponent(other);
      } catch {
        return null;
      }
    }
  }
  return names;
}

/** A path made of words that may be anything. */
export function place(...words: (string | number)[]): string {
  return `/${words.map((word) => encodeURIComponent(word)).join("/")}`;
}
