// For those who are nobody yet: the first administrator on a fresh server, and logging in.
// Never knows: what is behind it.

import { type ReactNode, useEffect, useState } from "react";
import { useAsked } from "../../api/useAsked";
import type { Me } from "../../api/schema";
import { FailureNote, GoodNote } from "../../parts/Note";
import { Login } from "./Login";
import { Setup } from "./Setup";

export function Door(props: { entered: (me: Me) => void; ended: boolean }): ReactNode {
  const health = useAsked("health");
  const [made, setMade] = useState<string | null>(null);
  useEffect(() => {
    document.title = "Log in · Backstay";
  }, []);
  const fresh = health.answer?.needs_setup === true && made === null;
  return (
    <div className="door">
      <main>
        <span className="brand">
          <img src="/icon.svg" alt="" />
          Backstay
        </span>
        <FailureNote why={health.failure} again={health.again} />
        {props.ended && !fresh && <div className="note" role="status">Your session has ended. Log in to go on.</div>}
        {made !== null && <GoodNote>The first administrator is made. Log in.</GoodNote>}
        {health.answer !== null && (fresh ? <Setup made={setMade} /> : <Login name={made ?? ""} entered={props.entered} />)}
        {health.answer !== null && <p className="quiet">Version {health.answer.version}</p>}
      </main>
    </div>
  );
}
