//! This machine's certificate is renewed while there is time: the server gives the next to whoever shows the one before.
//!
//! Never knows: what is sent over the connections that the certificate opens.

use std::net::ToSocketAddrs as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use backstay_env::real::link::{Identity, Peer, SERVER, client_config};
use rcgen::{CertificateParams, KeyPair};
use reqwest::blocking::Client;
use serde_json::{Value, json};
use x509_parser::pem::parse_x509_pem;

use crate::enrolment::Enrolment;
use crate::failure::{Failure, sentence};
use crate::output::note;
use crate::target::Server;

/// From one look at the certificate to the next.
const LOOK: Duration = Duration::from_secs(6 * 3600);
/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Renews the certificate whenever a third of its time is left, until `over`. Failures are told, and tried again at the next look.
pub(crate) fn keep(dir: &Path, server: &Server, over: &AtomicBool) {
    let mut told = String::new();
    while !over.load(Ordering::Relaxed) {
        match look(dir, server) {
            Ok(()) => told.clear(),
            Err(failure) if failure.to_string() != told => {
                told = failure.to_string();
                note!("note: this machine's certificate could not be renewed: {told}");
            }
            Err(_) => {}
        }
        std::thread::park_timeout(LOOK);
    }
}

fn look(dir: &Path, server: &Server) -> Result<(), Failure> {
    let enrolment = Enrolment::read(dir)?;
    let (from, to) = lasts(&enrolment.enrolled.identity.certificate)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
    if !is_due((from, to), now) {
        return Ok(());
    }
    let identity = ask(&enrolment)?;
    Enrolment::renew(dir, &identity)?;
    server.renewed(identity);
    note!("note: this machine's certificate was renewed");
    Ok(())
}

/// Whether less than a third of the time is left.
fn is_due((from, to): (i64, i64), now: i64) -> bool {
    now > to.saturating_sub(to.saturating_sub(from) / 3)
}

/// From when to when a certificate is good, in seconds since 1970.
fn lasts(certificate: &str) -> Result<(i64, i64), Failure> {
    let bad = || Failure::new("this machine's certificate is damaged; enroll anew");
    let (_, pem) = parse_x509_pem(certificate.as_bytes()).map_err(|_| bad())?;
    let certificate = pem.parse_x509().map_err(|_| bad())?;
    let validity = certificate.validity();
    Ok((validity.not_before.timestamp(), validity.not_after.timestamp()))
}

fn ask(enrolment: &Enrolment) -> Result<Identity, Failure> {
    let address = &enrolment.address;
    let failed = |error: &dyn std::error::Error| Failure::new(format!("{address}: {}", sentence(error)));
    let key = KeyPair::generate().map_err(|e| failed(&e))?;
    let request = CertificateParams::default().serialize_request(&key).and_then(|request| request.pem());
    let peer = Peer {
        address: address.clone(),
        name: SERVER.to_owned(),
        authority: enrolment.enrolled.authority.clone(),
        protocol: b"http/1.1".to_vec(),
    };
    let config = client_config(&peer, &enrolment.enrolled.identity).map_err(|e| failed(&e))?;
    let there: Vec<_> = address.to_socket_addrs().map_err(|e| failed(&e))?.collect();
    let port = there.first().map_or(0, |one| one.port());
    let client = Client::builder().tls_backend_preconfigured(config).timeout(PATIENCE).https_only(true).no_proxy();
    let client = client.resolve_to_addrs(SERVER, &there).build().map_err(|e| failed(&e))?;
    let body = json!({ "csr_pem": request.map_err(|e| failed(&e))? });
    let answer = client.post(format!("https://{SERVER}:{port}/api/v1/renew")).json(&body).send();
    let answer = answer.map_err(|e| failed(&e))?;
    let status = answer.status();
    let said: Value = answer.json().unwrap_or_default();
    match said["certificate_pem"].as_str() {
        Some(certificate) => Ok(Identity { certificate: certificate.to_owned(), key: key.serialize_pem() }),
        None => Err(Failure::new(match said["error"]["message"].as_str() {
            Some(why) => format!("{address}: {why}"),
            None => format!("{address} answered {status}"),
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_third_before_the_end() {
        let lasts = (0, 300);
        assert!(!is_due(lasts, 0) && !is_due(lasts, 200) && is_due(lasts, 201) && is_due(lasts, 400));
        assert!(!is_due((i64::MIN, i64::MAX), 0));
    }

    #[test]
    fn a_server_gives_the_next_to_whoever_shows_the_one_before() {
        let data = tempfile::tempdir().unwrap();
        let running = backstay_server::Running::for_tests(data.path());
        let authority = running.server().authority.pem().to_owned();
        let root = reqwest::Certificate::from_pem(authority.as_bytes()).unwrap();
        let http = Client::builder().tls_certs_only([root]).cookie_store(true).build().unwrap();
        let post = |path: &str, csrf: &str, body: Value| -> Value {
            let url = format!("https://localhost:{}/api/v1/{path}", running.address().port());
            http.post(url).header("x-backstay-csrf", csrf).json(&body).send().unwrap().json().unwrap_or_default()
        };
        let who = json!({ "code": running.setup_code(), "name": "admin", "password": "correct horse battery" });
        post("setup", "", who.clone());
        let admin = post("login", "", who.clone())["csrf"].as_str().unwrap().to_owned();
        let grants = json!([{ "role": "operator", "scope": "all" }]);
        let olga = json!({ "name": "olga", "password": who["password"], "grants": grants });
        post("people", &admin, olga.clone());
        let olga = post("login", "", olga)["csrf"].as_str().unwrap().to_owned();
        let code = post("enrolments", &olga, json!({ "machine": "web" }))["code"].clone();
        let key = KeyPair::generate().unwrap();
        let request = CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
        let enrolled = post("enrol", "", json!({ "code": code, "csr_pem": request }));
        let certificate = enrolled["certificate_pem"].as_str().unwrap().to_owned();
        let identity = Identity { certificate, key: key.serialize_pem() };
        let address = running.address().to_string();
        let enrolled = backstay_agent::Enrolled { address: address.clone(), authority, identity };
        let enrolment = Enrolment { machine: "web".into(), address, enrolled };
        enrolment.write(data.path()).unwrap();
        let server = Server::new(enrolment.enrolled.clone(), 1);
        look(data.path(), &server).unwrap();
        assert_eq!(Enrolment::read(data.path()).unwrap().enrolled.identity.key, key.serialize_pem(), "it is young");
        let next = ask(&enrolment).unwrap();
        Enrolment::renew(data.path(), &next).unwrap();
        server.renewed(next);
        assert_eq!(server.machine().unwrap(), "web");
        assert!(ask(&enrolment).is_err(), "the one before was taken back when the next was used");
        assert!(ask(&Enrolment::read(data.path()).unwrap()).is_ok());
    }

    #[test]
    fn certificates_say_how_long_they_last() {
        let mut params = CertificateParams::default();
        (params.not_before, params.not_after) = (rcgen::date_time_ymd(1970, 1, 2), rcgen::date_time_ymd(1970, 1, 3));
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        assert_eq!(lasts(&certificate.pem()).unwrap(), (86_400, 172_800));
        assert!(lasts("").is_err());
    }
}
