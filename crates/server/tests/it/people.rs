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

#[test]
fn a_password_that_was_reset_is_good_once_and_to_be_changed() {
    let data = tempfile::tempdir().unwrap();
    let running = server(data.path());
    let olga = somebody(&running, "olga", "operator", "all");
    let admin = logged_in(&running, "admin");
    let token = json!({ "name": "ci", "role": "operator", "scope": "all", "days": 1 });
    let token = olga.post("/api/v1/me/tokens", &token).1["token"].as_str().unwrap().to_owned();
    assert_eq!(olga.post("/api/v1/people/olga/password", &json!({})).0, 403);
    assert_eq!(admin.post("/api/v1/people/admin/password", &json!({})).0, 403, "nobody resets their own");
    let (status, made) = admin.post("/api/v1/people/olga/password", &json!({}));
    assert_eq!(status, 200);
    assert_eq!((olga.get("/api/v1/me").0, Client::with_token(&running, &token).get("/api/v1/me").0), (401, 401));
    assert_eq!(Client::of(&running).login("olga").0, 401, "the password before is over");
    let once = json!({ "name": "olga", "password": made["password"] });
    let mut olga = Client::of(&running);
    let (status, me) = olga.login_with(&once);
    assert_eq!((status, &me["must_change_password"]), (200, &json!(true)));
    assert_eq!(Client::of(&running).login_with(&once).0, 401, "it is used");
    let (status, refused) = olga.get("/api/v1/machines");
    assert_eq!((status, &refused["error"]["code"]), (403, &json!("must_change_password")));
    assert_eq!(olga.get("/api/v1/me").0, 200);
    let change = |new: &str| json!({ "old": made["password"], "new": new });
    assert_eq!(olga.post("/api/v1/me/password", &change(made["password"].as_str().unwrap())).0, 400);
    assert_eq!(olga.post("/api/v1/me/password", &change("a password of her own")).0, 204);
    assert_eq!(olga.get("/api/v1/machines").0, 200);
    assert_eq!(Client::of(&running).login_with(&json!({ "name": "olga", "password": "a password of her own" })).0, 200);
    let (_, log) = somebody(&running, "aud", "auditor", "all").get("/api/v1/audit?limit=500");
    assert!(
        log.to_string().contains("person.password") && !log.to_string().contains(made["password"].as_str().unwrap())
    );
}

#[test]
fn somebody_without_a_password_gets_one_that_is_good_once() {
    let data = tempfile::tempdir().unwrap();
    let running = server(data.path());
    let admin = logged_in(&running, "admin");
    let (status, made) = admin.post("/api/v1/people", &json!({ "name": "new", "grants": [] }));
    assert_eq!((status, made["until"].is_string()), (201, true));
    let (status, me) = Client::of(&running).login_with(&json!({ "name": "new", "password": made["password"] }));
    assert_eq!((status, &me["must_change_password"]), (200, &json!(true)));
}

#[test]
fn sessions_are_listed_and_ended_and_logging_out_is_logged() {
    let data = tempfile::tempdir().unwrap();
    let running = server(data.path());
    let olga = somebody(&running, "olga", "operator", "all");
    let other = logged_in(&running, "olga");
    let (_, sessions) = olga.get("/api/v1/me/sessions");
    let all = sessions.as_array().unwrap();
    let (own, another): (Vec<_>, Vec<_>) = all.iter().partition(|session| session["current"] == true);
    assert_eq!(
        (own.len(), another.len(), &own[0]["address"], &own[0]["way"]),
        (1, 1, &json!("127.0.0.1"), &json!("password"))
    );
    let admin = logged_in(&running, "admin");
    let path = format!("/api/v1/me/sessions/{}", another[0]["id"].as_str().unwrap());
    assert_eq!(admin.delete(&path), 404, "it is not theirs");
    assert_eq!((olga.delete(&path), other.get("/api/v1/me").0, olga.get("/api/v1/me").0), (204, 401, 200));
    assert_eq!(admin.get("/api/v1/people/olga/sessions").1.as_array().unwrap().len(), 1);
    assert_eq!((admin.delete("/api/v1/people/olga/sessions"), olga.get("/api/v1/me").0), (204, 401));
    assert_eq!(admin.post("/api/v1/logout", &json!({})).0, 204);
    let (_, log) = somebody(&running, "aud", "auditor", "all").get("/api/v1/audit?limit=500");
    let out = log.as_array().unwrap().iter().find(|line| line["what"] == "logout").unwrap();
    assert_eq!((&out["user"], &out["success"]), (&json!("admin"), &json!(true)));
}
