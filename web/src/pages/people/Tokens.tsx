// Everybody's tokens, for administrators.
// Never knows: the tokens themselves; nobody does.

import type { ReactNode } from "react";
import { remove } from "../../api/client";
import { useAsked } from "../../api/useAsked";
import { Shown } from "../../parts/Shown";
import { TokenTable } from "./TokenTable";

export function Tokens(): ReactNode {
  const asked = useAsked("tokens");
  return (
    <section className="sheet bare" aria-labelledby="tokens">
      <h2 id="tokens">Tokens of programs</h2>
      <Shown asked={asked}>
        {(tokens) => <TokenTable tokens={tokens} whose end={(token) => remove("tokens/{token}", { token }).then(asked.again)} />}
      </Shown>
    </section>
  );
}
