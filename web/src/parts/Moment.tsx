// A moment in the zone of whoever looks; programs read it exactly.
// Never knows: what happened then.

import type { ReactNode } from "react";
import { exact, moment } from "../say/time";

export function Moment(props: { at: string | null | undefined; never?: string; exact?: boolean }): ReactNode {
  if (props.at === null || props.at === undefined) return <span className="quiet">{props.never ?? "never"}</span>;
  return (
    <time className="moment" dateTime={props.at} title={props.at}>
      {props.exact === true ? exact(props.at) : moment(props.at)}
    </time>
  );
}
