//! The server as it is started, asked by a client that nobody here wrote, killed, and started again.

use serde_json::Value;

use crate::tools::*;
use crate::world::*;

/// Starts a server; what it printed.
fn start(world: &World, args: &[&str]) -> (Running, Value) {
    let data = world.path("data");
    let all = ["server", "--data", text(&data), "--listen", "127.0.0.1:0", "--name", "localhost", "--json"];
    let mut server = world.start(&[&all[..], args].concat());
    server.wait_for("\"url\"");
    server.wait_for("\n}");
    let told = server.json();
    (server, told)
}

fn curl(world: &World, told: &Value, path: &str) -> Value {
    let authority = world.path("data/ca/certificate.pem");
    let url = format!("{}{path}", told["url"].as_str().unwrap());
    let jar = world.path("jar");
    let cookies = ["--cookie", text(&jar), "--cookie-jar", text(&jar)];
    let said = run("curl", [&["-sS", "--cacert", text(&authority), &url][..], &cookies].concat());
    serde_json::from_str(&said).unwrap_or_else(|e| panic!("{e} in {said}"))
}

#[test]
fn a_server_serves_the_store_that_the_command_line_writes_and_outlives_a_kill() {
    let world = World::new();
    let (mut server, told) = start(&world, &[]);
    let health = curl(&world, &told, "/api/v1/health");
    assert_eq!((&health["status"], &health["needs_setup"]), (&"ok".into(), &true.into()));
    assert!(told["setup_code"].is_string());
    assert_eq!(curl(&world, &told, "/api/v1/machines")["error"]["code"], "unauthenticated");

    let data = world.path("data");
    let sentence = world.refused(4, &["server", "--data", text(&data), "--listen", "127.0.0.1:0"]);
    assert!(sentence.contains("another server is at work"), "{sentence}");
    let taken = told["address"].as_str().unwrap();
    let other = world.path("other");
    let sentence = world.refused(1, &["server", "--data", text(&other), "--listen", taken]);
    assert!(sentence.contains("--listen"), "{sentence}");

    server.signal("KILL");
    server.end();
    let (mut server, again) = start(&world, &[]);
    assert_eq!(told["ca_sha256"], again["ca_sha256"]);
    assert_eq!(curl(&world, &again, "/api/v1/health")["status"], "ok");
    assert_eq!(server.interrupt(), Some(0), "{}", server.log());
    // What it logged is judged by the verifier, which needs nothing of the server.
    let key = told["log_key"].as_str().unwrap();
    let names = data.join("keys/names");
    let log = data.join("audit");
    world.ok(&["audit", "verify", text(&log), "--key", key, "--names-key", text(&names)]);
    // Another address is another configuration, and the log says so: nobody takes it for tampering.
    let (mut server, _) = start(&world, &["--name", "other.example.org"]);
    assert_eq!(server.interrupt(), Some(0), "{}", server.log());
    world.ok(&["audit", "verify", text(&log), "--key", key]);
    let said = world.ok(&["audit", "show", text(&log), "--names-key", text(&names)]);
    assert!(said.contains("settings.started") && said.contains("other.example.org"), "{said}");
    let without = world.ok(&["audit", "show", text(&log)]);
    assert!(without.contains("settings.started") && !without.contains("other.example.org"), "{without}");
}
