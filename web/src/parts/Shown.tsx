// An answer when it is there, a word while it is awaited, the reason when there is none.
// Never knows: what the answer is.

import type { ReactNode } from "react";
import type { Asked } from "../api/useAsked";
import { FailureNote } from "./Note";

export function Shown<T>(props: { asked: Asked<T>; children: (answer: T) => ReactNode }): ReactNode {
  const { answer, failure, again } = props.asked;
  return (
    <>
      <FailureNote why={failure} again={again} />
      {answer !== null ? props.children(answer) : failure === null && <p className="quiet" aria-busy="true">Loading …</p>}
    </>
  );
}
