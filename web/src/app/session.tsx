// Who is logged in: asked once, kept until they log out or the server says that it is over.
// Never knows: how somebody proves who they are.

import { createContext, type ReactNode, useCallback, useContext, useEffect, useMemo, useState } from "react";
import { Failure, get, keepWord, post, whenEnded } from "../api/client";
import type { Me } from "../api/schema";
import { may, maySome, type Right } from "./rights";

export interface Session {
  me: Me;
  /** Whether something may be done everywhere, or to one machine. */
  may: (right: Right, machine?: string, vault?: string) => boolean;
  /** Whether something may be done anywhere. */
  maySome: (right: Right) => boolean;
  leave: () => Promise<void>;
  /** The server is asked again who this is. */
  refresh: () => void;
}

const Context = createContext<Session | null>(null);

/** Only inside the pages of somebody who is logged in. */
export function useSession(): Session {
  const session = useContext(Context);
  if (session === null) throw new Error("nobody is logged in here");
  return session;
}

type State = { is: "asking" } | { is: "nobody"; ended: boolean } | { is: "unreachable"; why: Failure } | { is: "somebody"; me: Me };

/** What is shown to nobody, and to somebody. */
export function SessionGate(props: {
  nobody: (entered: (me: Me) => void, ended: boolean) => ReactNode;
  unreachable: (why: Failure, again: () => void) => ReactNode;
  children: ReactNode;
}): ReactNode {
  const [state, setState] = useState<State>({ is: "asking" });
  const entered = useCallback((me: Me) => {
    keepWord(me.csrf ?? null);
    setState({ is: "somebody", me });
  }, []);
  const ask = useCallback(() => {
    get("me").then(entered, (thrown: unknown) => {
      const why = Failure.of(thrown);
      setState(why.status === 401 ? { is: "nobody", ended: false } : { is: "unreachable", why });
    });
  }, [entered]);
  useEffect(() => {
    whenEnded(() => {
      keepWord(null);
      setState({ is: "nobody", ended: true });
    });
    ask();
  }, [ask]);
  const session = useMemo(() => (state.is === "somebody" ? sessionOf(state.me, ask, () => setState({ is: "nobody", ended: false })) : null), [state, ask]);
  if (session !== null) return <Context value={session}>{props.children}</Context>;
  if (state.is === "nobody") return props.nobody(entered, state.ended);
  if (state.is === "unreachable") return props.unreachable(state.why, ask);
  return null;
}

function sessionOf(me: Me, refresh: () => void, left: () => void): Session {
  return {
    me,
    may: (right, machine, vault) => may(me.grants, right, machine ?? null, vault ?? null),
    maySome: (right) => maySome(me.grants, right),
    refresh,
    leave: async () => {
      await post("logout", null);
      keepWord(null);
      left();
    },
  };
}
