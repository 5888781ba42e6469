// Something that is done at a click: once at a time, and why it could not be.
// Never knows: what is done.

import { useCallback, useRef, useState } from "react";
import { Failure } from "../api/client";

export interface Doing {
  busy: boolean;
  failure: Failure | null;
  /** Does it; whether it was done. */
  run: (act: () => Promise<void>) => Promise<boolean>;
}

export function useDoing(): Doing {
  const [state, setState] = useState<{ busy: boolean; failure: Failure | null }>({ busy: false, failure: null });
  const busy = useRef(false);
  const run = useCallback(async (act: () => Promise<void>) => {
    if (busy.current) return false;
    busy.current = true;
    setState({ busy: true, failure: null });
    try {
      await act();
      setState({ busy: false, failure: null });
      return true;
    } catch (thrown) {
      setState({ busy: false, failure: Failure.of(thrown) });
      return false;
    } finally {
      busy.current = false;
    }
  }, []);
  return { ...state, run };
}
