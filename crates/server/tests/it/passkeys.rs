//! Passkeys, with an authenticator in software: written from WebAuthn level 2, and sharing nothing with what checks it.

use backstay_server::{Running, Settings};
use data_encoding::BASE64URL_NOPAD;
use rcgen::{KeyPair, SigningKey as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::client::{Client, PASSWORD, logged_in, server, set_up, somebody};

const PRESENT: u8 = 0x01;
const VERIFIED: u8 = 0x04;
const ATTESTED: u8 = 0x40;

/// A key with what an authenticator keeps beside it.
struct Authenticator {
    key: KeyPair,
    id: Vec<u8>,
    handle: Vec<u8>,
    counter: u32,
    origin: String,
    flags: u8,
}

fn b64(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

impl Authenticator {
    fn new(id: u8) -> Authenticator {
        let key = KeyPair::generate().unwrap();
        let origin = "https://localhost".to_owned();
        Authenticator { key, id: vec![id; 32], handle: Vec::new(), counter: 1, origin, flags: PRESENT | VERIFIED }
    }

    fn client_data(&self, kind: &str, options: &Value) -> Vec<u8> {
        let challenge = &options["publicKey"]["challenge"];
        json!({ "type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": false })
            .to_string()
            .into_bytes()
    }

    fn data(&self, party: &str, flags: u8) -> Vec<u8> {
        [&Sha256::digest(party)[..], &[flags], &self.counter.to_be_bytes()].concat()
    }

    /// `navigator.credentials.create`.
    fn create(&mut self, options: &Value) -> Value {
        self.handle = BASE64URL_NOPAD.decode(options["publicKey"]["user"]["id"].as_str().unwrap().as_bytes()).unwrap();
        let point = self.key.public_key_raw();
        let mut data = self.data(options["publicKey"]["rp"]["id"].as_str().unwrap(), self.flags | ATTESTED);
        data.extend([0; 16]);
        data.extend((self.id.len() as u16).to_be_bytes());
        data.extend(&self.id);
        // COSE: EC2, ES256, P-256, x, y.
        data.extend([0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20]);
        data.extend(&point[1..33]);
        data.extend([0x22, 0x58, 0x20]);
        data.extend(&point[33..65]);
        let mut object = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58".to_vec();
        object.push(data.len() as u8);
        object.extend(&data);
        let response = json!({
            "attestationObject": b64(&object), "clientDataJSON": b64(&self.client_data("webauthn.create", options)) });
        json!({ "id": b64(&self.id), "rawId": b64(&self.id), "type": "public-key", "response": response, "extensions": {} })
    }

    /// `navigator.credentials.get`.
    fn get(&mut self, options: &Value) -> Value {
        self.counter += 1;
        let client = self.client_data("webauthn.get", options);
        let data = self.data(options["publicKey"]["rpId"].as_str().unwrap(), self.flags);
        let signature = self.key.sign(&[&data[..], &Sha256::digest(&client)].concat()).unwrap();
        let response = json!({ "authenticatorData": b64(&data), "clientDataJSON": b64(&client),
            "signature": b64(&signature), "userHandle": b64(&self.handle) });
        json!({ "id": b64(&self.id), "rawId": b64(&self.id), "type": "public-key", "response": response, "extensions": {} })
    }
}

/// Makes a passkey; the last answer.
fn make(client: &Client, authenticator: &mut Authenticator) -> (u16, Value) {
    let (status, asked) = client.post("/api/v1/me/passkeys", &json!({ "name": "key", "password": PASSWORD }));
    assert_eq!(status, 200, "{asked}");
    let credential = authenticator.create(&asked["options"]);
    client.post("/api/v1/me/passkeys/confirm", &json!({ "ceremony": asked["ceremony"], "credential": credential }))
}

/// Logs in; the last answer.
fn show(client: &mut Client, who: &Value, authenticator: &mut Authenticator) -> (u16, Value) {
    let (status, asked) = client.post("/api/v1/login/passkey", who);
    if status != 200 {
        return (status, asked);
    }
    let credential = authenticator.get(&asked["options"]);
    client
        .login_by("/api/v1/login/passkey/confirm", &json!({ "ceremony": asked["ceremony"], "credential": credential }))
}

#[test]
fn a_passkey_is_a_second_factor_or_enough_alone() {
    let data = tempfile::tempdir().unwrap();
    let running = server(data.path());
    let olga = somebody(&running, "olga", "operator", "all");
    let ways = |client: &Client| client.get("/api/v1/login/ways").1;
    assert_eq!(ways(&olga), json!({ "password": true, "passkey": false, "oidc": null }));
    assert_eq!(olga.post("/api/v1/me/passkeys", &json!({ "name": "key", "password": "not the password" })).0, 403);
    let mut key = Authenticator::new(7);
    let (status, made) = make(&olga, &mut key);
    assert_eq!(status, 201, "{made}");
    assert_eq!(ways(&olga)["passkey"], true);
    // From now on the password alone does not suffice.
    let (status, refused) = Client::of(&running).login("olga");
    assert_eq!((status, &refused["error"]["code"]), (401, &json!("needs_passkey")));
    let with_password = json!({ "name": "olga", "password": PASSWORD });
    let mut second = Client::of(&running);
    let (status, me) = show(&mut second, &with_password, &mut key);
    assert_eq!((status, &me["name"]), (200, &json!("olga")), "{me}");
    assert_eq!(second.post("/api/v1/logout", &json!({})).0, 204);
    let mut alone = Client::of(&running);
    let (status, me) = show(&mut alone, &json!({}), &mut key);
    assert_eq!((status, &me["name"], &me["grants"][0]["role"]), (200, &json!("olga"), &json!("operator")), "{me}");
    assert_eq!(alone.get("/api/v1/me/sessions").1[0]["way"], "passkey");
    let (_, listed) = alone.get("/api/v1/me/passkeys");
    assert!(listed[0]["used"].is_string() && listed[0]["name"] == "key", "{listed}");
    // It goes with its person, or when they say so.
    assert_eq!(logged_in(&running, "admin").delete("/api/v1/me/passkeys/1"), 404, "it is not theirs");
    assert_eq!(alone.delete("/api/v1/me/passkeys/1"), 204);
    assert_eq!(show(&mut Client::of(&running), &json!({}), &mut key).0, 401);
    assert_eq!(Client::of(&running).login("olga").0, 200);
}

#[test]
fn a_passkey_belongs_to_the_name_that_it_was_made_under() {
    let data = tempfile::tempdir().unwrap();
    let started = |others: &[&str]| {
        let mut settings = Settings::for_tests(data.path());
        settings.other_names = others.iter().map(|name| (*name).to_owned()).collect();
        Running::start(settings).unwrap()
    };
    let running = started(&["Backup.example.org", "127.0.0.2"]);
    set_up(&running);
    drop(somebody(&running, "olga", "operator", "all"));
    const OTHER: &str = "backup.example.org";
    let with_password = json!({ "name": "olga", "password": PASSWORD });
    let entered = |name: &str| {
        let mut client = Client::calling(&running, name);
        assert_eq!(client.login("olga").0, 200, "{name}");
        client
    };
    let mut key = Authenticator::new(7);
    key.origin = format!("https://{OTHER}:7443");
    let olga = entered(OTHER);
    let (_, asked) = olga.post("/api/v1/me/passkeys", &json!({ "name": "key", "password": PASSWORD }));
    assert_eq!(asked["options"]["publicKey"]["rp"]["id"], OTHER);
    let confirm = json!({ "ceremony": asked["ceremony"], "credential": key.create(&asked["options"]) });
    assert_eq!(olga.post("/api/v1/me/passkeys/confirm", &confirm).0, 201);
    assert_eq!(olga.get("/api/v1/me/passkeys").1[0]["called"], OTHER);

    // There it is offered, and lets her in; alone, too.
    let ways = |name: &str| Client::calling(&running, name).get("/api/v1/login/ways").1["passkey"].clone();
    assert_eq!((ways(OTHER), ways("localhost")), (json!(true), json!(false)));
    assert_eq!(show(&mut Client::calling(&running, OTHER), &with_password, &mut key).0, 200);
    assert_eq!(show(&mut Client::calling(&running, OTHER), &json!({}), &mut key).0, 200);
    // Elsewhere it is said where that is, to who knows the password.
    let (status, refused) = show(&mut Client::calling(&running, "localhost"), &with_password, &mut key);
    let message = "your passkeys belong to backup.example.org, and not to localhost";
    assert_eq!((status, &refused["error"]["message"]), (409, &json!(message)), "{refused}");
    let (_, asked) = Client::calling(&running, OTHER).post("/api/v1/login/passkey", &with_password);
    let answer = json!({ "ceremony": asked["ceremony"], "credential": key.get(&asked["options"]) });
    let mut elsewhere = Client::calling(&running, "localhost");
    assert_eq!(elsewhere.login_by("/api/v1/login/passkey/confirm", &answer).0, 401, "nor is it taken there");
    // Under an address there are none, and it is said how to have one.
    let offered = passkey_under_an_address(&running);
    assert_eq!(offered["error"]["hint"], "open it as localhost or backup.example.org", "{offered}");

    // A name that the server does not go by any more takes its passkeys with it.
    drop(running);
    let running = started(&[]);
    assert_eq!(Client::calling(&running, "localhost").get("/api/v1/login/ways").1["passkey"], false);
}

fn passkey_under_an_address(running: &Running) -> Value {
    let admin = &mut Client::calling(running, "127.0.0.1");
    assert_eq!(admin.login("admin").0, 200);
    let (status, refused) = admin.post("/api/v1/me/passkeys", &json!({ "name": "key", "password": PASSWORD }));
    assert_eq!(status, 409);
    refused
}

#[test]
fn what_is_not_right_lets_nobody_in() {
    let data = tempfile::tempdir().unwrap();
    let running = server(data.path());
    let olga = somebody(&running, "olga", "operator", "all");
    let mut key = Authenticator::new(7);
    key.flags = PRESENT;
    assert_eq!(make(&olga, &mut key).0, 400, "nobody unlocked it");
    key.flags = PRESENT | VERIFIED;
    key.origin = "https://evil.example.org".into();
    assert_eq!(make(&olga, &mut key).0, 400, "a page of somebody else");
    key.origin = "https://localhost:8443".into();
    assert_eq!(make(&olga, &mut key).0, 201, "any port of this name");
    assert_eq!(make(&somebody(&running, "bob", "operator", "all"), &mut key).0, 409, "it is olga's");

    key.handle = olga_handle(&olga, &mut Authenticator::new(9));
    let spoils: [fn(&mut Authenticator); 4] = [
        |key| key.flags = PRESENT,
        |key| key.origin = "https://evil.example.org".into(),
        |key| key.key = KeyPair::generate().unwrap(),
        |key| key.handle = vec![1; 16],
    ];
    for (at, spoil) in spoils.into_iter().enumerate() {
        let mut spoilt = Authenticator::new(7);
        spoilt.key = KeyPair::from_pem(&key.key.serialize_pem()).unwrap();
        (spoilt.handle, spoilt.counter) = (key.handle.clone(), 10 + at as u32);
        spoil(&mut spoilt);
        assert_eq!(show(&mut Client::of(&running), &json!({}), &mut spoilt).0, 401, "{at}");
    }
    key.counter = 20;
    let client = &mut Client::of(&running);
    let (_, asked) = client.post("/api/v1/login/passkey", &json!({}));
    let answer = json!({ "ceremony": asked["ceremony"], "credential": key.get(&asked["options"]) });
    assert_eq!(client.post("/api/v1/login/passkey/confirm", &answer).0, 200);
    assert_eq!(client.post("/api/v1/login/passkey/confirm", &answer).0, 400, "an answer counts once");
    key.counter = 15;
    assert_eq!(show(client, &json!({}), &mut key).0, 401, "a copy of the key, by its counter");
    let wrong = json!({ "name": "olga", "password": "not the password" });
    let guesses: Vec<u16> = (0..2).map(|_| Client::of(&running).post("/api/v1/login/passkey", &wrong).0).collect();
    assert_eq!(guesses, [401, 429], "guessing is slow here, too");
}

/// By what a new passkey of somebody would know them.
fn olga_handle(client: &Client, authenticator: &mut Authenticator) -> Vec<u8> {
    let (_, asked) = client.post("/api/v1/me/passkeys", &json!({ "name": "key", "password": PASSWORD }));
    authenticator.create(&asked["options"]);
    authenticator.handle.clone()
}
