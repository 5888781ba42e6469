// A link to a page of the console: nothing is loaded, unless whoever clicks wants a new tab.
// Never knows: the pages.

import type { AnchorHTMLAttributes, MouseEvent, ReactNode } from "react";
import { go } from "../app/router";

export function Link(props: { to: string; children: ReactNode } & AnchorHTMLAttributes<HTMLAnchorElement>): ReactNode {
  const { to, children, ...rest } = props;
  const follow = (event: MouseEvent): void => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    go(to);
  };
  return (
    <a {...rest} href={to} onClick={follow}>
      {children}
    </a>
  );
}
