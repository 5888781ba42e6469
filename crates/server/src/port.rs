//! The one port: TLS 1.3, and what is spoken in it.
//!
//! Never knows: what people or agents want.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use backstay_audit::Event;
use backstay_format::units::Timestamp;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::ServiceExt as _;

use crate::moment::SECOND;
use crate::{Server, ServerError, agents, authority};

/// What agents speak (RFC 7301).
pub(crate) const AGENTS: &[u8] = b"backstay/1";
/// For the handshake, and for each request's header.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections at once: who opens more has to wait for one to end.
const MOST: usize = 4096;
/// Of all connections, those from one address are this part at most.
const PART: usize = 4;
/// The server's certificate is made anew after so long, well before its end.
const RENEWED: i64 = 30 * 86_400 * SECOND;

/// The certificate that a machine showed with its request, by its hash; it was signed by our authority and is of now. Whether it was
/// taken back is not known yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown(pub(crate) Option<[u8; 32]>);

/// Serves all who come, until told to stop.
pub(crate) async fn serve(
    listener: TcpListener,
    names: Vec<String>,
    server: Arc<Server>,
    router: Router,
    mut stop: watch::Receiver<bool>,
) -> Result<(), ServerError> {
    let (mut acceptor, mut made) = (acceptor(&server, &names)?, server.now());
    let there = Arc::new(There::new(most()));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.changed() => return Ok(()),
        };
        let Ok((stream, from)) = accepted else {
            // Out of descriptors, mostly: others have to go first.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Some(seat) = there.seat(from.ip()) else { continue };
        // By the clock on the wall, for that is what certificates are checked by.
        if is_old(made, server.now()) {
            match self::acceptor(&server, &names) {
                Ok(new) => (acceptor, made) = (new, server.now()),
                Err(error) => tracing::error!(%error, "the server's certificate could not be made anew"),
            }
        }
        let (acceptor, server, router) = (acceptor.clone(), server.clone(), router.clone());
        let mut stop = stop.clone();
        tokio::spawn(async move {
            let _seat = seat;
            tokio::select! {
                () = one(acceptor, stream, from, server, router) => {}
                _ = stop.changed() => {}
            }
        });
    }
}

/// One connection, from its first byte to its last.
async fn one(acceptor: TlsAcceptor, stream: TcpStream, from: SocketAddr, server: Arc<Server>, router: Router) {
    let _ = stream.set_nodelay(true);
    let Ok(Ok(stream)) = timeout(PATIENCE, acceptor.accept(stream)).await else { return };
    if stream.get_ref().1.alpn_protocol() == Some(AGENTS) {
        if let Some(who) = machine(&stream, &server).await {
            agents::serve(stream, who, server).await;
        }
        return;
    }
    let certificate = stream.get_ref().1.peer_certificates().and_then(|all| all.first());
    let shown = Shown(certificate.map(|certificate| authority::fingerprint(certificate)));
    let router = router.map_request(move |mut request: axum::http::Request<_>| {
        request.extensions_mut().insert(ConnectInfo(from));
        request.extensions_mut().insert(shown);
        request
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    let mut http2 = builder.http2();
    http2.timer(TokioTimer::new()).max_concurrent_streams(64).max_header_list_size(16 << 10);
    http2.keep_alive_interval(Duration::from_secs(20)).keep_alive_timeout(Duration::from_secs(20));
    // What goes wrong with a connection concerns whoever made it.
    let _ = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).await;
}

/// The machine whose certificate was shown, if it has its rights.
async fn machine(stream: &TlsStream<TcpStream>, server: &Server) -> Option<crate::Enrolled> {
    let certificate = stream.get_ref().1.peer_certificates()?.first()?;
    machine_of(server, &authority::fingerprint(certificate)).await.ok().flatten()
}

/// The machine of a certificate, by its hash, unless it was taken back.
pub(crate) async fn machine_of(server: &Server, shown: &[u8; 32]) -> Result<Option<crate::Enrolled>, sqlx::Error> {
    let Some((who, renewed)) = server.catalogue.shown(shown, server.now()).await? else { return Ok(None) };
    if renewed {
        // It is so, logged or not; that it would be was logged when the certificate was made.
        let event = Event::done("machine.certificate.replaced", true).by(&format!("machine {}", who.name));
        let _ = server.record.append(event).await;
    }
    Ok(Some(who))
}

/// Whether a certificate made then is to be made anew.
fn is_old(made: Timestamp, now: Timestamp) -> bool {
    i128::from(now.0) - i128::from(made.0) > i128::from(RENEWED)
}

fn acceptor(server: &Server, names: &[String]) -> Result<TlsAcceptor, ServerError> {
    let bad = |why: &dyn std::fmt::Display| ServerError::Name(format!("{}: {why}", names.join(", ")));
    let provider = Arc::new(default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(server.authority.der().clone()).map_err(|e| bad(&e))?;
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let clients = clients.allow_unauthenticated().build().map_err(|e| bad(&e))?;
    let (certificate, key) = server.authority.server(names, server.now())?;
    // With the authority's own: a machine that has only a code knows it by its hash.
    let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
    let config = config.map_err(|e| bad(&e))?.with_client_cert_verifier(clients);
    let mut config =
        config.with_single_cert(vec![certificate, server.authority.der().clone()], key).map_err(|e| bad(&e))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec(), AGENTS.to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// How many connections there may be: half of what this process may open, which is raised as far as that takes. The other half is for
/// files: were all connections, nobody could be answered.
fn most() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(u64::MAX).min(2 * MOST as u64);
    let raised = current.is_some_and(|current| current < wanted)
        && setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).is_ok();
    let open = if raised { wanted } else { current.unwrap_or(u64::MAX) };
    usize::try_from(open / 2).unwrap_or(MOST).min(MOST)
}

/// How many are there, from where.
struct There {
    most: usize,
    from: Mutex<HashMap<IpAddr, usize>>,
}

/// One of those who are there.
struct Seat(Arc<There>, IpAddr);

impl There {
    fn new(most: usize) -> There {
        There { most, from: Mutex::default() }
    }

    fn seat(self: &Arc<Self>, from: IpAddr) -> Option<Seat> {
        let from = whose(from);
        let mut there = self.from.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, from_one): (usize, _) = (there.values().sum(), there.get(&from).copied().unwrap_or_default());
        if all >= self.most || from_one >= self.most / PART {
            return None;
        }
        there.insert(from, from_one + 1);
        Some(Seat(self.clone(), from))
    }
}

/// The address that stands for all that one may have: of IPv6 that is a network of 2^64.
fn whose(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(one) => IpAddr::V6((one.to_bits() & !u128::from(u64::MAX)).into()),
        one => one,
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut there = self.0.from.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = there.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                there.remove(&self.1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_made_anew_before_its_end_whatever_the_clock_does() {
        let day = |days: i64| Timestamp(days * 86_400 * SECOND);
        assert!(!is_old(day(100), day(100)) && !is_old(day(100), day(130)));
        assert!(is_old(day(100), day(131)) && is_old(day(0), day(20_000)), "a clock that was set right");
        assert!(!is_old(day(100), day(99)) && !is_old(day(100), Timestamp(i64::MIN)), "one of the future lasts longer");
    }

    #[test]
    fn nobody_takes_all_seats() {
        let there = Arc::new(There::new(40));
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let mut seats: Vec<_> = (0..40 / PART).map(|_| there.seat(one).unwrap()).collect();
        assert!(there.seat(one).is_none() && there.seat(other).is_some());
        seats.pop();
        assert!(there.seat(one).is_some());
        drop(seats);
        assert!(there.from.lock().unwrap().is_empty());
        let all: Vec<_> = (0..40).map(|n| there.seat(IpAddr::from([10, 0, 1, n])).unwrap()).collect();
        assert!(
            there.seat(one).is_none() && there.from.lock().unwrap().len() == all.len(),
            "nothing is kept of who must wait"
        );
    }

    #[test]
    fn a_network_of_ipv6_is_one_of_many() {
        let of = |text: &str| whose(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:0:0:2"));
        assert!(of("2001:db8::1") != of("2001:db8:0:1::1") && of("10.0.0.1") != of("10.0.0.2"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }
}
