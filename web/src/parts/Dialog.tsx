// A dialog: the browser's own, so that focus and Escape behave as they should.
// Never knows: what is asked in it.

import { type ReactNode, useId, useLayoutEffect, useRef } from "react";

export function Dialog(props: { title: string; close: () => void; children: ReactNode }): ReactNode {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  // Closed while it is still on the page: only then does the browser put the focus back where it was.
  useLayoutEffect(() => {
    const shown = dialog.current;
    shown?.showModal();
    return () => shown?.close();
  }, []);
  const cancelled = (event: { preventDefault: () => void }): void => {
    event.preventDefault();
    props.close();
  };
  return (
    <dialog ref={dialog} aria-labelledby={id} onCancel={cancelled}>
      <div className="stack">
        <h2 id={id}>{props.title}</h2>
        {props.children}
      </div>
    </dialog>
  );
}
