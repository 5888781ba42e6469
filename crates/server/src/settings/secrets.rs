//! What is secret of the settings, sealed with a key that lies outside the catalogue.
//!
//! Never knows: what the secrets open.

use std::collections::BTreeMap;
use std::fmt;

use backstay_seal::mac::hmac_sha256;
use backstay_seal::{Secret, boxes};
use zeroize::Zeroizing;

/// What a sealed run of bytes is, so that none is taken for another.
const ABOUT: &[u8] = b"backstay settings 1";

/// Secrets, by what they are for.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Secrets(BTreeMap<String, Zeroizing<String>>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Secrets {
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(|secret| secret.as_str())
    }

    /// Keeps what was typed, or what was kept before if nothing was; whether there is one now.
    pub(super) fn take(&mut self, key: String, typed: Option<String>, before: &Secrets) -> bool {
        let secret = typed.map(Zeroizing::new).or_else(|| before.0.get(&key).cloned());
        let Some(secret) = secret.filter(|secret| !secret.is_empty()) else { return false };
        self.0.insert(key, secret);
        true
    }

    fn plain(&self) -> Zeroizing<Vec<u8>> {
        let all: BTreeMap<&str, &str> = self.0.iter().map(|(key, secret)| (&**key, secret.as_str())).collect();
        Zeroizing::new(serde_json::to_vec(&all).expect("texts can be written"))
    }

    /// Sealed. `salt`: fresh.
    pub(super) fn seal(&self, key: &Secret, salt: boxes::Salt) -> Vec<u8> {
        boxes::seal(key, salt, ABOUT, &self.plain())
    }

    /// From how they were sealed; `None`: with another key, or not by us.
    pub(super) fn open(key: &Secret, sealed: &[u8]) -> Option<Secrets> {
        let plain = Zeroizing::new(boxes::open(key, ABOUT, sealed).ok()?);
        let all: BTreeMap<String, String> = serde_json::from_slice(&plain).ok()?;
        Some(Secrets(all.into_iter().map(|(key, secret)| (key, Zeroizing::new(secret))).collect()))
    }

    /// What changes when they do, and lets nobody guess them.
    pub(super) fn trace(&self, key: &Secret) -> [u8; 32] {
        hmac_sha256(&key.0, &Zeroizing::new([ABOUT, &self.plain()].concat()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_open_with_their_key_and_are_not_shown() {
        let mut secrets = Secrets::default();
        secrets.take("webhook x".into(), Some("s3cret".into()), &Secrets::default());
        let sealed = secrets.seal(&Secret([1; 32]), [2; 16]);
        assert!(!sealed.windows(6).any(|six| six == b"s3cret"));
        assert_eq!(Secrets::open(&Secret([1; 32]), &sealed), Some(secrets.clone()));
        assert_eq!(Secrets::open(&Secret([9; 32]), &sealed), None);
        assert_eq!(format!("{secrets:?}"), r#"{"webhook x"}"#);
        assert_ne!(secrets.trace(&Secret([1; 32])), Secrets::default().trace(&Secret([1; 32])));
    }
}
