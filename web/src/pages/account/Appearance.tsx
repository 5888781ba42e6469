// Dark or light, chosen on this computer.
// Never knows: the account.

import type { ReactNode } from "react";
import { chooseTheme, type Theme, useTheme } from "../../app/theme";
import { Choice } from "../../parts/Field";

export function Appearance(): ReactNode {
  const { theme } = useTheme();
  return (
    <section className="sheet" aria-labelledby="appearance">
      <h2 id="appearance">Appearance</h2>
      <Choice label="Colours" about="Kept on this computer only." value={theme} onChange={(event) => chooseTheme(event.target.value as Theme)}>
        <option value="system">as the system says</option>
        <option value="light">light</option>
        <option value="dark">dark</option>
      </Choice>
    </section>
  );
}
