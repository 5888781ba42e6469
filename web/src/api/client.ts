// Requests to the API, typed from its own document.
// Never knows: what the answers are for, or how they look.

import type { Operations } from "./schema";

type Name = keyof Operations;
type Method = "GET" | "POST" | "PUT" | "DELETE";
type PathOf<N> = N extends `${Method} /api/v1/${infer P}` ? P : never;
/** What follows `/api/v1/` of all requests with this method. */
export type Path<M extends Method> = PathOf<Extract<Name, `${M} ${string}`>>;
type Operation<M extends Method, P extends string> = `${M} /api/v1/${P}` extends Name
  ? Operations[`${M} /api/v1/${P}`]
  : never;
/** What a request is answered with. */
export type Answer<M extends Method, P extends string> = Operation<M, P>["answer"];
export type Query<M extends Method, P extends string> = Operation<M, P>["query"];
export type Body<M extends Method, P extends string> = Operation<M, P>["body"];

/** What stands for the names in braces in a path. */
export type Names = Record<string, string | number>;

/** Why a request was not done: the API's own sentence and hint. */
export class Failure extends Error {
  readonly code: string;
  readonly hint: string;
  readonly status: number;

  constructor(status: number, code: string, message: string, hint: string) {
    super(message);
    this.status = status;
    this.code = code;
    this.hint = hint;
  }

  /** Whatever was thrown, as one. */
  static of(thrown: unknown): Failure {
    if (thrown instanceof Failure) return thrown;
    return new Failure(0, "unreachable", "the server does not answer", "is the connection there? this page tries again");
  }
}

let csrf: string | null = null;
let onEnded: () => void = () => undefined;

/** The word of the session, that requests which change something carry. */
export function keepWord(word: string | null): void {
  csrf = word;
}

/** What to do when the server says that the session is over. */
export function whenEnded(act: () => void): void {
  onEnded = act;
}

/** The address of a request, for links and downloads too. */
export function address(path: string, names: Names = {}, query: Record<string, unknown> | null = null): string {
  const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(names[name])));
  const asked = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined && value !== null && value !== "") asked.set(name, String(value));
  }
  const text = asked.toString();
  return `/api/v1/${filled}${text === "" ? "" : `?${text}`}`;
}

async function failure(response: Response): Promise<Failure> {
  try {
    const said = (await response.json()) as { error: { code: string; message: string; hint: string } };
    return new Failure(response.status, said.error.code, said.error.message, said.error.hint);
  } catch {
    return new Failure(response.status, "broken", `the server answered ${response.status} and gave no reason`, "");
  }
}

async function send<T>(method: Method, url: string, body: unknown, signal: AbortSignal | null): Promise<T> {
  const headers: Record<string, string> = {};
  if (body !== undefined && body !== null) headers["content-type"] = "application/json";
  if (csrf !== null && method !== "GET") headers["x-backstay-csrf"] = csrf;
  const text = headers["content-type"] === undefined ? null : JSON.stringify(body);
  const response = await fetch(url, { method, headers, body: text, signal, credentials: "same-origin" });
  if (!response.ok) {
    const why = await failure(response);
    if (why.code === "unauthenticated" && csrf !== null) onEnded();
    throw why;
  }
  const said = await response.text();
  return (said === "" ? null : JSON.parse(said)) as T;
}

/** Asks for something. */
export function get<P extends Path<"GET">>(
  path: P,
  names: Names = {},
  query: Query<"GET", P> | null = null,
  signal: AbortSignal | null = null,
): Promise<Answer<"GET", P>> {
  return send("GET", address(path, names, query as Record<string, unknown> | null), null, signal);
}

/** Changes something. */
export function post<P extends Path<"POST">>(path: P, body: Body<"POST", P>, names: Names = {}): Promise<Answer<"POST", P>> {
  return send("POST", address(path, names), body, null);
}

/** Sets something. */
export function put<P extends Path<"PUT">>(path: P, body: Body<"PUT", P>, names: Names = {}): Promise<Answer<"PUT", P>> {
  return send("PUT", address(path, names), body, null);
}

/** Takes something away. */
export function remove<P extends Path<"DELETE">>(path: P, names: Names = {}): Promise<Answer<"DELETE", P>> {
  return send("DELETE", address(path, names), null, null);
}
