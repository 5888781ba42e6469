//! Every endpoint of the API's document, for every role and for nobody: generated, so that a new one cannot be forgotten.

use std::path::Path;
use std::sync::atomic::Ordering;

use axum::http::Method;
use reqwest::Certificate;
use reqwest::blocking::{Client, Response};
use serde_json::{Value, json};

use super::document;
use super::table::{Over, Row, TABLE, find};
use crate::Running;
use crate::jobs::{By, Work, begun};
use crate::rights::{Grant, Object, Right, Role, Scope, may};

const PASSWORD: &str = "correct horse battery";
/// What the guard says to somebody whose roles do not suffice, and nobody else does.
const REFUSED: &str = "your roles do not allow this";

#[test]
fn the_document_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../openapi/v1.json");
    if std::env::var_os("BACKSTAY_WRITE_OPENAPI").is_some() {
        std::fs::write(&path, document()).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    assert!(kept == document(), "openapi/v1.json is stale: set BACKSTAY_WRITE_OPENAPI and run this test again");
}

/// Methods and paths of the document.
fn endpoints() -> Vec<(Method, String)> {
    let document: Value = serde_json::from_str(&document()).unwrap();
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in ["get", "put", "post", "delete", "patch", "head", "options", "trace"] {
            if item.get(method).is_some() {
                all.push((method.to_uppercase().parse().unwrap(), path.clone()));
            }
        }
    }
    all
}

#[test]
fn every_endpoint_has_one_row_and_every_row_an_endpoint() {
    let endpoints = endpoints();
    for (method, path) in &endpoints {
        let rows = TABLE.iter().filter(|row| row.path == path && row.method == *method).count();
        assert_eq!(rows, 1, "{method} {path}");
    }
    assert_eq!(endpoints.len(), TABLE.len());
}

#[test]
fn what_changes_something_or_reads_data_is_logged() {
    // These write to the log themselves, for nobody is known yet; and one that changes nothing.
    let own = [
        "/api/v1/setup",
        "/api/v1/login",
        "/api/v1/logout",
        "/api/v1/enrol",
        "/api/v1/renew",
        "/api/v1/login/passkey",
        "/api/v1/login/passkey/confirm",
        "/api/v1/plans",
    ];
    for row in TABLE {
        let must = row.method != Method::GET && !own.contains(&row.path) || row.right == Right::Read;
        assert_eq!(row.logged.is_some(), must, "{} {}", row.method, row.path);
        assert_eq!(row.path.contains("{machine}"), row.over == Over::Machine, "{}", row.path);
    }
}

struct Somebody {
    name: &'static str,
    grants: Vec<Grant>,
    token: Option<String>,
}

/// A server with somebody of each role, for everything and for parts.
fn everybody(running: &Running) -> Vec<Somebody> {
    let all = [
        ("administrator", Role::Administrator, "all"),
        ("operator", Role::Operator, "all"),
        ("operator of web", Role::Operator, "machine:web"),
        ("operator of another", Role::Operator, "machine:other"),
        ("operator of the vault", Role::Operator, "vault:main"),
        ("restore operator", Role::RestoreOperator, "all"),
        ("restore operator of web", Role::RestoreOperator, "machine:web"),
        ("restore operator of another", Role::RestoreOperator, "vault:other"),
        ("auditor", Role::Auditor, "all"),
    ];
    let server = running.server();
    let mut there = vec![Somebody { name: "nobody", grants: Vec::new(), token: None }];
    for (name, role, scope) in all {
        let grant = Grant { role, scope: Scope::parse(scope).unwrap() };
        let token = format!("bst_{name}");
        running.block_on(async {
            let grants = [grant.clone()];
            let added = server.catalogue.add_person((name, "no password"), &grants, false, server.now()).await;
            let kept = crate::catalogue::tokens::Token {
                id: 0,
                person: name.to_owned(),
                name: "test".to_owned(),
                grant: grant.clone(),
                created: server.now(),
                until: crate::moment::later(server.now(), 3600),
            };
            let hash = super::guard::hash(&token);
            server.catalogue.add_token(&hash, added.unwrap().unwrap(), &kept).await.unwrap();
        });
        there.push(Somebody { name, grants: vec![grant], token: Some(token) });
    }
    there
}

fn client(running: &Running) -> Client {
    let authority = Certificate::from_pem(running.server().authority.pem().as_bytes()).unwrap();
    Client::builder().tls_certs_only([authority]).build().unwrap()
}

fn ask(client: &Client, running: &Running, who: &Somebody, (method, path): (&Method, &str)) -> Response {
    let filled =
        [("{machine}", "web"), ("{point}", "1"), ("{person}", "x"), ("{token}", "0"), ("{job}", "0"), ("{disk}", "x")];
    let path = filled.iter().fold(
        path.replace("{enrolment}", "0").replace("{session}", "00").replace("{passkey}", "0"),
        |path, (name, value)| path.replace(name, value),
    );
    assert!(!path.contains('{'), "a parameter without a value: {path}");
    let url = format!("https://localhost:{}{path}", running.address().port());
    let mut request = client.request(method.clone(), url);
    if let Some(token) = &who.token {
        request = request.bearer_auth(token);
    }
    if *method != Method::GET {
        request = request.json(&json!({}));
    }
    request.send().unwrap()
}

fn expected(row: &Row, who: &Somebody) -> bool {
    let object = match row.over {
        Over::Everything => Object::Everything,
        Over::Part => Object::Some,
        Over::Machine => Object::Machine { machine: "web", vault: "main" },
    };
    row.right == Right::Nobody || who.token.is_some() && may(&who.grants, row.right, object)
}

#[test]
fn every_endpoint_for_every_role_and_none() {
    let data = tempfile::tempdir().unwrap();
    let running = Running::for_tests(data.path());
    let (people, client) = (everybody(&running), client(&running));
    for (method, path) in endpoints() {
        let row = find(&method, &path).unwrap();
        for who in &people {
            let response = ask(&client, &running, who, (&method, &path));
            let status = response.status().as_u16();
            let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok());
            let streams = kind.is_some_and(|kind| kind.contains("event-stream"));
            let body: Value = if streams { Value::Null } else { response.json().unwrap_or_default() };
            let refused = status == 401 || body["error"]["message"] == REFUSED;
            assert_eq!(!refused, expected(row, who), "{method} {path} for {}: {status} {body}", who.name);
            assert!(status != 500 && status != 503, "{method} {path} for {}: {status} {body}", who.name);
            if who.token.is_none() && row.right != Right::Nobody {
                assert_eq!(status, 401, "{method} {path}");
            }
        }
    }
}

#[test]
fn a_restore_is_cancelled_by_who_began_it_and_by_who_runs_jobs() {
    let data = tempfile::tempdir().unwrap();
    let running = Running::for_tests(data.path());
    let (people, client) = (everybody(&running), client(&running));
    let who = |name: &str| people.iter().find(|who| who.name == name).unwrap();
    let begun = |name: &str, work: Value| {
        let work: Work = serde_json::from_value(work).unwrap();
        let (server, name) = (running.server().clone(), name.to_owned());
        running.block_on(async move {
            let person = server.catalogue.person(&name).await.unwrap().unwrap();
            begun(&server, &work, By::Person(person.id, &name)).await.unwrap()
        })
    };
    let restore = |machine: &str| json!({ "kind": "restore", "machine": machine, "point": 1, "to": "x" });
    let may = |who: &Somebody, job: i64| -> Value {
        let told = ask(&client, &running, who, (&Method::GET, &format!("/api/v1/jobs/{job}")));
        told.json::<Value>().unwrap()["may_cancel"].clone()
    };
    let (scoped, all) = (who("restore operator of web"), who("restore operator"));
    for (starter, work, who, expected) in [
        (scoped, restore("web"), scoped, 204),
        (all, restore("web"), scoped, 403),
        (all, restore("other"), scoped, 404),
        (scoped, restore("web"), all, 403),
        (scoped, restore("web"), who("operator"), 204),
        (scoped, restore("web"), who("operator of web"), 403),
        (scoped, restore("web"), who("administrator"), 403),
        (scoped, restore("web"), who("auditor"), 403),
        // Only restores are theirs: other jobs are work on everybody's points.
        (all, json!({ "kind": "reclaim" }), all, 403),
        (who("operator"), json!({ "kind": "reclaim" }), who("operator"), 204),
        (who("operator"), json!({ "kind": "check" }), who("operator"), 409),
    ] {
        let job = begun(starter.name, work.clone());
        let told = may(who, job.id);
        let path = format!("/api/v1/jobs/{}/cancel", job.id);
        let response = ask(&client, &running, who, (&Method::POST, &path));
        let status = response.status().as_u16();
        assert_eq!(status, expected, "{} cancels {work} of {}: {:?}", who.name, starter.name, response.text());
        let cancelled = status == 204;
        assert_eq!(job.stop.load(Ordering::Relaxed), cancelled, "nothing but a granted wish ends a job");
        assert!(told == json!(cancelled) || told.is_null() && !cancelled, "{} was told {told}", who.name);
    }
}

#[test]
fn methods_that_are_none_are_refused() {
    let data = tempfile::tempdir().unwrap();
    let running = Running::for_tests(data.path());
    let client = client(&running);
    for path in ["/api/v1/health", "/api/v1/machines/web/points", "/metrics"] {
        for method in [Method::TRACE, Method::PATCH, Method::OPTIONS, "PROPFIND".parse().unwrap()] {
            let url = format!("https://localhost:{}{path}", running.address().port());
            assert_eq!(client.request(method.clone(), url).send().unwrap().status(), 405, "{method} {path}");
        }
    }
}

#[test]
fn whoever_makes_up_a_session_or_token_is_nobody() {
    let data = tempfile::tempdir().unwrap();
    let running = Running::for_tests(data.path());
    let client = client(&running);
    let url = format!("https://localhost:{}/api/v1/me", running.address().port());
    for (name, value) in [
        ("cookie", "__Host-backstay=00".to_owned()),
        ("cookie", format!("__Host-backstay={}", "a".repeat(8000))),
        ("authorization", "Bearer ".to_owned()),
        ("authorization", format!("Bearer {PASSWORD}")),
        ("authorization", "Basic YWRtaW46YWRtaW4=".to_owned()),
    ] {
        assert_eq!(client.get(&url).header(name, value).send().unwrap().status(), 401);
    }
}
