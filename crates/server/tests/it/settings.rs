//! Settings, and people being told of alerts: by a mail server and a receiver of webhooks that nobody here wrote.

use std::net::TcpListener;

use backstay_server::Running;
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Client, answer, logged_in, server, somebody};
use crate::data::point;
use crate::peers::{Certificate, Peer};

const SECRET: &str = "0123456789abcdef";

fn put(client: &Client, path: &str, body: &Value) -> (u16, Value) {
    answer(client.request(Method::PUT, path).json(body).send().unwrap())
}

fn email(security: &str, port: u16, certificate: &Certificate) -> Value {
    json!({ "host": "localhost", "port": port, "security": security, "from": "Backstay <backstay@example.org>",
        "to": ["ada@example.org", "bob@example.org"], "user": "backstay", "password": "the mail password",
        "ca_pem": certificate.authority })
}

#[test]
fn settings_are_kept_logged_and_their_secrets_never_told() {
    let data = tempfile::tempdir().unwrap();
    let running = server(data.path());
    let admin = logged_in(&running, "admin");
    assert_eq!(admin.get("/api/v1/settings").1["promise_seconds"], Value::Null);
    let certificate = Certificate::new();
    let settings = json!({ "promise_seconds": 900, "alerts": { "email": email("tls", 465, &certificate),
        "webhooks": [{ "url": "https://chat.example.org/x", "secret": SECRET }] } });
    let (status, told) = put(&admin, "/api/v1/settings", &settings);
    assert_eq!((status, &told["alerts"]["email"]["has_password"]), (200, &json!(true)), "{told}");
    assert_eq!(put(&admin, "/api/v1/settings", &json!({ "promise_seconds": 0 })).0, 400);
    assert_eq!(put(&admin, "/api/v1/settings", &json!({ "promises": 1 })).0, 400);
    drop(running);
    let running = Running::for_tests(data.path());
    let admin = logged_in(&running, "admin");
    // What is told can be sent back: secrets that are left out stay.
    let (_, told) = admin.get("/api/v1/settings");
    assert!(!told.to_string().contains("the mail password") && !told.to_string().contains(SECRET));
    let (status, again) = put(&admin, "/api/v1/settings", &told);
    assert_eq!((status, &again), (200, &told));
    let mut elsewhere = told.clone();
    elsewhere["alerts"]["email"]["host"] = json!("mail.example.net");
    let (_, moved) = put(&admin, "/api/v1/settings", &elsewhere);
    assert_eq!(moved["alerts"]["email"]["has_password"], false, "no password goes to another host");
    let (_, log) = somebody(&running, "aud", "auditor", "all").get("/api/v1/audit?limit=500");
    let text = log.to_string();
    assert!(text.contains("mail.example.net") && !text.contains("the mail password") && !text.contains(SECRET));
    let catalogue = std::fs::read(data.path().join("catalogue.sqlite")).unwrap();
    let wal = std::fs::read(data.path().join("catalogue.sqlite-wal")).unwrap_or_default();
    for secret in ["the mail password", SECRET] {
        let found = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found(&catalogue) && !found(&wal), "secrets are sealed");
    }
}

#[test]
fn a_mail_server_takes_a_test_by_every_way_and_refuses_who_it_does_not_know() {
    let data = tempfile::tempdir().unwrap();
    let running = server(data.path());
    let admin = logged_in(&running, "admin");
    let certificate = Certificate::new();
    assert_eq!(admin.post("/api/v1/settings/test-alert", &json!({})).0, 409, "there is nobody to tell");
    let test = |email: &Value| {
        let (status, told) = put(&admin, "/api/v1/settings", &json!({ "alerts": { "email": email } }));
        assert_eq!(status, 200, "{told}");
        let (status, told) = admin.post("/api/v1/settings/test-alert", &json!({}));
        assert_eq!(status, 200, "{told}");
        told[0].clone()
    };
    for security in ["plain", "starttls", "tls"] {
        let peer = Peer::smtp(security, &certificate, 0);
        let told = test(&email(security, peer.port, &certificate));
        assert_eq!(told["ok"], true, "{security}: {told}");
        let mail = peer.told();
        assert_eq!(mail["to"], json!(["ada@example.org", "bob@example.org"]));
        assert_eq!(mail["secured"], security != "plain", "{security}");
        assert!(mail["user"].as_bool().unwrap() && mail["mail"].as_str().unwrap().contains("This is a test"), "{mail}");
        let mut wrong = email(security, peer.port, &certificate);
        wrong["password"] = json!("not the password");
        let told = test(&wrong);
        assert!(told["ok"] == false && told["error"].as_str().unwrap().contains("535"), "{told}");
        assert!(!told.to_string().contains("not the password"));
        let mut stranger = email(security, peer.port, &certificate);
        stranger["ca_pem"] = json!(Certificate::new().authority);
        assert_eq!(test(&stranger)["ok"], security == "plain", "{security}: an authority that did not sign");
    }
    let plain = Peer::smtp("plain", &certificate, 0);
    assert_eq!(test(&email("starttls", plain.port, &certificate))["ok"], false, "nothing is sent without TLS");
    assert!(plain.hears_nothing_for(1));
}

#[test]
fn an_alert_is_one_mail_when_it_begins_and_one_when_it_ends_whatever_restarts() {
    let data = tempfile::tempdir().unwrap();
    let (running, certificate) = (server(data.path()), Certificate::new());
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    point(&running, "web");
    let promise = |running: &Running, seconds: Value| {
        let path = "/api/v1/machines/web/promise";
        assert_eq!(put(&logged_in(running, "admin"), path, &json!({ "seconds": seconds })).0, 204);
    };
    let settings = json!({ "alerts": { "email": email("tls", port, &certificate) } });
    assert_eq!(put(&logged_in(&running, "admin"), "/api/v1/settings", &settings).0, 200);
    promise(&running, json!(1));
    let admin = logged_in(&running, "admin");
    for _ in 0..120 {
        if admin.get("/api/v1/alerts").1.to_string().contains("late") {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
    // Nobody takes mail yet, and the server ends: the mail waits.
    drop(running);
    let peer = Peer::smtp("tls", &certificate, port);
    let running = Running::for_tests(data.path());
    let began = peer.told()["mail"].as_str().unwrap().to_owned();
    for part in ["Subject: [localhost] late: web", "Auto-Submitted: auto-generated", "no point for longer"] {
        assert!(began.contains(part), "{part}: {began}");
    }
    let id = began.lines().find_map(|line| line.strip_prefix("Message-ID: ")).unwrap();
    promise(&running, json!(0));
    let ended = peer.told()["mail"].as_str().unwrap().to_owned();
    for part in ["Subject: [localhost] over: late: web", &format!("In-Reply-To: {id}")] {
        assert!(ended.contains(part), "{part}: {ended}");
    }
    assert!(peer.hears_nothing_for(8), "each is told once");
}

#[test]
fn webhooks_are_signed_tried_again_and_led_nowhere_else() {
    let data = tempfile::tempdir().unwrap();
    let (running, certificate) = (server(data.path()), Certificate::new());
    let admin = logged_in(&running, "admin");
    let peer = Peer::hook(&certificate, SECRET);
    let hook = |host: &str, path: &str| json!({ "url": format!("https://{host}:{}{path}", peer.port), "secret": SECRET, "ca_pem": certificate.authority });
    let hooks = |hooks: Value| put(&admin, "/api/v1/settings", &json!({ "alerts": { "webhooks": hooks } }));
    assert_eq!(hooks(json!([hook("localhost", "/x"), hook("localhost", "/redirect"), hook("127.0.0.1", "/y")])).0, 200);
    let (_, told) = admin.post("/api/v1/settings/test-alert", &json!({}));
    assert_eq!(
        (&told[0]["ok"], &told[1]["ok"], &told[2]["ok"]),
        (&json!(true), &json!(false), &json!(false)),
        "{told}"
    );
    assert!(told[1]["error"].as_str().unwrap().contains("redirects"), "{told}");
    let mut paths: Vec<String> = Vec::new();
    for _ in 0..2 {
        let request = peer.told();
        assert_eq!((&request["signed"], &request["body"]["event"]), (&json!(true), &json!("test")));
        paths.push(request["path"].as_str().unwrap().to_owned());
    }
    paths.sort();
    assert_eq!(paths, ["/redirect", "/x"], "the other certificate is of another name");
    assert!(peer.hears_nothing_for(1), "no redirect was followed");

    assert_eq!(hooks(json!([hook("localhost", "/fail")])).0, 200);
    point(&running, "web");
    assert_eq!(put(&admin, "/api/v1/machines/web/promise", &json!({ "seconds": 1 })).0, 204);
    let (first, second) = (peer.told(), peer.told());
    assert_eq!(first["body"], second["body"], "what was not taken is told again");
    assert_eq!((&second["body"]["event"], &second["body"]["alert"]["subject"]), (&json!("began"), &json!("web")));
    assert_eq!(put(&admin, "/api/v1/machines/web/promise", &json!({ "seconds": null })).0, 204);
    assert_eq!(
        (&peer.told()["body"]["event"], admin.get("/api/v1/machines/web").1["promise_seconds"].is_null()),
        (&json!("ended"), true)
    );
}

#[test]
fn what_is_promised_of_all_and_of_one() {
    let data = tempfile::tempdir().unwrap();
    let running = server(data.path());
    let admin = logged_in(&running, "admin");
    point(&running, "web");
    assert_eq!(put(&admin, "/api/v1/settings", &json!({ "promise_seconds": 900 })).0, 200);
    let of = |client: &Client| {
        let (_, machine) = client.get("/api/v1/machines/web");
        (machine["promise_seconds"].clone(), machine["promise_by"].clone())
    };
    assert_eq!(of(&admin), (json!(900), json!("default")));
    let path = "/api/v1/machines/web/promise";
    assert_eq!(put(&admin, path, &json!({ "seconds": 60 })).0, 204);
    assert_eq!(of(&admin), (json!(60), json!("machine")));
    assert_eq!(put(&admin, "/api/v1/machines/mail/promise", &json!({ "seconds": 60 })).0, 404);
    assert_eq!(put(&admin, path, &json!({ "seconds": 99_999_999_999_u64 })).0, 400);
    assert_eq!(put(&somebody(&running, "olga", "operator", "all"), path, &json!({ "seconds": 1 })).0, 403);
}
