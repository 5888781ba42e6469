//! The server: listens, keeps track of its clients, and stops gracefully.
//!
//! Never knows: the protocol.

use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use backstay_env::volume::Volume;
use rustix::event::{EventfdFlags, PollFd, PollFlags};

use super::connection;
use super::handshake::Offer;
use super::listen::{self, Address, Listen, Listener};
use super::stream::Stream;
use super::wire::MAX_STRING;
use crate::Log;

/// A volume under a name.
#[derive(Clone)]
pub struct Export {
    /// What clients ask for; 1 to 4096 bytes.
    pub name: String,
    /// Shown in listings; may be empty; at most 4096 bytes.
    pub description: String,
    /// The bytes. Must not change while it is served: clients cache, and use many connections.
    pub volume: Arc<dyn Volume>,
}

/// How to serve.
#[derive(Clone, Debug)]
pub struct Options {
    /// Serve other hosts without encryption: whoever can reach the port reads everything.
    pub allow_plain: bool,
    /// Clients at a time; more are turned away.
    pub max_connections: usize,
    /// Threads that answer one client's requests; at least 1. They start when they are needed.
    pub workers: usize,
    /// Memory that one client's unanswered requests may hold, in bytes. A single read takes up to 32 MiB.
    pub in_flight_bytes: usize,
    /// A client that has not chosen an export by then is dropped.
    pub handshake_timeout: Duration,
    /// Reads that failed, and clients that broke the protocol.
    pub log: Log,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            allow_plain: false,
            max_connections: 64,
            workers: 4,
            in_flight_bytes: 64 << 20,
            handshake_timeout: Duration::from_secs(10),
            log: Log::stderr(),
        }
    }
}

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Other hosts could read along.
    #[error("refusing to serve {0} without encryption: other hosts can reach it")]
    Plain(SocketAddr),
    /// The place is taken, or not ours.
    #[error("cannot listen on {place}")]
    Listen {
        /// Address or path.
        place: String,
        /// What the system says.
        source: io::Error,
    },
    /// There is nothing to serve, or two exports have one name, or a name has no or too many bytes.
    #[error("cannot offer the export {0:?}: names are unique and have 1 to 4096 bytes")]
    Name(String),
    /// The system lacks threads or file descriptors.
    #[error("cannot start the server")]
    System(#[source] io::Error),
}

/// What all connections share.
pub(super) struct Shared {
    pub(super) exports: Vec<Export>,
    pub(super) offers: Vec<Offer>,
    pub(super) options: Options,
    /// New requests are refused.
    pub(super) draining: AtomicBool,
    pub(super) busy: Busy,
    clients: Mutex<Clients>,
    client_left: Condvar,
}

#[derive(Default)]
struct Clients {
    next: u64,
    streams: HashMap<u64, Arc<Stream>>,
}

impl Shared {
    fn clients(&self) -> MutexGuard<'_, Clients> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until all clients left; `false` if some are still there at `deadline`.
    fn wait_for_clients(&self, deadline: Option<Instant>) -> bool {
        let mut clients = self.clients();
        while !clients.streams.is_empty() {
            clients = match deadline.map(|d| d.saturating_duration_since(Instant::now())) {
                None => self.client_left.wait(clients).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return false,
                Some(left) => self.client_left.wait_timeout(clients, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
        true
    }

    fn shutdown_clients(&self, how: Shutdown) {
        self.clients().streams.values().for_each(|s| s.shutdown(how));
    }
}

/// Counts requests that were read and not answered, over all clients.
#[derive(Default)]
pub(super) struct Busy {
    count: Mutex<usize>,
    none: Condvar,
}

impl Busy {
    pub(super) fn begin(&self) -> BusyGuard<'_> {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        BusyGuard(self)
    }

    fn wait_for_none(&self, deadline: Instant) {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        while *count > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            count = self.none.wait_timeout(count, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Counts one request until it is dropped.
pub(super) struct BusyGuard<'a>(&'a Busy);

impl Drop for BusyGuard<'_> {
    fn drop(&mut self) {
        let mut count = self.0.count.lock().unwrap_or_else(PoisonError::into_inner);
        *count -= 1;
        if *count == 0 {
            self.0.none.notify_all();
        }
    }
}

/// A running server. Dropping it stops it at once: requests that are being answered may not be.
pub struct Server {
    shared: Arc<Shared>,
    addresses: Vec<Address>,
    wake: Arc<OwnedFd>,
    acceptor: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on every place, or on none, and serves the exports from then on, in threads of its own. The first
    /// export is also the one for clients that name none.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub fn start(exports: Vec<Export>, places: &[Listen], options: Options) -> Result<Server, StartError> {
        let offers = offers(&exports)?;
        for place in places {
            match place {
                Listen::Tcp(address) if listen::is_off_host(place) && !options.allow_plain => {
                    return Err(StartError::Plain(*address));
                }
                _ => {}
            }
        }
        let listeners = places.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        let addresses =
            listeners.iter().map(Listener::address).collect::<Result<_, _>>().map_err(StartError::System)?;
        let wake = rustix::event::eventfd(0, EventfdFlags::CLOEXEC).map_err(|e| StartError::System(e.into()))?;
        let wake = Arc::new(wake);
        let shared = Arc::new(Shared {
            exports,
            offers,
            options,
            draining: AtomicBool::new(false),
            busy: Busy::default(),
            clients: Mutex::default(),
            client_left: Condvar::new(),
        });
        let acceptor = thread::Builder::new().name("nbd-accept".into()).spawn({
            let (shared, wake) = (shared.clone(), wake.clone());
            move || accept_all(&shared, &listeners, &wake)
        });
        let acceptor = Some(acceptor.map_err(StartError::System)?);
        Ok(Server { shared, addresses, wake, acceptor })
    }

    /// Where it listens, in the order given to [`Server::start`].
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Clients connected now.
    pub fn connections(&self) -> usize {
        self.shared.clients().streams.len()
    }

    /// Stops: takes no more clients, refuses new requests (`ESHUTDOWN`), waits at most `grace` for the answers to
    /// those read before, and closes. When it returns, no volume is being read any more; a volume that is slow to
    /// answer its last read can make that later than `grace`.
    pub fn stop(mut self, grace: Duration) {
        self.end(grace);
    }

    fn end(&mut self, grace: Duration) {
        let deadline = Instant::now() + grace;
        self.shared.draining.store(true, Ordering::SeqCst);
        if let Some(acceptor) = self.acceptor.take() {
            if let Err(e) = rustix::io::write(&*self.wake, &1_u64.to_ne_bytes()) {
                self.shared.options.log.line(&format!("nbd: cannot wake the listener: {e}"));
            }
            if acceptor.join().is_err() {
                self.shared.options.log.line("nbd: the listener had panicked");
            }
        }
        self.shared.busy.wait_for_none(deadline);
        self.shared.shutdown_clients(Shutdown::Read);
        if !self.shared.wait_for_clients(Some(deadline)) {
            self.shared.shutdown_clients(Shutdown::Both);
            self.shared.wait_for_clients(None);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end(Duration::ZERO);
    }
}

fn open(place: &Listen) -> Result<Listener, StartError> {
    Listener::open(place).map_err(|source| {
        let place = match place {
            Listen::Tcp(address) => address.to_string(),
            Listen::Unix(path) => path.display().to_string(),
        };
        StartError::Listen { place, source }
    })
}

fn offers(exports: &[Export]) -> Result<Vec<Offer>, StartError> {
    if exports.is_empty() {
        return Err(StartError::Name(String::new()));
    }
    let mut offers: Vec<Offer> = Vec::new();
    for Export { name, description, volume } in exports {
        let taken = offers.iter().any(|o| o.name == *name);
        if taken || name.is_empty() || name.len() > MAX_STRING || description.len() > MAX_STRING {
            return Err(StartError::Name(name.clone()));
        }
        let size = volume.size();
        // Clients of a 4 KiB-sector disk must know, or they misread its partition table. All else can be read by bytes.
        let sector = volume.sector_size();
        let minimum_block = if sector == 4096 && size % 4096 == 0 { sector } else { 1 };
        offers.push(Offer { name: name.clone(), description: description.clone(), size, minimum_block });
    }
    Ok(offers)
}

fn accept_all(shared: &Arc<Shared>, listeners: &[Listener], wake: &OwnedFd) {
    while !shared.draining.load(Ordering::SeqCst) {
        let mut fds: Vec<_> = listeners.iter().map(|l| PollFd::new(l, PollFlags::IN)).collect();
        fds.push(PollFd::new(wake, PollFlags::IN));
        match rustix::event::poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => {
                shared.options.log.line(&format!("nbd: cannot wait for clients: {e}"));
                return;
            }
        }
        if shared.draining.load(Ordering::SeqCst) {
            return;
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        for (listener, _) in listeners.iter().zip(ready).filter(|(_, ready)| *ready) {
            match listener.accept() {
                Ok(stream) => welcome(shared, stream),
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionAborted) => {}
                Err(e) => {
                    shared.options.log.line(&format!("nbd: cannot take a client: {e}"));
                    thread::sleep(Duration::from_millis(100)); // out of file descriptors: let some be closed
                }
            }
        }
    }
}

fn welcome(shared: &Arc<Shared>, stream: Stream) {
    let stream = Arc::new(stream);
    let mut clients = shared.clients();
    if clients.streams.len() >= shared.options.max_connections {
        shared.options.log.line(&format!("nbd: {} turned away: too many connections", stream.peer()));
        return;
    }
    let id = clients.next;
    clients.next += 1;
    clients.streams.insert(id, stream.clone());
    drop(clients);
    let leaving = Leaving { shared: shared.clone(), id };
    let started = thread::Builder::new().name("nbd-client".into()).spawn(move || {
        let leaving = leaving;
        let peer = stream.peer();
        if let Err(e) = connection::serve(&leaving.shared, &stream) {
            leaving.shared.options.log.line(&format!("nbd: {peer}: connection ended: {e}"));
        }
        stream.shutdown(Shutdown::Both);
    });
    if let Err(e) = started {
        shared.options.log.line(&format!("nbd: cannot start a thread for a client: {e}"));
    }
}

/// Strikes a client off the list, however it ended.
struct Leaving {
    shared: Arc<Shared>,
    id: u64,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.shared.clients().streams.remove(&self.id);
        self.shared.client_left.notify_all();
    }
}
