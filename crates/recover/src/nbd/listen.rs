//! Where to listen, and what may not be listened on.
//!
//! Never knows: connections.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::stream::Stream;

/// A place to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A TCP address; port 0 takes any free one.
    Tcp(SocketAddr),
    /// A Unix socket, made with access for its owner only, removed when the server stops.
    Unix(PathBuf),
}

/// A place that is listened on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A TCP address, its port known.
    Tcp(SocketAddr),
    /// A Unix socket's path.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    /// As the URI of the default export; for another, see [`Address::uri`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.uri(""))
    }
}

impl Address {
    /// The URI that NBD clients take for an export of that name; the empty name is the default export.
    pub fn uri(&self, export: &str) -> String {
        match self {
            Address::Tcp(a) => format!("nbd://{a}/{}", escape(export.as_bytes())),
            Address::Unix(p) => {
                let path = escape(p.as_os_str().as_encoded_bytes());
                format!("nbd+unix:///{}?socket={path}", escape(export.as_bytes()))
            }
        }
    }
}

/// Percent-encodes what cannot stand in a URI's path.
fn escape(bytes: &[u8]) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/".contains(&b);
    bytes.iter().map(|&b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// A socket that takes connections.
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

impl Listener {
    /// Opens the place; does not judge it.
    pub(super) fn open(place: &Listen) -> io::Result<Listener> {
        let listener = match place {
            Listen::Tcp(address) => Listener::Tcp(TcpListener::bind(address)?),
            Listen::Unix(path) => Listener::Unix(unix_listener(path)?, path.clone()),
        };
        match &listener {
            Listener::Tcp(l) => l.set_nonblocking(true)?,
            Listener::Unix(l, _) => l.set_nonblocking(true)?,
        }
        Ok(listener)
    }

    pub(super) fn address(&self) -> io::Result<Address> {
        Ok(match self {
            Listener::Tcp(l) => Address::Tcp(l.local_addr()?),
            Listener::Unix(_, path) => Address::Unix(path.clone()),
        })
    }

    /// Takes a connection, if one waits.
    pub(super) fn accept(&self) -> io::Result<Stream> {
        match self {
            Listener::Tcp(l) => l.accept().map(|(s, _)| Stream::Tcp(s)),
            Listener::Unix(l, _) => l.accept().map(|(s, _)| Stream::Unix(s)),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Listener::Tcp(l) => l.as_fd(),
            Listener::Unix(l, _) => l.as_fd(),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Listener::Unix(_, path) = self {
            drop(std::fs::remove_file(path)); // someone else may have removed it
        }
    }
}

/// Other hosts can reach it.
pub(super) fn is_off_host(place: &Listen) -> bool {
    match place {
        Listen::Tcp(address) => !address.ip().to_canonical().is_loopback(),
        Listen::Unix(_) => false,
    }
}

/// As `UnixListener::bind`, but nobody else can connect even for a moment, and a socket that a killed server left
/// behind is replaced.
fn unix_listener(path: &Path) -> io::Result<UnixListener> {
    if is_left_behind(path) {
        std::fs::remove_file(path)?;
    }
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::fs::chmod(path, Mode::RUSR | Mode::WUSR)?; // before `listen`, connecting is refused
    rustix::net::listen(&socket, 128)?;
    Ok(UnixListener::from(socket))
}

fn is_left_behind(path: &Path) -> bool {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket());
    is_socket && UnixStream::connect(path).is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn uris() {
        let tcp = Address::Tcp("127.0.0.1:10809".parse().expect("address"));
        assert_eq!(tcp.uri("point/a b"), "nbd://127.0.0.1:10809/point/a%20b");
        assert_eq!(tcp.to_string(), "nbd://127.0.0.1:10809/");
        let unix = Address::Unix("/run/x y".into());
        assert_eq!(unix.uri("d"), "nbd+unix:///d?socket=/run/x%20y");
    }

    #[test]
    fn what_is_off_host() {
        let off = |a: &str| is_off_host(&Listen::Tcp(a.parse().expect("address")));
        assert!(!off("127.0.0.1:1") && !off("[::1]:1") && !off("[::ffff:127.0.0.1]:1"));
        assert!(off("0.0.0.0:1") && off("[::]:1") && off("192.0.2.1:1"));
        assert!(!is_off_host(&Listen::Unix("/x".into())));
    }

    #[test]
    fn unix_sockets() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("s");
        let first = Listener::open(&Listen::Unix(path.clone())).expect("listens");
        assert_eq!(std::fs::metadata(&path).expect("socket").permissions().mode() & 0o777, 0o600);
        let second = Listener::open(&Listen::Unix(path.clone()));
        assert_eq!(second.err().map(|e| e.kind()), Some(io::ErrorKind::AddrInUse), "in use");
        drop(first);
        assert!(!path.exists());

        drop(UnixListener::bind(&path).expect("binds")); // leaves its socket behind
        assert!(path.exists());
        Listener::open(&Listen::Unix(path.clone())).expect("a stale socket is replaced");
        std::fs::write(&path, "precious").expect("writes");
        assert!(Listener::open(&Listen::Unix(path.clone())).is_err());
        assert_eq!(std::fs::read(&path).expect("still there"), b"precious");
    }
}
