// What is kept elsewhere so that the log can be verified, and how that is done.
// Never knows: records.

import type { ReactNode } from "react";
import { useAsked } from "../../api/useAsked";
import { Copied } from "../../parts/Copied";
import { Shown } from "../../parts/Shown";

export function Proof(): ReactNode {
  const asked = useAsked("audit/checkpoint");
  return (
    <section className="sheet" aria-labelledby="proof">
      <h2 id="proof">Proof</h2>
      <Shown asked={asked}>
        {(proof) => (
          <div className="stack">
            <p>
              The newest checkpoint, signed. Keep a copy where the server&apos;s administrators cannot reach it: whoever has it sees if anything
              before it is ever changed, cut off or replaced.
            </p>
            <Copied label="the checkpoint" text={proof.checkpoint.trimEnd()} />
            <p>The key, to be written down once:</p>
            <Copied label="the key" text={proof.key.trimEnd()} />
            <p>To verify, on the server or with a copy of its folder. CHECKPOINT is a file with a checkpoint that you kept:</p>
            <Copied label="the command" text={`backstay audit verify DATA/audit --key '${proof.key.trim()}' --since CHECKPOINT`} />
          </div>
        )}
      </Shown>
    </section>
  );
}
