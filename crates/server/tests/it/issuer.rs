//! An issuer of single sign-on, for tests: it vouches for what it is told to, right or wrong.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use data_encoding::{BASE64, BASE64URL_NOPAD};
use rcgen::{KeyPair, SigningKey as _};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::peers::Certificate;

/// What it signs with, and how.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signed {
    /// As it says it does.
    Right,
    /// With another key.
    Other,
    /// Not at all.
    Not,
}

/// What it vouches for next.
pub(crate) struct Next {
    pub(crate) claims: Value,
    pub(crate) signed: Signed,
    pub(crate) challenge: String,
}

pub(crate) struct Issuer {
    pub(crate) url: String,
    pub(crate) authority: String,
    pub(crate) next: Arc<Mutex<Next>>,
}

pub(crate) const CLIENT: &str = "backstay";
pub(crate) const SECRET: &str = "the client secret";

fn b64(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

impl Issuer {
    /// It answers until the test ends.
    pub(crate) fn start() -> Issuer {
        let certificate = Certificate::new();
        let [own, key] = certificate.files();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let chain = vec![CertificateDer::from_pem_file(own).unwrap()];
        let config = config.with_no_client_auth().with_single_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap());
        let config = Arc::new(config.unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let next = Next { claims: Value::Null, signed: Signed::Right, challenge: String::new() };
        let next = Arc::new(Mutex::new(next));
        let issuer = Issuer { url: url.clone(), authority: certificate.authority.clone(), next: next.clone() };
        let key = KeyPair::generate().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut stream = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
                let Some((head, body)) = request(&mut stream) else { continue };
                let (status, said) = answer(&url, &key, &next, (&head, &body));
                let said = said.to_string();
                let head = format!(
                    "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    said.len()
                );
                let _ = stream.write_all(format!("{head}{said}").as_bytes()); // who is gone misses it
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        });
        issuer
    }
}

fn request(stream: &mut StreamOwned<ServerConnection, std::net::TcpStream>) -> Option<(String, String)> {
    let mut all = Vec::new();
    let mut more = [0; 4096];
    loop {
        let read = stream.read(&mut more).ok().filter(|read| *read > 0)?;
        all.extend_from_slice(&more[..read]);
        let text = String::from_utf8_lossy(&all).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length =
            head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ").map(str::to_owned));
        if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            return Some((head.to_owned(), body.to_owned()));
        }
    }
}

fn answer(url: &str, key: &KeyPair, next: &Mutex<Next>, (head, body): (&str, &str)) -> (u16, Value) {
    let path = head.split(' ').nth(1).unwrap_or_default();
    match path {
        "/.well-known/openid-configuration" => (
            200,
            json!({
            "issuer": url, "authorization_endpoint": format!("{url}/authorize"), "token_endpoint": format!("{url}/token"),
            "jwks_uri": format!("{url}/keys"), "response_types_supported": ["code"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256", "none"] }),
        ),
        "/keys" => {
            let point = key.public_key_raw();
            (
                200,
                json!({ "keys": [{ "kty": "EC", "crv": "P-256", "kid": "one", "use": "sig", "alg": "ES256",
                "x": b64(&point[1..33]), "y": b64(&point[33..65]) }] }),
            )
        }
        "/token" => token(key, &next.lock().unwrap(), (head, body)),
        _ => (404, json!({})),
    }
}

fn token(key: &KeyPair, next: &Next, (head, body): (&str, &str)) -> (u16, Value) {
    let field =
        |name: &str| body.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}="))).unwrap_or_default();
    let basic = BASE64.encode(format!("{CLIENT}:{}", SECRET.replace(' ', "+")).as_bytes());
    let known = head.lines().any(|line| line.eq_ignore_ascii_case(&format!("authorization: basic {basic}")));
    let proved = b64(&Sha256::digest(field("code_verifier"))) == next.challenge;
    if !known || !proved || field("code") != "good" {
        return (400, json!({ "error": "invalid_grant" }));
    }
    let part = |value: &Value| b64(value.to_string().as_bytes());
    let alg = if next.signed == Signed::Not { "none" } else { "ES256" };
    let text = format!("{}.{}", part(&json!({ "alg": alg, "kid": "one", "typ": "JWT" })), part(&next.claims));
    let signature = match next.signed {
        Signed::Right => raw(&key.sign(text.as_bytes()).unwrap()),
        Signed::Other => raw(&KeyPair::generate().unwrap().sign(text.as_bytes()).unwrap()),
        Signed::Not => Vec::new(),
    };
    let token = format!("{text}.{}", b64(&signature));
    (200, json!({ "access_token": "x", "token_type": "Bearer", "expires_in": 60, "id_token": token }))
}

/// A signature as JSON Web Signatures have it: two numbers of 32 bytes, from DER.
fn raw(der: &[u8]) -> Vec<u8> {
    let length = usize::from(der[3]);
    let numbers = [&der[4..4 + length], &der[6 + length..]];
    let fixed = numbers.map(|number| {
        let bare = &number[number.len().saturating_sub(32)..];
        [&vec![0; 32 - bare.len()][..], bare].concat()
    });
    fixed.concat()
}
