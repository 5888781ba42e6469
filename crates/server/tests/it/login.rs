//! Logging in, and what keeps others from it.

use reqwest::Method;
use serde_json::json;

use crate::client::{Client, PASSWORD, logged_in, server};

#[test]
fn a_session_begins_and_ends() {
    let data = tempfile::tempdir().unwrap();
    let running = server(data.path());
    let mut client = Client::of(&running);
    assert_eq!(client.get("/api/v1/me").0, 401);
    assert_eq!(client.login_with(&json!({ "name": "admin", "password": "wrong password" })).0, 401);
    assert_eq!(client.login_with(&json!({ "name": "nobody", "password": PASSWORD })).0, 401);
    assert_eq!(client.login("admin").0, 200);
    let (status, me) = client.get("/api/v1/me");
    assert_eq!((status, &me["name"], &me["grants"][0]["role"]), (200, &json!("admin"), &json!("administrator")));
    assert_eq!(client.post("/api/v1/logout", &json!({})).0, 204);
    assert_eq!(client.get("/api/v1/me").0, 401);
}

#[test]
fn the_cookie_is_for_this_server_alone() {
    let data = tempfile::tempdir().unwrap();
    let running = server(data.path());
    let login = json!({ "name": "admin", "password": PASSWORD });
    let response = Client::of(&running).request(Method::POST, "/api/v1/login").json(&login).send().unwrap();
    let cookie = response.headers()["set-cookie"].to_str().unwrap().to_owned();
    for part in ["__Host-backstay=", "; Path=/", "; Secure", "; HttpOnly", "; SameSite=Strict"] {
        assert!(cookie.contains(part), "{cookie}");
    }
}

#[test]
fn a_page_of_somebody_else_changes_nothing() {
    let data = tempfile::tempdir().unwrap();
    let running = server(data.path());
    let mut client = logged_in(&running, "admin");
    client.forget_csrf();
    assert_eq!(client.get("/api/v1/me").0, 200);
    assert_eq!(client.post("/api/v1/logout", &json!({})).0, 403);
    let form = client.request(Method::POST, "/api/v1/login").body("name=admin").send().unwrap();
    assert_eq!(form.status(), 400, "no form is a request");
}

#[test]
fn guessing_is_slow_and_told() {
    let data = tempfile::tempdir().unwrap();
    let running = server(data.path());
    let mut client = Client::of(&running);
    let guess = json!({ "name": "admin", "password": "a guess at it" });
    let answers: Vec<u16> = (0..8).map(|_| client.login_with(&guess).0).collect();
    assert_eq!(answers[..6], [401; 6]);
    assert_eq!(answers[7], 429);
    let late = client.request(Method::POST, "/api/v1/login").json(&guess).send().unwrap();
    assert!(late.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
}

#[test]
fn a_new_password_ends_other_sessions() {
    let data = tempfile::tempdir().unwrap();
    let running = server(data.path());
    let (one, other) = (logged_in(&running, "admin"), logged_in(&running, "admin"));
    let new = "another long password";
    assert_eq!(one.post("/api/v1/me/password", &json!({ "old": "wrong", "new": new })).0, 403);
    assert_eq!(one.post("/api/v1/me/password", &json!({ "old": PASSWORD, "new": new })).0, 204);
    assert_eq!((one.get("/api/v1/me").0, other.get("/api/v1/me").0), (200, 401));
    let mut again = Client::of(&running);
    assert_eq!(again.login("admin").0, 401);
    assert_eq!(again.login_with(&json!({ "name": "admin", "password": new })).0, 200);
}

#[test]
fn a_second_factor_is_asked_for_and_each_code_is_good_once() {
    let data = tempfile::tempdir().unwrap();
    let running = server(data.path());
    let client = logged_in(&running, "admin");
    let (status, offered) = client.post("/api/v1/me/totp", &json!({ "password": PASSWORD }));
    assert_eq!(status, 200);
    let secret = data_encoding::BASE32_NOPAD.decode(offered["secret"].as_str().unwrap().as_bytes()).unwrap();
    let totp = totp_rs::Builder::new().with_secret(secret).build_noncompliant();
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let code = |seconds: u64| totp.generate(seconds).to_string();
    // Until it is confirmed it does not count.
    logged_in(&running, "admin");
    assert_eq!(client.post("/api/v1/me/totp/confirm", &json!({ "code": "000" })).0, 400);
    let first = now();
    assert_eq!(client.post("/api/v1/me/totp/confirm", &json!({ "code": code(first) })).0, 204);
    let mut client = Client::of(&running);
    let (status, error) = client.login("admin");
    assert_eq!((status, &error["error"]["code"]), (401, &json!("needs_totp")));
    let with = |code: &str| json!({ "name": "admin", "password": PASSWORD, "totp": code });
    assert_eq!(client.login_with(&with(&code(first))).0, 401, "it was used to confirm");
    // The next step's code is good already: clocks differ.
    assert_eq!(client.login_with(&with(&code(first + 30))).0, 200);
    assert_eq!(Client::of(&running).login_with(&with(&code(first + 30))).0, 401, "nor is any used twice");
}
