//! First contact: a server that is known by a part of the hash of its authority's certificate, and by nothing else yet.
//!
//! Never knows: where that part came from.

use std::io;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use sha2::{Digest as _, Sha256};

/// The name that every server's certificate is of, whatever its host is called: the authority behind it is what is trusted.
pub const SERVER: &str = "server.backstay.internal";

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What TLS needs to reach a server whose authority's certificate has a SHA-256 that begins so. The server must show that certificate
/// together with its own.
///
/// # Panics
/// Never: the provider supports what is asked of it.
pub fn known_by(beginning: [u8; 16]) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let verifier = Arc::new(Pinned { beginning, provider: provider.clone(), algorithms });
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
    let builder = builder.expect("the provider has TLS 1.3");
    builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
}

/// The SHA-256 of the certificate of the authority that a server shows. It proves nothing: it is for people to compare. Nothing is
/// sent but the beginning of a handshake, which is then broken off.
///
/// # Errors
/// What the system says; `InvalidData`: what answers shows no authority.
pub fn look_at(host: &str, port: u16) -> io::Result<[u8; 32]> {
    let name = ServerName::try_from(host.to_owned()).map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let seen = Arc::new(Seen(Mutex::default()));
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
    let builder = builder.expect("the provider has TLS 1.3").dangerous();
    let config = builder.with_custom_certificate_verifier(seen.clone()).with_no_client_auth();
    let mut talk = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let mut failed = io::Error::from(io::ErrorKind::NotFound);
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(mut stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                // It ends with what was seen, or without.
                let outcome = talk.complete_io(&mut stream);
                let seen = *seen.0.lock().unwrap_or_else(PoisonError::into_inner);
                let nothing = || io::Error::new(io::ErrorKind::InvalidData, "what answers there shows no authority");
                return seen.ok_or_else(|| {
                    outcome.err().filter(|e| e.kind() != io::ErrorKind::InvalidData).unwrap_or_else(nothing)
                });
            }
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Remembers an authority, and trusts nobody.
#[derive(Debug)]
struct Seen(Mutex<Option<[u8; 32]>>);

impl ServerCertVerifier for Seen {
    fn verify_server_cert(
        &self,
        _own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let last = others.last().map(|authority| Sha256::digest(authority).into());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = last;
        Err(Error::InvalidCertificate(CertificateError::UnknownIssuer))
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::InvalidCertificate(CertificateError::BadSignature))
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::InvalidCertificate(CertificateError::BadSignature))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

#[derive(Debug)]
struct Pinned {
    beginning: [u8; 16],
    provider: Arc<CryptoProvider>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let unknown = || Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let authority =
            others.iter().find(|other| Sha256::digest(other).starts_with(&self.beginning)).ok_or_else(unknown)?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone()).build();
        let name = ServerName::try_from(SERVER).map_err(|_| unknown())?;
        verifier.map_err(|_| unknown())?.verify_server_cert(own, others, &name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
