// The style sheet's colours, as a canvas needs them.
// Never knows: what is drawn in them.

const NAMES = ["ink", "quiet", "line", "line-strong", "bar", "bar-strong", "bar-weak", "gap", "accent", "trouble", "sheet"] as const;

export type Colours = Record<(typeof NAMES)[number], string>;

/** As they are now; they change with the theme. */
export function colours(host: HTMLElement): Colours {
  const probe = document.createElement("span");
  host.append(probe);
  const found = Object.fromEntries(
    NAMES.map((name) => {
      probe.style.color = `var(--${name})`;
      return [name, getComputedStyle(probe).color];
    }),
  );
  probe.remove();
  return found as Colours;
}
