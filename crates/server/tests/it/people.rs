//! People, roles and tokens.

use reqwest::Method;
use serde_json::json;

use crate::client::{Client, PASSWORD, answer, logged_in, server, somebody};

#[test]
fn roles_are_given_taken_and_kept_apart() {
    let data = tempfile::tempdir().unwrap();
    let running = server(data.path());
    let olga = somebody(&running, "olga", "operator", "all");
    let admin = logged_in(&running, "admin");
    assert_eq!((olga.get("/api/v1/people").0, olga.get("/api/v1/enrolments").0), (403, 200));
    let set = |name: &str, grants: serde_json::Value| {
        let path = format!("/api/v1/people/{name}/grants");
        answer(admin.request(Method::PUT, &path).json(&json!({ "grants": grants })).send().unwrap()).0
    };
    let grant = |role: &str, scope: &str| json!({ "role": role, "scope": scope });
    assert_eq!(set("olga", json!([grant("administrator", "all"), grant("restore-operator", "all")])), 409);
    assert_eq!(set("olga", json!([grant("king", "all")])), 400);
    assert_eq!(set("olga", json!([grant("auditor", "machine:web")])), 400);
    assert_eq!(set("admin", json!([grant("operator", "all")])), 403, "nobody changes their own roles");
    assert_eq!(set("nobody", json!([])), 404);
    assert_eq!(set("olga", json!([])), 204);
    assert_eq!(olga.get("/api/v1/enrolments").0, 403, "at once");
}

#[test]
fn who_is_shut_out_is_out_at_once_and_somebody_always_administrates() {
    let data = tempfile::tempdir().unwrap();
    let running = server(data.path());
    let second = somebody(&running, "second", "administrator", "all");
    let admin = logged_in(&running, "admin");
    let disable = |who: &Client, name: &str, disabled: bool| {
        let path = format!("/api/v1/people/{name}/disabled");
        answer(who.request(Method::PUT, &path).json(&json!({ "disabled": disabled })).send().unwrap()).0
    };
    assert_eq!(disable(&admin, "second", true), 204);
    assert_eq!(second.get("/api/v1/me").0, 401);
    assert_eq!(Client::of(&running).login("second").0, 401);
    assert_eq!(admin.delete("/api/v1/people/admin"), 403);
    assert_eq!(disable(&admin, "second", false), 204);
    let second = logged_in(&running, "second");
    assert_eq!(second.delete("/api/v1/people/admin"), 204);
    assert_eq!((admin.get("/api/v1/me").0, second.get("/api/v1/people").1.as_array().unwrap().len()), (401, 1));
}

#[test]
fn a_token_is_one_role_of_its_owner_for_a_time() {
    let data = tempfile::tempdir().unwrap();
    let running = server(data.path());
    let olga = somebody(&running, "olga", "operator", "all");
    let make = |role: &str, scope: &str, days: u64| {
        olga.post("/api/v1/me/tokens", &json!({ "name": "ci", "role": role, "scope": scope, "days": days }))
    };
    assert_eq!(make("administrator", "all", 1).0, 403);
    assert_eq!((make("operator", "all", 0).0, make("operator", "all", 400).0), (400, 400));
    let (status, made) = make("operator", "machine:web", 30);
    assert_eq!(status, 201);
    let program = Client::with_token(&running, made["token"].as_str().unwrap());
    assert_eq!((program.get("/api/v1/machines").0, program.get("/api/v1/enrolments").0), (200, 403));
    let again = json!({ "name": "ci", "role": "operator", "scope": "machine:web", "days": 1 });
    assert_eq!(program.post("/api/v1/me/tokens", &again).0, 403);
    assert_eq!(program.post("/api/v1/me/password", &json!({ "old": PASSWORD, "new": PASSWORD })).0, 403);
    assert_eq!(Client::with_token(&running, "bst_00").get("/api/v1/me").0, 401);
    let admin = logged_in(&running, "admin");
    assert_eq!(admin.get("/api/v1/tokens").1[0]["person"], "olga");
    assert_eq!(admin.delete("/api/v1/tokens/1"), 204);
    assert_eq!(program.get("/api/v1/machines").0, 401);
}
