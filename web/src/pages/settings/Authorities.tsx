// Certificates that one other server is believed by, besides the system's: for a company with an authority of its own.
// Never knows: whether they are certificates; the server says so.

import type { ReactNode } from "react";
import { Area } from "../../parts/Field";

export function Authorities(props: { of: string; pem: string | null | undefined; set: (pem: string | null) => void }): ReactNode {
  return (
    <Area
      label={`Authorities of ${props.of}`}
      about="Certificates, as PEM, that are trusted besides the system's. Empty: none."
      rows={3}
      placeholder="-----BEGIN CERTIFICATE-----"
      value={props.pem ?? ""}
      onChange={(event) => props.set(event.target.value === "" ? null : event.target.value)}
    />
  );
}
