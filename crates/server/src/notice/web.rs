//! Requests to other hosts: over TLS, to where they were sent and nowhere else, and not for ever.
//!
//! Never knows: what they are about.

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Response};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::address::careful;
use super::{Why, sentence};

const CONNECTING: Duration = Duration::from_secs(10);
const ALL: Duration = Duration::from_secs(20);

/// What sends requests. No redirect is followed, and no proxy is used. `ca_pem`: authorities that are trusted besides the system's.
/// Unless `anywhere`, nothing goes to addresses where clouds hand out credentials.
///
/// # Errors
/// Why there is none.
pub(crate) fn client(ca_pem: Option<&str>, anywhere: bool) -> Result<Client, Why> {
    let mut client = Client::builder().https_only(true).no_proxy().redirect(Policy::none());
    client =
        client.connect_timeout(CONNECTING).timeout(ALL).user_agent(concat!("backstay/", env!("CARGO_PKG_VERSION")));
    let own = CertificateDer::pem_slice_iter(ca_pem.unwrap_or_default().as_bytes()).flatten();
    let own: Result<Vec<Certificate>, _> = own.map(|der| Certificate::from_der(&der)).collect();
    client = client.tls_certs_merge(own.map_err(|error| sentence(&error))?);
    if !anywhere {
        client = client.dns_resolver(careful());
    }
    client.build().map_err(|error| sentence(&error))
}
/// A body of at most so many bytes.
///
/// # Errors
/// It is longer, or did not come whole.
pub(crate) async fn body(mut response: Response, most: usize) -> Result<Vec<u8>, Why> {
    let mut all = Vec::new();
    while let Some(more) = response.chunk().await.map_err(|error| sentence(&error.without_url()))? {
        if all.len() + more.len() > most {
            return Err(format!("an answer of more than {most} bytes"));
        }
        all.extend_from_slice(&more);
    }
    Ok(all)
}
