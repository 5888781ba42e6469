// A page: its heading takes the focus when one comes to it, so that a screen reader says where one is.
// Never knows: what the page is about.

import { type ReactNode, useEffect, useRef } from "react";

/** Not on the first page: who has just come has the focus where the browser puts it. */
let first = true;

export function Page(props: { title: string; lead?: ReactNode; actions?: ReactNode; above?: ReactNode; children: ReactNode }): ReactNode {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${props.title} · Backstay`;
    if (!first) heading.current?.focus();
    first = false;
  }, [props.title]);
  return (
    <div className="page">
      {props.above}
      <header>
        <h1 ref={heading} tabIndex={-1}>
          {props.title}
        </h1>
        {props.actions !== undefined && <div className="row">{props.actions}</div>}
        {props.lead !== undefined && <p className="lead">{props.lead}</p>}
      </header>
      {props.children}
    </div>
  );
}
