//! How people prove who they are.
//!
//! Never knows: what they may do, HTTP.

pub(crate) mod password;
pub(crate) mod throttle;
pub(crate) mod totp;
