// A line to be typed elsewhere, with a button that copies it.
// Never knows: what the line does.

import { type ReactNode, useState } from "react";

export function Copied(props: { text: string; label: string }): ReactNode {
  const [said, setSaid] = useState("");
  const copy = (): void => {
    navigator.clipboard.writeText(props.text).then(
      () => setSaid("Copied"),
      () => setSaid("Not copied: select the text instead"),
    );
  };
  return (
    <div className="copied">
      <pre>
        <code>{props.text}</code>
      </pre>
      <button type="button" className="small" onClick={copy}>
        Copy<span className="out-of-sight"> {props.label}</span>
      </button>
      <span role="status" className={said === "" ? "out-of-sight" : "quiet"}>
        {said}
      </span>
    </div>
  );
}
