//! Tests of the server as people and machines meet it: over TLS, by its own authority.

mod client;
mod clock;
mod data;
mod enrol;
mod hostile;
mod issuer;
mod login;
mod oidc;
mod passkeys;
mod peers;
mod people;
mod secrets;
mod settings;
mod start;
mod whole;
