// A text as a picture for a camera, drawn here: it is a secret, and no other host sees it.
// Never knows: what the text is.

import { type ReactNode, useMemo } from "react";
import { encode } from "uqr";

export function QrCode(props: { text: string; label: string }): ReactNode {
  const { size, path } = useMemo(() => {
    const code = encode(props.text, { ecc: "M", border: 2 });
    const dots = code.data.flatMap((row, y) => row.flatMap((dark, x) => (dark ? [`M${x} ${y}h1v1h-1z`] : [])));
    return { size: code.size, path: dots.join("") };
  }, [props.text]);
  return (
    <div className="qr">
      <svg viewBox={`0 0 ${size} ${size}`} role="img" aria-label={props.label} shapeRendering="crispEdges">
        <path d={path} fill="#000" />
      </svg>
    </div>
  );
}
