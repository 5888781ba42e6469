// Dark or light: as the system says, unless somebody chose.
// Never knows: colours.

import { useSyncExternalStore } from "react";

export type Theme = "system" | "light" | "dark";

const KEPT = "backstay-theme";
const listeners = new Set<() => void>();

function kept(): Theme {
  const word = localStorage.getItem(KEPT);
  return word === "light" || word === "dark" ? word : "system";
}

function apply(theme: Theme): void {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

/** Before anything is shown. */
export function beginTheme(): void {
  apply(kept());
}

export function chooseTheme(theme: Theme): void {
  if (theme === "system") localStorage.removeItem(KEPT);
  else localStorage.setItem(KEPT, theme);
  apply(theme);
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  listeners.add(listener);
  system.addEventListener("change", listener);
  return () => {
    listeners.delete(listener);
    system.removeEventListener("change", listener);
  };
}

/** What was chosen, and whether it is dark now. */
export function useTheme(): { theme: Theme; dark: boolean } {
  const text = useSyncExternalStore(subscribe, () => {
    const theme = kept();
    const dark = theme === "dark" || (theme === "system" && window.matchMedia("(prefers-color-scheme: dark)").matches);
    return `${theme} ${dark}`;
  });
  const [theme = "system", dark] = text.split(" ");
  return { theme: theme as Theme, dark: dark === "true" };
}
