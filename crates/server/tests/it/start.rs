//! Starting on a fresh machine, and again.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use backstay_server::{JobHours, Running, ServerError, Settings};
use rustls::pki_types::pem::PemObject as _;
use serde_json::json;
use sqlx::Connection as _;

use crate::client::{Client, PASSWORD, logged_in, server, somebody};

#[test]
fn a_fresh_machine_gets_all_it_needs_and_keeps_it() {
    let data = tempfile::tempdir().unwrap();
    let first = Running::for_tests(data.path());
    let (status, health) = Client::of(&first).get("/api/v1/health");
    assert_eq!((status, &health["status"], &health["needs_setup"]), (200, &json!("ok"), &json!(true)));
    let (fingerprint, store) = (first.server().authority.fingerprint(), first.server().vault.store_id());
    let code = first.setup_code().unwrap().to_owned();
    drop(first);
    for secret in ["keys/store", "keys/audit", "ca/key.pem"] {
        let mode = std::fs::metadata(data.path().join(secret)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{secret}");
    }
    let again = Running::for_tests(data.path());
    assert_eq!((again.server().authority.fingerprint(), again.server().vault.store_id()), (fingerprint, store));
    assert_ne!(again.setup_code(), Some(&*code), "a code is good until the server ends");
}

#[test]
fn the_code_makes_one_administrator() {
    let data = tempfile::tempdir().unwrap();
    let running = Running::for_tests(data.path());
    let client = Client::of(&running);
    let first = |code: &str, password: &str| json!({ "code": code, "name": "ada", "password": password });
    let code = running.setup_code().unwrap();
    assert_eq!(client.post("/api/v1/setup", &first("WRONG", PASSWORD)).0, 403);
    assert_eq!(client.post("/api/v1/setup", &first(code, "short")).0, 400);
    assert_eq!(client.post("/api/v1/setup", &first(code, PASSWORD)).0, 204);
    assert_eq!(client.post("/api/v1/setup", &first(code, PASSWORD)).0, 403, "it is used");
    logged_in(&running, "ada");
    drop(running);
    let running = Running::for_tests(data.path());
    assert_eq!(running.setup_code(), None);
    logged_in(&running, "ada");
}

#[test]
fn two_servers_do_not_share_a_folder() {
    let data = tempfile::tempdir().unwrap();
    let running = Running::for_tests(data.path());
    let again = Running::start(Settings::new(data.path(), "127.0.0.1:0", "localhost"));
    assert!(matches!(again, Err(ServerError::Busy(_))));
    drop(running);
}

#[test]
fn a_catalogue_of_a_newer_version_is_refused_and_stays_as_it_is() {
    let data = tempfile::tempdir().unwrap();
    drop(Running::for_tests(data.path()));
    let catalogue = format!("sqlite://{}", data.path().join("catalogue.sqlite").display());
    let with = |sql: &'static str| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut open = sqlx::SqliteConnection::connect(&catalogue).await.unwrap();
            sqlx::raw_sql(sql).execute(&mut open).await.unwrap();
            open.close().await.unwrap();
        });
    };
    with("INSERT INTO migrations (name) VALUES ('of next year')");
    let settings = || Settings::new(data.path(), "127.0.0.1:0", "localhost");
    match Running::start(settings()) {
        Err(error @ ServerError::Newer(_)) => assert!(error.to_string().contains("\"of next year\""), "{error}"),
        other => panic!("{:?}", other.err()),
    }
    with("DELETE FROM migrations WHERE name = 'of next year'");
    assert_eq!(Client::of(&Running::for_tests(data.path())).get("/api/v1/health").0, 200);
}

#[test]
fn what_is_no_request_holds_nobody_up() {
    let data = tempfile::tempdir().unwrap();
    let running = server(data.path());
    // Half a handshake, garbage, and nothing at all: each in a connection of its own that stays open.
    let mut open: Vec<TcpStream> = (0..30).map(|_| TcpStream::connect(running.address()).unwrap()).collect();
    for (at, stream) in open.iter_mut().enumerate() {
        match at % 3 {
            0 => stream.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00]).unwrap(),
            1 => stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap(),
            _ => {}
        }
    }
    assert_eq!(Client::of(&running).get("/api/v1/health").0, 200);
    let garbage = &mut open[1];
    garbage.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut answer = Vec::new();
    let _ = garbage.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "nothing is said without TLS");
}

#[test]
fn a_large_request_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let running = server(data.path());
    let (status, error) =
        Client::of(&running).post("/api/v1/login", &json!({ "name": "x".repeat(100_000), "password": "" }));
    assert_eq!((status, &error["error"]["code"]), (413, &json!("large")));
}

#[test]
fn the_console_is_there_or_a_page_tells_that_it_is_not() {
    let data = tempfile::tempdir().unwrap();
    let running = Running::for_tests(data.path());
    let client = Client::of(&running);
    let page = client.request(reqwest::Method::GET, "/").send().unwrap();
    assert_eq!(
        page.headers()["content-security-policy"],
        "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    );
    let page = page.text().unwrap();
    assert!(page.contains("without the console") || page.contains("id=\"root\""), "{page}");
    assert_eq!(client.get("/api/v1/nothing").0, 404);
}

#[test]
fn half_a_request_ends_and_others_are_served_meanwhile() {
    use std::sync::Arc;

    let data = tempfile::tempdir().unwrap();
    let running = server(data.path());
    let mut roots = rustls::RootCertStore::empty();
    let authority = rustls::pki_types::CertificateDer::from_pem_slice(running.server().authority.pem().as_bytes());
    roots.add(authority.unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
    let half = |text: &str| {
        let session = rustls::ClientConnection::new(config.clone(), "localhost".try_into().unwrap()).unwrap();
        let stream = TcpStream::connect(running.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut stream = rustls::StreamOwned::new(session, stream);
        stream.write_all(text.as_bytes()).unwrap();
        stream
    };
    let mut head = half("GET /api/v1/health HTTP/1.1\r\nHost: loc");
    let mut body = half(
        "POST /api/v1/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{",
    );
    assert_eq!(Client::of(&running).get("/api/v1/health").0, 200);
    let mut said = String::new();
    let _ = head.read_to_string(&mut said); // it ends, which is what is looked for
    assert!(!said.contains("200"), "{said}");
    let mut said = [0; 64];
    let read = body.read(&mut said).unwrap();
    assert!(said[..read].starts_with(b"HTTP/1.1 408"), "{:?}", String::from_utf8_lossy(&said[..read]));
}

/// The settings of a server as a test wants them, with the hours of its jobs.
fn with_hours(data: &std::path::Path, hours: Option<&str>) -> Settings {
    let mut settings = Settings::for_tests(data);
    settings.job_hours = hours.map(|words| JobHours { words: words.to_owned(), hold: Arc::new(|_| false) });
    settings
}

#[test]
fn how_a_server_is_started_is_in_the_log_when_it_changes() {
    let data = tempfile::tempdir().unwrap();
    let running = server(data.path());
    drop(somebody(&running, "aud", "auditor", "all"));
    drop(running);
    let changes = |hours: Option<&str>| -> Vec<String> {
        let running = Running::start(with_hours(data.path(), hours)).unwrap();
        let (_, log) = logged_in(&running, "aud").get("/api/v1/audit?limit=500");
        let changes = log.as_array().unwrap().iter().filter(|line| line["what"] == "settings.started");
        changes.map(|line| line["detail"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(changes(None), [""; 0], "as before");
    let at_night = changes(Some("22:00-06:00"));
    assert!(at_night.len() == 1 && at_night[0].contains("\njob_hours 22:00-06:00\n"), "{at_night:?}");
    assert_eq!(changes(Some("22:00-06:00")), at_night, "as before");
    let by_day = changes(Some("06:00-22:00"));
    assert!(by_day.len() == 2 && by_day[0].contains("job_hours 06:00-22:00"), "{by_day:?}");
    let always = changes(None);
    assert!(always.len() == 3 && !always[0].contains("job_hours"), "{always:?}");
}
