//! Enrolling machines, and what their certificates are good for.

use backstay_env::real::link::{Identity, Peer, connect};
use backstay_format::wire;
use backstay_format::wire::v1::{ToAgent, ToServer};
use backstay_server::Running;
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};

use crate::client::{Client, server, somebody};

fn request() -> (String, KeyPair) {
    let key = KeyPair::generate().unwrap();
    (CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap(), key)
}

pub(crate) fn enrol(running: &Running, code: &Value) -> (u16, Value, Identity) {
    let (csr, key) = request();
    let (status, answer) = Client::of(running).post("/api/v1/enrol", &json!({ "code": code, "csr_pem": csr }));
    let certificate = answer["certificate_pem"].as_str().unwrap_or_default().to_owned();
    (status, answer, Identity { certificate, key: key.serialize_pem() })
}

/// Whether an agent is welcome. That the handshake succeeds says nothing: a server looks at certificates after it.
pub(crate) fn connects(running: &Running, identity: &Identity) -> bool {
    let peer = Peer {
        address: running.address().to_string(),
        name: "localhost".into(),
        authority: running.server().authority.pem().to_owned(),
        protocol: b"backstay/1".to_vec(),
    };
    let hello = wire::encode(&ToServer::Hello { program: "test".into() });
    let said = connect(&peer, identity).map(|link| link.send(&[&hello]).and_then(|()| link.receive()));
    let answer = said.ok().and_then(Result::ok).flatten();
    answer.is_some_and(|answer| matches!(wire::decode(&answer), Ok((ToAgent::Welcome { .. }, _))))
}

pub(crate) fn code(operator: &Client, machine: &str) -> Value {
    let (status, made) = operator.post("/api/v1/enrolments", &json!({ "machine": machine }));
    assert_eq!(status, 201);
    made["code"].clone()
}

#[test]
fn a_code_makes_one_certificate() {
    let data = tempfile::tempdir().unwrap();
    let running = server(data.path());
    let operator = somebody(&running, "olga", "operator", "all");
    let first = code(&operator, "web");
    let (status, answer, identity) = enrol(&running, &first);
    assert_eq!((status, &answer["machine"], &answer["vault"]), (200, &json!("web"), &json!("main")));
    assert_eq!(answer["ca_pem"], running.server().authority.pem());
    assert!(connects(&running, &identity));
    assert_eq!(enrol(&running, &first).0, 403, "it is used");
    // Enrolled again it is the same machine.
    let (status, again, new) = enrol(&running, &code(&operator, "web"));
    assert_eq!((status, &again["id"]), (200, &answer["id"]));
    assert!(connects(&running, &new) && !connects(&running, &identity), "the certificate before is taken back");
    assert_eq!(operator.delete("/api/v1/machines/web/certificate"), 204);
    assert!(!connects(&running, &new));
    let (_, listed) = operator.get("/api/v1/enrolments");
    assert_eq!(listed.as_array().unwrap().len(), 2);
    assert!(listed[0]["used"].is_string() && listed.to_string().find("code").is_none());
}

#[test]
fn a_code_that_was_taken_back_or_made_up_is_none() {
    let data = tempfile::tempdir().unwrap();
    let running = server(data.path());
    let operator = somebody(&running, "olga", "operator", "all");
    let taken = code(&operator, "web");
    assert_eq!(operator.delete("/api/v1/enrolments/1"), 204);
    assert_eq!(operator.delete("/api/v1/enrolments/1"), 404);
    assert_eq!(enrol(&running, &taken).0, 403);
    assert_eq!(enrol(&running, &json!("AAAA")).0, 403);
    let other = code(&operator, "web");
    let wrong = json!({ "code": other, "csr_pem": "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----" });
    assert_eq!(Client::of(&running).post("/api/v1/enrol", &wrong).0, 400);
    assert_eq!(enrol(&running, &other).0, 200, "a request that is none does not use it up");
}

#[test]
fn one_code_used_by_many_at_once_is_used_once() {
    let data = tempfile::tempdir().unwrap();
    let running = server(data.path());
    let operator = somebody(&running, "olga", "operator", "all");
    let code = code(&operator, "web");
    let all: Vec<u16> = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..4).map(|_| scope.spawn(|| enrol(&running, &code).0)).collect();
        tries.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(all.iter().filter(|status| **status == 200).count(), 1, "{all:?}");
    assert!(all.iter().all(|status| [200, 403].contains(status)), "{all:?}");
}

#[test]
fn a_certificate_of_another_authority_is_none() {
    let (data, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (running, other) = (server(data.path()), server(elsewhere.path()));
    let of = |running: &Running| enrol(running, &code(&somebody(running, "olga", "operator", "all"), "web")).2;
    let (ours, theirs) = (of(&running), of(&other));
    assert!(connects(&running, &ours) && connects(&other, &theirs), "the same machine at two servers");
    assert!(!connects(&running, &theirs) && !connects(&other, &ours));
}
