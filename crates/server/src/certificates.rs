//! Tests: which certificates make a machine welcome, and how the next takes the place of the one before.
//!
//! Never knows: what machines send.

use std::sync::Arc;

use backstay_env::link::Link;
use backstay_env::real::link::{Identity, Peer, SERVER, client_config, connect};
use backstay_format::units::Timestamp;
use backstay_format::wire;
use backstay_format::wire::v1::{ToAgent, ToServer};
use rcgen::{CertificateParams, KeyPair};
use reqwest::blocking::Client;
use serde_json::{Value, json};

use crate::catalogue::machines::{Enrolled, Enrolment};
use crate::moment::{SECOND, later};
use crate::{Authority, Running};

const DAY: i64 = 86_400 * SECOND;

fn request() -> (String, KeyPair) {
    let key = KeyPair::generate().unwrap();
    (CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap(), key)
}

/// A machine with a certificate that an authority signed at a moment, and that the server has in its catalogue.
fn machine(running: &Running, name: &str, (authority, at): (&Authority, Timestamp)) -> Identity {
    let server = running.server();
    let (request, key) = request();
    let id = format!("{:x<32}", name);
    let issued = authority.machine(&id, &request, server.random(), at).unwrap();
    let code = Enrolment {
        id: 0,
        machine: name.into(),
        vault: "main".into(),
        by: "test".into(),
        created: server.now(),
        until: later(server.now(), 60),
        used: None,
        revoked: None,
    };
    let who = Enrolled { id, name: name.into(), vault: "main".into() };
    running.block_on(async {
        let code = server.catalogue.add_enrolment(&server.random(), &code).await.unwrap();
        assert!(server.catalogue.enrol(code, &who, &issued, server.now()).await.unwrap());
    });
    Identity { certificate: issued.pem, key: key.serialize_pem() }
}

fn peer(running: &Running, protocol: &[u8]) -> Peer {
    Peer {
        address: running.address().to_string(),
        name: SERVER.into(),
        authority: running.server().authority.pem().to_owned(),
        protocol: protocol.to_vec(),
    }
}

/// As whom an agent with this certificate is welcome.
fn welcome(running: &Running, identity: &Identity) -> Option<String> {
    let link: Arc<dyn Link> = connect(&peer(running, b"backstay/1"), identity).ok()?;
    link.send(&[&wire::encode(&ToServer::Hello { program: "test".into() })]).ok()?;
    match wire::decode(&link.receive().ok()??).ok()? {
        (ToAgent::Welcome { machine, .. }, _) => Some(machine),
        _ => None,
    }
}

/// Asks for the next certificate; `None`: not even the handshake succeeded.
fn renew(running: &Running, identity: Option<&Identity>) -> Option<(u16, Identity)> {
    let (request, key) = request();
    let client = match identity {
        Some(identity) => {
            let config = client_config(&peer(running, b"http/1.1"), identity).unwrap();
            Client::builder().tls_backend_preconfigured(config).resolve(SERVER, running.address())
        }
        None => {
            let authority = reqwest::Certificate::from_pem(running.server().authority.pem().as_bytes()).unwrap();
            Client::builder().tls_certs_only([authority]).resolve(SERVER, running.address())
        }
    };
    let url = format!("https://{SERVER}:{}/api/v1/renew", running.address().port());
    let answer = client.build().unwrap().post(url).json(&json!({ "csr_pem": request })).send().ok()?;
    let (status, said) = (answer.status().as_u16(), answer.json::<Value>().unwrap());
    let certificate = said["certificate_pem"].as_str().unwrap_or_default().to_owned();
    Some((status, Identity { certificate, key: key.serialize_pem() }))
}

#[test]
fn expired_not_yet_valid_and_strange_certificates_are_turned_away() {
    let (data, strange) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (running, other) = (Running::for_tests(data.path()), Running::for_tests(strange.path()));
    let (own, now) = (&running.server().authority, running.server().now());
    let good = machine(&running, "good", (own, now));
    assert_eq!(welcome(&running, &good).as_deref(), Some("good"));
    let cases = [
        ("expired", own, Timestamp(now.0 - 398 * DAY)),
        ("young", own, Timestamp(now.0 + 401 * DAY)),
        ("strange", &other.server().authority, now),
    ];
    for (name, authority, at) in cases {
        let identity = machine(&running, name, (authority, at));
        assert_eq!(welcome(&running, &identity), None, "{name}");
        assert!(renew(&running, Some(&identity)).is_none(), "{name}: not even the handshake succeeds");
    }
    // Good ones of two machines: each is who it is, and nobody shows one without its key.
    let second = machine(&running, "second", (own, now));
    assert_eq!(welcome(&running, &second).as_deref(), Some("second"));
    let mixed = Identity { certificate: good.certificate.clone(), key: second.key.clone() };
    assert_eq!(welcome(&running, &mixed), None);
    // One that was signed and is not in the catalogue, as after it was lost.
    let (request, key) = request();
    let unknown = own.machine("00", &request, [1; 16], now).unwrap();
    let unknown = Identity { certificate: unknown.pem, key: key.serialize_pem() };
    assert_eq!(welcome(&running, &unknown), None);
    assert_eq!(renew(&running, Some(&unknown)).map(|(status, _)| status), Some(401));
    assert_eq!(renew(&running, None).map(|(status, _)| status), Some(401));
}

#[test]
fn a_certificate_is_good_until_the_next_was_used() {
    let data = tempfile::tempdir().unwrap();
    let running = Running::for_tests(data.path());
    let authority = &running.server().authority;
    let first = machine(&running, "web", (authority, running.server().now()));
    // An answer that was lost: what it brought is of no more use once another was made.
    let (status, lost) = renew(&running, Some(&first)).unwrap();
    assert_eq!(status, 200);
    let (status, next) = renew(&running, Some(&first)).unwrap();
    assert_eq!((status, welcome(&running, &lost)), (200, None));
    assert_eq!(welcome(&running, &first).as_deref(), Some("web"), "the next was not used yet");
    assert_eq!(welcome(&running, &next).as_deref(), Some("web"));
    assert_eq!((welcome(&running, &first), welcome(&running, &next).as_deref()), (None, Some("web")));
    assert_eq!(renew(&running, Some(&first)).unwrap().0, 401);
    // Who was turned away gets no next one.
    let server = running.server();
    assert!(running.block_on(server.catalogue.revoke_machine("web", server.now())).unwrap());
    assert_eq!((welcome(&running, &next), renew(&running, Some(&next)).unwrap().0), (None, 401));
    let log = server.record.read(None, 100).unwrap();
    let of = |what: &str| log.iter().filter(|shown| format!("{shown:?}").contains(what)).count();
    assert!(of("machine.renew") >= 4 && of("machine.certificate.replaced") == 1);
}
