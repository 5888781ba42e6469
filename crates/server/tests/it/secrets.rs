//! No secret is ever in the log, whatever happens.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use reqwest::Method;
use serde_json::{Value, json};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;

use crate::client::{Client, PASSWORD, answer, logged_in, server, somebody};

/// All that was written, of all servers of these tests.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn no_secret_is_in_the_log() {
    let lines = Lines::default();
    let writer = lines.clone();
    let layer = tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(move || writer.clone());
    // As it is written by `backstay server`, and finer.
    let ours = Targets::new().with_target("backstay", LevelFilter::TRACE);
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(ours).with(layer)).unwrap();

    let data = tempfile::tempdir().unwrap();
    let running = server(data.path());
    let mut secrets: Vec<String> = vec![running.setup_code().unwrap().into(), PASSWORD.into()];
    let mut keep = |value: &Value| {
        let text = value.as_str().unwrap_or_else(|| panic!("{value}")).to_owned();
        secrets.push(text.clone());
        text
    };
    let admin = logged_in(&running, "admin");
    let olga = somebody(&running, "olga", "operator", "all");
    keep(&olga.get("/api/v1/me").1["csrf"]);
    keep(&olga.post("/api/v1/me/totp", &json!({ "password": PASSWORD })).1["secret"]);
    let token = json!({ "name": "ci", "role": "operator", "scope": "all", "days": 1 });
    let token = keep(&olga.post("/api/v1/me/tokens", &token).1["token"]);
    assert_eq!(Client::with_token(&running, &token).get("/api/v1/machines").0, 200);
    keep(&olga.post("/api/v1/enrolments", &json!({ "machine": "web" })).1["code"]);
    let guess = keep(&json!("a guess that is somebody's password elsewhere"));
    assert_eq!(Client::of(&running).login_with(&json!({ "name": "olga", "password": guess })).0, 401);
    Client::of(&running).get(&format!("/api/v1/login/oidc/callback?state=x&code={guess}"));
    // Nobody is at these ports: each way to tell people fails, and says why.
    let [mail, hook, path, client] =
        ["the mail password", "the secret of the hook", "/in-the-path", "the client secret"]
            .map(|text| keep(&json!(text)));
    let settings = json!({
        "alerts": {
            "email": { "host": "localhost", "port": 1, "security": "tls", "from": "a@b.c", "to": ["d@e.f"], "user": "u", "password": mail },
            "webhooks": [{ "url": format!("https://localhost:1{path}"), "secret": hook }] },
        "oidc": { "issuer": "https://localhost:1", "client_id": "c", "client_secret": client } });
    assert_eq!(answer(admin.request(Method::PUT, "/api/v1/settings").json(&settings).send().unwrap()).0, 200);
    let (_, told) = admin.post("/api/v1/settings/test-alert", &json!({}));
    assert_eq!((&told[0]["ok"], &told[1]["ok"]), (&json!(false), &json!(false)));
    assert_eq!(admin.get("/api/v1/login/oidc").0, 500);
    keep(&admin.post("/api/v1/people/olga/password", &json!({})).1["password"]);
    drop(running);

    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    for line in text.lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
    }
    for part in
        ["/api/v1/settings", "\"who\":\"olga\"", "the issuer of single sign-on", "the server runs", "the server ends"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    for secret in secrets {
        let found = text.lines().find(|line| line.contains(&secret));
        assert!(found.is_none() && !told.to_string().contains(&secret), "{secret}: {found:?}");
    }
}
