//! How people prove who they are.
//!
//! Never knows: what they may do, HTTP.

pub(crate) mod oidc;
pub(crate) mod passkey;
pub(crate) mod password;
pub(crate) mod pending;
pub(crate) mod throttle;
pub(crate) mod totp;
