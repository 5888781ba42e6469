// What went wrong, in the server's own sentence and hint; and what went well.
// Never knows: what was tried.

import type { ReactNode } from "react";
import type { Failure } from "../api/client";

export function FailureNote(props: { why: Failure | null; again?: () => void }): ReactNode {
  const { why } = props;
  if (why === null) return null;
  return (
    <div className="note bad" role="alert">
      <strong>{sentence(why.message)}</strong>
      {why.hint !== "" && <span className="hint">{sentence(why.hint)}</span>}
      {props.again !== undefined && (
        <div>
          <button type="button" className="small" onClick={props.again}>
            Try again
          </button>
        </div>
      )}
    </div>
  );
}

export function GoodNote(props: { children: ReactNode }): ReactNode {
  return (
    <div className="note good" role="status">
      {props.children}
    </div>
  );
}

function sentence(text: string): string {
  return text === "" ? text : text[0]?.toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}
