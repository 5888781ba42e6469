//! Those who keep to no rule, over real sockets: who is slow, sends too much, half of it, or what two programs would read in two ways. They
//! are refused or cut off, and others are served meanwhile.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use backstay_server::Running;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::client::{Client, server};

type Tls = StreamOwned<ClientConnection, TcpStream>;

fn config(running: &Running) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(running.server().authority.pem().as_bytes());
    roots.add(authority.unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}

/// A connection of its own; nothing that is read from it waits for ever.
fn tls(running: &Running) -> Tls {
    let session = ClientConnection::new(config(running), "localhost".try_into().unwrap()).unwrap();
    let stream = TcpStream::connect(running.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(60))).unwrap();
    StreamOwned::new(session, stream)
}

/// Everything that the server answers to these bytes until it ends the connection, or has answered the last request, which asks for that.
fn answered(running: &Running, bytes: &[u8]) -> String {
    let mut stream = tls(running);
    // The server may refuse it before it has come whole.
    let _ = stream.write_all(bytes).and_then(|()| stream.flush());
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said); // the end may be a rude one
    String::from_utf8_lossy(&said).into_owned()
}

fn statuses(said: &str) -> Vec<u16> {
    let starts = said.match_indices("HTTP/1.1 ").filter_map(|(at, _)| said.get(at + 9..at + 12)?.parse().ok());
    starts.collect()
}

fn is_served(running: &Running) -> bool {
    Client::of(running).get("/api/v1/health").0 == 200
}

/// Sends a byte now and then; whether the other end had enough before a minute was over.
fn dribble(mut stream: impl std::io::Write, bytes: &[u8]) -> bool {
    let mut bytes = bytes.iter().cycle();
    (0..120).any(|_| {
        std::thread::sleep(Duration::from_millis(500));
        stream.write_all(&[*bytes.next().unwrap()]).and_then(|()| stream.flush()).is_err()
    })
}

#[test]
fn who_sends_a_byte_now_and_then_is_cut_off() {
    let data = tempfile::tempdir().unwrap();
    let running = server(data.path());
    let head = b"POST /api/v1/login HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 60000\r\n\r\n";
    std::thread::scope(|scope| {
        // In the handshake: the record says that 16 KiB of it follow.
        let hello = || {
            let mut stream = TcpStream::connect(running.address()).unwrap();
            stream.write_all(&[0x16, 3, 1, 0x3f, 0xff, 1, 0, 0x3f, 0xfb]).unwrap();
            dribble(stream, &[0])
        };
        let header = || dribble(tls(&running), b"x-header: value\r\n");
        let body = || {
            let mut stream = tls(&running);
            stream.write_all(head).unwrap();
            dribble(stream, b" ")
        };
        let all = [scope.spawn(hello), scope.spawn(header), scope.spawn(body)];
        while !all.iter().all(|one| one.is_finished()) {
            assert!(is_served(&running));
            std::thread::sleep(Duration::from_millis(250));
        }
        assert_eq!(all.map(|one| one.join().unwrap()), [true; 3], "handshake, header, body");
    });
}

#[test]
fn too_much_of_anything_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let running = server(data.path());
    let get =
        |headers: &str| format!("GET /api/v1/health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n");
    let post = |body: &str| {
        let head =
            "POST /api/v1/login HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json";
        format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    };
    let ask = |request: String| statuses(&answered(&running, request.as_bytes()));
    assert_eq!(ask(get("")), [200]);
    // Refused, or cut off while it was being sent.
    for (what, request) in [
        ("a header of a megabyte", get(&format!("x: {}\r\n", "y".repeat(1 << 20)))),
        ("ten thousand headers", get(&"x: y\r\n".repeat(10_000))),
        ("a path of a megabyte", get("").replacen("health", &"h".repeat(1 << 20), 1)),
        ("a cookie of a megabyte", get(&format!("cookie: __Host-backstay={}\r\n", "y".repeat(1 << 20)))),
        ("a body of ten megabytes", post(&" ".repeat(10 << 20))),
    ] {
        let said = ask(request);
        assert!(said.iter().all(|status| [400, 413, 414, 431].contains(status)), "{what}: {said:?}");
        assert!(is_served(&running), "{what}");
    }
    let deep = [("[", "]"), ("{\"a\":", "}")]
        .map(|(open, close)| post(&format!("{}1{}", open.repeat(9_000), close.repeat(9_000))));
    let numbers = post(&format!("{{\"name\":{},\"password\":\"\"}}", "9".repeat(60_000)));
    for body in deep.into_iter().chain([
        numbers,
        post("{\"name\":\"\\ud800\",\"password\":\"\"}"),
        post("\u{feff}{}"),
        post(""),
    ]) {
        assert_eq!(ask(body.clone()), [400], "{}", &body[..body.len().min(300)]);
    }
    assert!(is_served(&running));
}

/// Where it is in doubt where a request ends, the server refuses it and ends the connection: what follows is not taken for another one.
#[test]
fn what_can_be_read_in_two_ways_is_not_read_at_all() {
    let data = tempfile::tempdir().unwrap();
    let running = server(data.path());
    let hidden = "GET /api/v1/login/ways HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let post = |headers: &str, body: &str| {
        let head = "POST /api/v1/login HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
        format!("{head}{headers}\r\n{body}{hidden}")
    };
    for request in [
        post("content-length: 2\r\ncontent-length: 3\r\n", "{}"),
        post("content-length: 2, 3\r\n", "{}"),
        post("content-length: +2\r\n", "{}"),
        post("content-length: -1\r\n", "{}"),
        post("content-length: 0x2\r\n", "{}"),
        post("content-length: 18446744073709551618\r\n", "{}"),
        post("content-length : 2\r\n", "{}"),
        post("transfer-encoding: chunked, identity\r\n", "0\r\n\r\n"),
        post("transfer-encoding: xchunked\r\n", "0\r\n\r\n"),
        post("transfer-encoding: identity\r\ncontent-length: 2\r\n", "{}"),
        post("transfer-encoding : chunked\r\n", "0\r\n\r\n"),
        post("transfer-encoding:\u{b}chunked\r\n", "0\r\n\r\n"),
        post("x: y\r\n folded: chunked\r\n", ""),
        post("x: a\0b\r\n", ""),
        post("transfer-encoding: chunked\r\n", "fffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
        post("transfer-encoding: chunked\r\n", "-2\r\n{}\r\n0\r\n\r\n"),
        post("transfer-encoding: chunked\r\n", "2\r\n{}0\r\n\r\n"),
        format!("GET /api/v1/health HTTP/1.1 \r\n\r\n{hidden}"),
        format!("GET  /api/v1/health HTTP/1.1\r\nhost: localhost\r\n\r\n{hidden}"),
        format!("GET /api/v1/health HTTP/9.9\r\nhost: localhost\r\n\r\n{hidden}"),
        format!("\0\0\0\0{hidden}"),
    ] {
        let said = answered(&running, request.as_bytes());
        let (shown, found) = (request.escape_debug(), statuses(&said));
        assert!(found.len() <= 1 && found.iter().all(|status| (400..600).contains(status)), "{shown}: {said}");
        assert!(!said.contains("\"password\":true"), "the hidden request was answered: {shown}: {said}");
    }
    assert!(is_served(&running));
}

#[test]
fn older_versions_of_tls_are_not_spoken() {
    let data = tempfile::tempdir().unwrap();
    let running = server(data.path());
    let address = running.address().to_string();
    let openssl = |version: &str| {
        let mut openssl = std::process::Command::new("openssl");
        openssl.args(["s_client", "-connect", &address, version, "-brief"]).stdin(std::process::Stdio::null());
        openssl.output().unwrap().status.success()
    };
    assert!(openssl("-tls1_3") && !openssl("-tls1_2") && !openssl("-tls1_1"));
    assert!(is_served(&running));
}
