//! Passkeys (WebAuthn): what a browser is asked, and whether the answer is right. Whoever shows one has it and unlocked it.
//!
//! Never knows: where passkeys are kept, or what they are shown for.

use serde_json::Value;
use webauthn_rs::prelude::{
    DiscoverableAuthentication, Passkey, PasskeyAuthentication, PasskeyRegistration, PublicKeyCredential,
    RegisterPublicKeyCredential, Url, Uuid, Webauthn, WebauthnBuilder,
};

/// What was asked of a browser, for when it answers.
pub(crate) enum Asked {
    /// To make a passkey for a person, with what they call it.
    Make(i64, String, Box<PasskeyRegistration>),
    /// To show one of a person's passkeys.
    Show(i64, Box<PasskeyAuthentication>),
    /// To show any passkey of this server.
    ShowAny(Box<DiscoverableAuthentication>),
}

/// What asks for passkeys of a server: for each of its names, for a passkey belongs to one.
pub(crate) struct Parties(Vec<(String, Webauthn)>);

impl Parties {
    /// Of these names. Those that are addresses cannot have passkeys.
    pub(crate) fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Parties {
        let party = |name: &str| relying_party(name).map(|party| (name.to_owned(), party));
        Parties(names.into_iter().map(str::to_ascii_lowercase).filter_map(|name| party(&name)).collect())
    }

    /// The one of a name, with the name.
    pub(crate) fn of(&self, name: &str) -> Option<(&str, &Webauthn)> {
        self.0.iter().find(|(known, _)| known == name).map(|(name, party)| (&**name, party))
    }

    /// The names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| &**name)
    }
}

/// `None`: an address, or no name.
fn relying_party(name: &str) -> Option<Webauthn> {
    if name.parse::<std::net::IpAddr>().is_ok() {
        return None;
    }
    let origin = Url::parse(&format!("https://{name}")).ok()?;
    let builder = WebauthnBuilder::new(name, &origin).ok()?;
    // The port is none of a name's identity; the name is.
    builder.allow_any_port(true).rp_name("Backstay").build().ok()
}

/// Asks for a new passkey.
pub(crate) fn make(
    party: &Webauthn,
    (person, handle, name): (i64, Uuid, &str),
    (label, known): (&str, &[Passkey]),
) -> Option<(Value, Asked)> {
    let known = known.iter().map(|key| key.cred_id().clone()).collect();
    let (options, state) = party.start_passkey_registration(handle, name, name, Some(known)).ok()?;
    let mut options = serde_json::to_value(options).ok()?;
    // So that one can log in without typing a name, if the key can do that.
    options["publicKey"]["authenticatorSelection"]["residentKey"] = "preferred".into();
    Some((options, Asked::Make(person, label.to_owned(), Box::new(state))))
}

/// Asks to see one of these.
pub(crate) fn show(party: &Webauthn, person: i64, keys: &[Passkey]) -> Option<(Value, Asked)> {
    let (options, state) = party.start_passkey_authentication(keys).ok()?;
    Some((serde_json::to_value(options).ok()?, Asked::Show(person, Box::new(state))))
}

/// Asks to see any.
pub(crate) fn show_any(party: &Webauthn) -> Option<(Value, Asked)> {
    let (mut options, state) = party.start_discoverable_authentication().ok()?;
    // Whether it is offered while a name is typed is the page's own business.
    options.mediation = None;
    Some((serde_json::to_value(options).ok()?, Asked::ShowAny(Box::new(state))))
}

/// The passkey that was made; `None`: the answer is not right.
pub(crate) fn made(party: &Webauthn, state: &PasskeyRegistration, answer: Value) -> Option<Passkey> {
    let answer: RegisterPublicKeyCredential = serde_json::from_value(answer).ok()?;
    party.finish_passkey_registration(&answer, state).ok()
}

/// Whose passkey an answer shows, as it says itself.
pub(crate) fn whose(party: &Webauthn, answer: &Value) -> Option<Uuid> {
    let answer: PublicKeyCredential = serde_json::from_value(answer.clone()).ok()?;
    party.identify_discoverable_authentication(&answer).ok().map(|(handle, _)| handle)
}

/// The passkey of these that was shown, as it is to be kept from now on; `None`: the answer is not right.
pub(crate) fn shown(party: &Webauthn, asked: Asked, answer: Value, keys: &[Passkey]) -> Option<Passkey> {
    let answer: PublicKeyCredential = serde_json::from_value(answer).ok()?;
    let id = answer.get_credential_id().to_vec();
    let mut key = keys.iter().find(|key| key.cred_id().as_slice() == id)?.clone();
    let result = match asked {
        Asked::Make(..) => return None,
        Asked::Show(_, state) => party.finish_passkey_authentication(&answer, &state),
        Asked::ShowAny(state) => party.finish_discoverable_authentication_v2(&answer, *state, &key),
    };
    let result = result.ok()?;
    key.update_credential(&result)?;
    result.user_verified().then_some(key)
}
