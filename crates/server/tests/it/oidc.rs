//! Single sign-on: who is let in, as whom, and with which roles.

use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use backstay_server::Running;
use reqwest::blocking::{Client as Http, Response};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Method, Url};
use serde_json::{Value, json};

use crate::client::{Client, answer, logged_in, server, somebody};
use crate::issuer::{CLIENT, Issuer, SECRET, Signed};

/// A browser that comes from an address of its own, so that failures of others do not slow it.
struct Browser {
    http: Http,
    base: String,
}

impl Browser {
    fn new(running: &Running, address: u8) -> Browser {
        let authority = Certificate::from_pem(running.server().authority.pem().as_bytes()).unwrap();
        let http = Http::builder().tls_certs_only([authority]).cookie_store(true).redirect(Policy::none());
        let http = http.local_address(IpAddr::from([127, 0, 1, address])).build().unwrap();
        Browser { http, base: format!("https://localhost:{}", running.address().port()) }
    }

    fn get(&self, path: &str) -> Response {
        self.http.get(format!("{}{path}", self.base)).send().unwrap()
    }

    /// Is led to the issuer: the question it is led there with.
    fn led(&self) -> Url {
        let response = self.get("/api/v1/login/oidc");
        assert_eq!(response.status(), 303, "{:?}", response.text());
        Url::parse(response.headers()["location"].to_str().unwrap()).unwrap()
    }

    /// Comes back; where it is led then.
    fn back(&self, state: &str, code: &str) -> String {
        let response = self.get(&format!("/api/v1/login/oidc/callback?state={state}&code={code}"));
        assert_eq!(response.status(), 303, "{:?}", response.text());
        response.headers()["location"].to_str().unwrap().to_owned()
    }

    fn me(&self) -> Value {
        self.get("/api/v1/me").json().unwrap()
    }
}

fn field(url: &Url, name: &str) -> String {
    url.query_pairs().find(|(found, _)| found == name).map(|(_, value)| value.into_owned()).unwrap()
}

/// Goes to the issuer, which vouches for these claims besides the usual ones, and back; where it is led then.
fn sign_on(browser: &Browser, issuer: &Issuer, (claims, signed): (Value, Signed)) -> String {
    let asked = browser.led();
    assert_eq!(
        (field(&asked, "response_type"), field(&asked, "code_challenge_method")),
        ("code".into(), "S256".into())
    );
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut all = json!({ "iss": issuer.url, "aud": CLIENT, "sub": "1", "iat": now, "exp": now + 60, "nonce": field(&asked, "nonce") });
    for (name, value) in claims.as_object().unwrap() {
        all[name] = value.clone();
    }
    let mut next = issuer.next.lock().unwrap();
    (next.claims, next.signed, next.challenge) = (all, signed, field(&asked, "code_challenge"));
    drop(next);
    browser.back(&field(&asked, "state"), "good")
}

fn put(client: &Client, path: &str, body: &Value) -> u16 {
    answer(client.request(Method::PUT, path).json(body).send().unwrap()).0
}

fn settle(admin: &Client, issuer: &Issuer) {
    let group = |name: &str, role: &str| json!({ "group": name, "grants": [{ "role": role, "scope": "all" }] });
    let oidc = json!({ "issuer": issuer.url, "client_id": CLIENT, "client_secret": SECRET, "label": "Example Inc.",
        "scopes": ["profile"], "ca_pem": issuer.authority,
        "groups": [group("ops", "operator"), group("readers", "restore-operator"), group("admins", "administrator")] });
    assert_eq!(put(admin, "/api/v1/settings", &json!({ "oidc": oidc })), 200);
    assert_eq!(admin.get("/api/v1/login/ways").1["oidc"], "Example Inc.");
}

#[test]
fn whom_an_administrator_made_known_is_let_in_as_who_they_are() {
    let data = tempfile::tempdir().unwrap();
    let (running, issuer) = (server(data.path()), Issuer::start());
    let admin = logged_in(&running, "admin");
    assert_eq!(Browser::new(&running, 1).get("/api/v1/login/oidc").status(), 409, "nothing is settled");
    settle(&admin, &issuer);
    somebody(&running, "olga", "operator", "machine:web");
    let identity = json!({ "issuer": issuer.url, "subject": "1" });
    assert_eq!(put(&admin, "/api/v1/people/olga/identity", &identity), 204);
    assert_eq!(put(&admin, "/api/v1/people/admin/identity", &identity), 409, "it is olga's");
    let browser = Browser::new(&running, 2);
    // Groups give nothing to whom an administrator gave roles.
    assert_eq!(sign_on(&browser, &issuer, (json!({ "groups": ["admins"] }), Signed::Right)), "/");
    let me = browser.me();
    assert_eq!(
        (&me["name"], &me["grants"]),
        (&json!("olga"), &json!([{ "role": "operator", "scope": "machine:web" }]))
    );
    let (_, people) = admin.get("/api/v1/people");
    assert!(people.as_array().unwrap().iter().any(|one| one["single_sign_on"]["subject"] == "1"), "{people}");
    // Who is shut out is shut out here, too.
    assert_eq!(put(&admin, "/api/v1/people/olga/disabled", &json!({ "disabled": true })), 204);
    assert_eq!(sign_on(&Browser::new(&running, 3), &issuer, (json!({}), Signed::Right)), "/?login=refused");
    assert_eq!(browser.me()["error"]["code"], "unauthenticated");
}

#[test]
fn groups_give_roles_and_take_them() {
    let data = tempfile::tempdir().unwrap();
    let (running, issuer) = (server(data.path()), Issuer::start());
    let admin = logged_in(&running, "admin");
    settle(&admin, &issuer);
    let as_somebody = |address: u8, name: &str, groups: Value| {
        let browser = Browser::new(&running, address);
        let led = sign_on(&browser, &issuer, (json!({ "preferred_username": name, "groups": groups }), Signed::Right));
        (led, browser.me())
    };
    assert_eq!(as_somebody(1, "gina", json!(["strangers"])).0, "/?login=refused", "no group of hers gives a role");
    assert_eq!(as_somebody(2, "admin", json!(["ops"])).0, "/?login=refused", "the name is taken");
    assert_eq!(as_somebody(3, "gina", json!(["readers", "admins"])).0, "/?login=refused", "these exclude each other");
    let (led, me) = as_somebody(4, "gina", json!(["ops", "x"]));
    assert_eq!((&*led, &me["name"], &me["grants"][0]["role"]), ("/", &json!("gina"), &json!("operator")));
    assert_eq!(
        Client::of(&running).login_with(&json!({ "name": "gina", "password": "" })).0,
        401,
        "she has no password"
    );
    // Another name is the same person, and another group another role.
    let (led, me) = as_somebody(5, "regina", json!("readers"));
    assert_eq!(
        (&*led, &me["name"], &me["grants"]),
        ("/", &json!("gina"), &json!([{ "role": "restore-operator", "scope": "all" }]))
    );
    assert_eq!(as_somebody(6, "gina", json!([])).0, "/?login=refused");
    let (_, people) = admin.get("/api/v1/people");
    let gina = people.as_array().unwrap().iter().find(|one| one["name"] == "gina").unwrap();
    assert_eq!(gina["grants"], json!([]), "what groups do not give any more is gone");
}

#[test]
fn what_an_issuer_did_not_sign_for_this_login_is_not_believed() {
    let data = tempfile::tempdir().unwrap();
    let (running, issuer) = (server(data.path()), Issuer::start());
    settle(&logged_in(&running, "admin"), &issuer);
    let good = json!({ "preferred_username": "gina", "groups": ["ops"] });
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    let cases = [
        ("another audience", with("aud", json!("somebody else")), Signed::Right),
        ("another issuer", with("iss", json!("https://evil.example.org")), Signed::Right),
        ("over", with("exp", json!(1_000_000)), Signed::Right),
        ("another nonce", with("nonce", json!("x")), Signed::Right),
        ("another key", good.clone(), Signed::Other),
        ("no signature", good.clone(), Signed::Not),
    ];
    for (address, (what, claims, signed)) in (1..).zip(cases) {
        let browser = Browser::new(&running, address);
        assert_eq!(sign_on(&browser, &issuer, (claims, signed)), "/?login=refused", "{what}");
        assert_eq!(browser.me()["error"]["code"], "unauthenticated", "{what}");
    }
    // A code that is none, and a code without the browser that asked for it.
    let (victim, thief) = (Browser::new(&running, 10), Browser::new(&running, 11));
    let asked = victim.led();
    assert_eq!(victim.back(&field(&asked, "state"), "bad"), "/?login=refused");
    let asked = victim.led();
    assert_eq!(thief.back(&field(&asked, "state"), "good"), "/?login=expired");
    assert_eq!(victim.back(&field(&asked, "state"), "good"), "/?login=expired", "a question is answered once");
    assert_eq!(victim.get("/api/v1/login/oidc/callback").headers()["location"], "/?login=expired");
    let (_, log) = somebody(&running, "aud", "auditor", "all").get("/api/v1/audit?limit=500");
    assert!(log.to_string().contains("oidc: ") && !log.to_string().contains(SECRET));
}
