//! Connecting to a server that is known by its certificate authority.
//!
//! Never knows: how the certificates were come by.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::pump::moved;
use crate::link::Link;

/// How long a connection may take to come about.
const PATIENCE: Duration = Duration::from_secs(20);
/// After so long without a sign of life the other end is taken for dead.
const SILENCE: Duration = Duration::from_secs(30);
/// For so long the end of a connection waits for what is still to be sent, and for being told.
const FAREWELL: Duration = Duration::from_secs(1);

/// Where a server is, and how it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Host and port.
    pub address: String,
    /// The name that its certificate is of.
    pub name: String,
    /// The certificate of the authority that signed that, as PEM: no other is trusted.
    pub authority: String,
    /// The protocol that is wanted of it (RFC 7301).
    pub protocol: Vec<u8>,
}

/// Who connects.
#[derive(Clone)]
pub struct Identity {
    /// Its certificate, as PEM.
    pub certificate: String,
    /// Its private key, as PEM.
    pub key: String,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A certificate or key that is none.
    #[error("{0} is not valid")]
    Bad(&'static str),
    /// Nothing answers there.
    #[error("{address} cannot be reached")]
    Unreachable {
        /// Where.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// What answers is not the server that is known, or does not want us.
    #[error("what answers at {address} is not the server that this machine was enrolled with, or turned it away")]
    Untrusted {
        /// Where.
        address: String,
        /// What TLS said.
        source: io::Error,
    },
}

/// Connects.
///
/// # Errors
/// [`ConnectError`].
pub fn connect(peer: &Peer, identity: &Identity) -> Result<Arc<dyn Link>, ConnectError> {
    let config = client_config(peer, identity)?;
    let name = ServerName::try_from(peer.name.clone()).map_err(|_| ConnectError::Bad("the server's name"))?;
    let unreachable = |source| ConnectError::Unreachable { address: peer.address.clone(), source };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(unreachable)?;
    let stream = runtime.block_on(within(reach(&peer.address))).map_err(unreachable)?;
    let secured = runtime.block_on(within(TlsConnector::from(Arc::new(config)).connect(name, stream)));
    let secured = secured.map_err(|source| ConnectError::Untrusted { address: peer.address.clone(), source })?;
    Ok(Arc::new(Connected::new(secured, runtime)))
}

async fn within<T>(what: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(PATIENCE, what).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn reach(address: &str) -> io::Result<TcpStream> {
    let all: Vec<SocketAddr> = address.to_socket_addrs()?.collect();
    let stream = TcpStream::connect(&all[..]).await?;
    stream.set_nodelay(true)?;
    rustix::net::sockopt::set_socket_keepalive(&stream, true)?;
    rustix::net::sockopt::set_tcp_keepidle(&stream, SILENCE / 3)?;
    rustix::net::sockopt::set_tcp_user_timeout(&stream, SILENCE.as_millis() as u32)?;
    Ok(stream)
}

/// What TLS needs to reach a peer and to show who we are.
///
/// # Errors
/// [`ConnectError::Bad`].
pub fn client_config(peer: &Peer, identity: &Identity) -> Result<ClientConfig, ConnectError> {
    let certificate =
        |pem: &str, what| CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| ConnectError::Bad(what));
    let mut authorities = RootCertStore::empty();
    let authority = certificate(&peer.authority, "the certificate of the server's authority")?;
    authorities.add(authority).map_err(|_| ConnectError::Bad("the certificate of the server's authority"))?;
    let own = certificate(&identity.certificate, "this machine's certificate")?;
    let key =
        PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).map_err(|_| ConnectError::Bad("this machine's key"))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
    let builder = builder.map_err(|_| ConnectError::Bad("the provider of TLS"))?;
    let config = builder.with_root_certificates(authorities).with_client_auth_cert(vec![own], key);
    let mut config = config.map_err(|_| ConnectError::Bad("this machine's certificate"))?;
    config.alpn_protocols = vec![peer.protocol.clone()];
    Ok(config)
}

/// A link with the runtime that moves its bytes.
struct Connected {
    inner: Arc<dyn Link>,
    /// Until it is dropped: what moves the bytes, and sees to it that the end is told.
    moving: Option<(Runtime, JoinHandle<()>)>,
}

impl Connected {
    fn new(stream: impl AsyncRead + AsyncWrite + Send + 'static, runtime: Runtime) -> Connected {
        let (inner, writing) = moved(stream, runtime.handle());
        Connected { inner, moving: Some((runtime, writing)) }
    }
}

impl Link for Connected {
    fn send(&self, parts: &[&[u8]]) -> io::Result<()> {
        self.inner.send(parts)
    }

    fn send_ahead(&self, parts: &[&[u8]]) -> io::Result<()> {
        self.inner.send_ahead(parts)
    }

    fn receive(&self) -> io::Result<Option<Vec<u8>>> {
        self.inner.receive()
    }

    fn receive_within(&self, patience: Duration) -> io::Result<Option<Vec<u8>>> {
        self.inner.receive_within(patience)
    }

    fn close(&self) {
        self.inner.close();
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.inner.close();
        if let Some((runtime, writing)) = self.moving.take() {
            // An end that cannot be told in time is found out by the other side in its own.
            let _ = runtime.block_on(async { tokio::time::timeout(FAREWELL, writing).await });
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::real::link::over;

    #[test]
    fn what_was_sent_last_and_the_end_arrive() {
        let (one, other) = tokio::io::duplex(1 << 10);
        let beyond = Runtime::new().unwrap();
        let other = over(other, beyond.handle());
        let one = Connected::new(one, Runtime::new().unwrap());
        one.send(&[&[7; 100_000]]).unwrap();
        drop(one);
        assert_eq!(other.receive().unwrap().unwrap().len(), 100_000);
        assert!(other.receive().unwrap().is_none());
    }
}
