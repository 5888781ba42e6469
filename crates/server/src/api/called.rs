//! What whoever asks calls the server: a server has several names, and some things belong to one of them.
//!
//! Never knows: which names are the server's.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;

/// Host and port as a browser has them in its address line; empty if it does not say.
pub(crate) struct Called(pub(crate) String);

impl Called {
    /// Without the port.
    pub(crate) fn name(&self) -> &str {
        match self.0.rsplit_once(':') {
            // What follows the last colon of an address in brackets may be a part of it.
            Some((name, port)) if !port.contains(']') => name,
            _ => &self.0,
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Called {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Called, Infallible> {
        // HTTP/2 says it in one place, HTTP/1 in the other.
        let header = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let host = parts.uri.authority().map(|host| host.as_str()).or(header);
        Ok(Called(host.unwrap_or_default().to_ascii_lowercase()))
    }
}

#[cfg(test)]
mod tests {
    use super::Called;

    #[test]
    fn a_name_ends_before_its_port() {
        let name = |called: &str| Called(called.to_owned()).name().to_owned();
        assert_eq!((name("backup.example.org:7443"), name("backup")), ("backup.example.org".into(), "backup".into()));
        assert_eq!((name("[::1]:7443"), name("[::1]"), name("")), ("[::1]".into(), "[::1]".into(), String::new()));
    }
}
