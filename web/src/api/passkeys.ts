// Making and showing passkeys: what the server asks, the browser does, and the server is told.
// Never knows: pages.

import { Failure, post } from "./client";
import type { Ceremony, Me } from "./schema";

/** Whether this browser can. */
export function canPasskeys(): boolean {
  return typeof PublicKeyCredential !== "undefined" && typeof PublicKeyCredential.parseCreationOptionsFromJSON === "function";
}

/** Makes a passkey for whoever is logged in. */
export async function makePasskey(name: string, password: string): Promise<void> {
  const asked = await post("me/passkeys", { name, password: password === "" ? null : password });
  const options = PublicKeyCredential.parseCreationOptionsFromJSON(publicKey(asked) as PublicKeyCredentialCreationOptionsJSON);
  const made = await byHand(navigator.credentials.create({ publicKey: options }));
  await post("me/passkeys/confirm", { ceremony: asked.ceremony, credential: made });
}

/** Logs in: with a passkey alone, or with name and password before it. */
export async function showPasskey(name: string | null, password: string | null): Promise<Me> {
  const asked = await post("login/passkey", { name, password });
  const options = PublicKeyCredential.parseRequestOptionsFromJSON(publicKey(asked) as PublicKeyCredentialRequestOptionsJSON);
  const shown = await byHand(navigator.credentials.get({ publicKey: options }));
  return await post("login/passkey/confirm", { ceremony: asked.ceremony, credential: shown });
}

function publicKey(asked: Ceremony): unknown {
  return asked.options.publicKey;
}

/** What the person did with the browser's question. */
async function byHand(asked: Promise<Credential | null>): Promise<Record<string, unknown>> {
  const given = await asked.catch(() => null);
  if (!(given instanceof PublicKeyCredential)) throw new Failure(0, "no_passkey", "no passkey was shown", "try again, or log in another way");
  return { ...given.toJSON() };
}
