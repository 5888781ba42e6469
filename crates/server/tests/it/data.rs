//! Points and what is in them, jobs, alerts, and the log of all that.

use std::io::{BufRead as _, BufReader};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use backstay_env::real::disk::FileVolume;
use backstay_env::volume::Volume as _;
use backstay_format::rows::Consistency;
use backstay_server::{News, Running};
use backstay_vault::gap::Promise;
use backstay_vault::protect::{Capture, Progress, Source, Verdict};
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Client, answer, logged_in, server, somebody};

const TEXT: &str = "what was written on it\n";

/// Makes a point of a small ext4 file system.
pub(crate) fn point(running: &Running, machine: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (tree, image) = (folder.path().join("tree"), folder.path().join("image"));
    std::fs::create_dir_all(tree.join("home")).unwrap();
    std::fs::write(tree.join("home/a b.txt"), TEXT).unwrap();
    std::fs::write(tree.join("large"), vec![7; 3 << 20]).unwrap();
    let made = Command::new("mke2fs").args(["-q", "-t", "ext4", "-d"]).arg(&tree).arg(&image).arg("16M").output();
    assert!(made.unwrap().status.success());
    let volume = FileVolume::open(&image).unwrap();
    let source = Source {
        name: "disk0".into(),
        origin: "image".into(),
        used: vec![0..volume.size()],
        volume: &volume,
        excluded: Vec::new(),
        exclusions: Vec::new(),
    };
    let capture = Capture {
        machine,
        sources: vec![source],
        note: String::new(),
        verdict: &|| Verdict { consistency: Consistency::Still, stamps: vec![Vec::new()] },
        cancel: &AtomicBool::new(false),
        progress: &Progress::default(),
        promise: Promise::default(),
    };
    running.server().vault.protect(&capture).unwrap();
}

#[test]
fn files_of_a_point_are_for_restore_operators_and_each_look_is_logged_before() {
    let data = tempfile::tempdir().unwrap();
    let running = server(data.path());
    point(&running, "web");
    let rita = somebody(&running, "rita", "restore-operator", "machine:web");
    let base = "/api/v1/machines/web/points/1";
    let (status, disks) = rita.get(&format!("{base}/disks"));
    assert_eq!((status, &disks[0]["disk"], &disks[0]["parts"][0]["kind"]), (200, &json!("disk0"), &json!("ext4")));
    let (_, listing) = rita.get(&format!("{base}/files?path=/home"));
    assert_eq!(
        (&listing["entries"][0]["name"], &listing["entries"][0]["bytes"]),
        (&json!("a b.txt"), &json!(TEXT.len()))
    );
    let file = rita.request(Method::GET, &format!("{base}/file?path=/home/a%20b.txt")).send().unwrap();
    assert_eq!(file.headers()["content-disposition"], "attachment; filename*=UTF-8''a%20b.txt");
    assert_eq!(file.text().unwrap(), TEXT);
    let large = rita.request(Method::GET, &format!("{base}/file?disk=disk0&path=large")).send().unwrap();
    assert!(large.bytes().unwrap().iter().eq(vec![7; 3 << 20].iter()));
    for wrong in ["file?path=/nothing", "file?path=/home", "files?path=/large/x", "files?partition=1", "files?disk=x"] {
        let status = rita.get(&format!("{base}/{wrong}")).0;
        assert!([400, 404].contains(&status), "{wrong}: {status}");
    }
    assert_eq!(logged_in(&running, "admin").get(&format!("{base}/files")).0, 403);
    // What cannot be read is refused in words that do not speak of the program.
    let said = |(status, answer): (u16, Value)| (status, answer["error"]["message"].as_str().unwrap().to_owned());
    let (status, why) = said(rita.get("/api/v1/machines/web/points/abc"));
    assert_eq!((status, &*why), (400, "\"abc\" stands in the address where a number belongs"));
    let (status, why) = said(rita.get("/api/v1/machines/web/points?limit=many"));
    assert!(status == 400 && why.starts_with("what follows the question mark is not as it should be: "), "{why}");
    let (status, why) = said(rita.post("/api/v1/restores", &json!({ "machine": "web" })));
    assert!(why.starts_with("the request is not as it should be: missing field `point`"), "{status} {why}");

    let (_, log) = somebody(&running, "aud", "auditor", "all").get("/api/v1/audit?limit=500");
    let lines = log.as_array().unwrap();
    let of = |kind: &str, what: &str, success: Value| {
        let is = |line: &&Value| line["kind"] == kind && line["what"] == what && line["success"] == success;
        lines.iter().find(is).unwrap_or_else(|| panic!("no {kind} {what} in {log}"))
    };
    let intent = of("intent", "data.read", Value::Null);
    assert_eq!(intent["user"], "rita");
    let outcome = of("outcome", "data.read", json!(true));
    assert!(outcome["of"].as_u64().unwrap() < outcome["index"].as_u64().unwrap());
    let refused = of("event", "data.list", json!(false));
    assert_eq!((&refused["user"], &refused["object"]), (&json!("admin"), &json!(format!("{base}/files"))));
    let created = of("intent", "person.create", Value::Null);
    assert!(created["detail"].as_str().unwrap().contains("auditor") && !log.to_string().contains("correct horse"));
}

#[test]
fn points_are_listed_by_pages_and_seen_as_a_picture() {
    let data = tempfile::tempdir().unwrap();
    let running = server(data.path());
    (0..3).for_each(|_| point(&running, "web"));
    point(&running, "mail");
    let olga = somebody(&running, "olga", "operator", "machine:web");
    let (_, machines) = olga.get("/api/v1/machines");
    assert_eq!(machines.as_array().unwrap().len(), 1, "others are not seen: {machines}");
    assert_eq!((&machines[0]["name"], &machines[0]["newest_point"]), (&json!("web"), &json!(3)));
    assert_eq!(olga.get("/api/v1/machines/mail/points").0, 403);
    let (_, page) = olga.get("/api/v1/machines/web/points?limit=2");
    let numbers = |page: &Value| {
        page["points"].as_array().unwrap().iter().map(|p| p["point"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(numbers(&page), [3, 2]);
    let next = page["next"].as_str().unwrap();
    let (_, page) = olga.get(&format!("/api/v1/machines/web/points?limit=2&cursor={next}"));
    assert_eq!((numbers(&page), &page["next"]), (vec![1], &Value::Null));
    let (_, picture) = olga.get("/api/v1/machines/web/density?columns=4");
    assert_eq!(picture["points"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).sum::<u64>(), 3);
    assert_eq!(olga.get("/api/v1/machines/web/points?from=yesterday").0, 400);
    assert_eq!(olga.get("/api/v1/machines/web/points/9").0, 404);
    let (_, empty) = olga.get("/api/v1/machines/web/points?to=1999-01-01T00:00:00Z");
    assert_eq!(numbers(&empty), [0; 0]);
    let (_, space) = olga.get("/api/v1/space");
    assert_eq!(space["disk_bytes"], 16 << 20, "{space}");
    assert!(space["stored_bytes"].as_u64().unwrap() > 0 && space["free_bytes"].is_u64(), "{space}");
    let figures = olga.request(Method::GET, "/metrics").send().unwrap().text().unwrap();
    assert!(figures.contains("backstay_point_age_seconds{machine=\"web\"}") && !figures.contains("mail"), "{figures}");
}

#[test]
fn what_the_calendar_will_leave_is_told_before() {
    let data = tempfile::tempdir().unwrap();
    let running = server(data.path());
    (0..3).for_each(|_| point(&running, "web"));
    let (admin, olga) = (logged_in(&running, "admin"), somebody(&running, "olga", "operator", "machine:web"));
    let retention = |query: &str| olga.get(&format!("/api/v1/machines/web/retention?columns=1&{query}")).1;
    let left = |query: &str| retention(query)["left"][0].as_u64().unwrap();
    let forever = retention("at=2200-01-01T00:00:00Z");
    assert_eq!((&forever["keep"], &forever["left"]), (&Value::Null, &json!([3])), "nobody drops anything");
    assert_eq!(olga.get("/api/v1/machines/web/points").1["points"][0]["kept"], Value::Null);
    let due = |machine: &str| {
        json!({ "every_seconds": 86_400, "work": {
            "kind": "forget", "machine": machine, "keep": { "all": 3600, "daily": 10 * 86_400 } } })
    };
    let set = |due: Value| answer(admin.request(Method::PUT, "/api/v1/calendar").json(&due).send().unwrap()).0;
    assert_eq!(set(due("mail")), 204);
    assert_eq!(left("at=2200-01-01T00:00:00Z"), 3, "it is about another machine");
    assert_eq!(set(due("web")), 204);
    let now = retention("");
    assert_eq!((&now["keep"]["daily"], &now["left"]), (&json!(864_000), &json!([3])));
    assert!(now["next"].is_string(), "{now}");
    // At midnight between two of them, one of each day is left.
    assert!((1..=2).contains(&left("at=2200-01-01T00:00:00Z")), "the newest stays in any case");
    let (_, page) = olga.get("/api/v1/machines/web/points");
    assert_eq!(page["points"][0]["kept"], json!({ "until": null, "as": "newest" }));
    assert!(page["points"][1]["kept"]["until"].is_string(), "{page}");
    let (_, oldest) = olga.get("/api/v1/machines/web/points?order=oldest&limit=1");
    assert_eq!(oldest["points"][0]["kept"], page["points"][2]["kept"]);
    let (_, one) = olga.get("/api/v1/machines/web/points/3");
    assert_eq!((&one["kept"]["as"], &one["frozen_ms"]), (&json!("newest"), &Value::Null));
    assert_eq!(olga.get("/api/v1/machines/web/retention?at=tomorrow").0, 400);
    assert_eq!(olga.get("/api/v1/machines/web/retention?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z").0, 400);
}

#[test]
fn a_machine_is_suspended_and_resumed() {
    let data = tempfile::tempdir().unwrap();
    let running = server(data.path());
    point(&running, "web");
    let olga = somebody(&running, "olga", "operator", "machine:web");
    let suspend = json!({ "reason": "moving house", "seconds": 600 });
    assert_eq!(olga.post("/api/v1/machines/web/suspend", &suspend).0, 200);
    assert_eq!(olga.get("/api/v1/machines/web").1["suspended"]["reason"], "moving house");
    assert_eq!(olga.post("/api/v1/machines/mail/suspend", &suspend).0, 403);
    assert_eq!(olga.post("/api/v1/machines/web/resume", &json!({})).0, 204);
    assert_eq!(olga.post("/api/v1/machines/web/resume", &json!({})).0, 409);
}

/// Waits for a job to end.
fn ended(client: &Client, id: &Value) -> Value {
    let patience = Instant::now() + Duration::from_secs(60);
    loop {
        let (_, job) = client.get(&format!("/api/v1/jobs/{id}"));
        if job["state"] != "running" {
            return job;
        }
        assert!(Instant::now() < patience, "{job}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn jobs_drop_points_give_space_back_and_check() {
    let data = tempfile::tempdir().unwrap();
    let running = server(data.path());
    (0..3).for_each(|_| point(&running, "web"));
    let olga = somebody(&running, "olga", "operator", "all");
    let forget = json!({ "kind": "forget", "keep": { "yearly": 400_000_000 } });
    let (_, plan) = olga.post("/api/v1/plans", &forget);
    assert_eq!(plan["machines"][0]["drop"].as_array().unwrap().len(), 2, "{plan}");
    assert_eq!(olga.post("/api/v1/jobs", &json!({ "kind": "forget", "keep": {} })).0, 400);
    let run = |work: Value| {
        let patience = Instant::now() + Duration::from_secs(60);
        loop {
            let (status, started) = olga.post("/api/v1/jobs", &work);
            if status == 202 {
                return ended(&olga, &started["id"]);
            }
            // The one before is told to have ended a moment before its seat is free.
            assert!(status == 409 && Instant::now() < patience, "{started}");
        }
    };
    let done = run(forget);
    assert_eq!((&done["state"], &done["result"]["dropped"]), (&json!("done"), &json!(2)), "{done}");
    assert_eq!(run(json!({ "kind": "reclaim" }))["state"], "done");
    let checked = run(json!({ "kind": "check", "read_data": true }));
    assert_eq!((&checked["result"]["clean"], &checked["by"]), (&json!(true), &json!("olga")), "{checked}");
    assert_eq!(olga.get("/api/v1/jobs").1.as_array().unwrap().len(), 3);
    assert_eq!(olga.post("/api/v1/jobs/1/cancel", &json!({})).0, 404, "it has ended");
}

#[test]
fn the_calendar_starts_what_is_due() {
    let data = tempfile::tempdir().unwrap();
    let running = server(data.path());
    let admin = logged_in(&running, "admin");
    let due = json!({ "work": { "kind": "check" }, "every_seconds": 3600, "next": "2020-01-01T00:00:00Z" });
    assert_eq!(answer(admin.request(Method::PUT, "/api/v1/calendar").json(&due).send().unwrap()).0, 204);
    let patience = Instant::now() + Duration::from_secs(60);
    let job = loop {
        let (_, jobs) = admin.get("/api/v1/jobs");
        if let Some(job) = jobs.as_array().unwrap().first() {
            break job.clone();
        }
        assert!(Instant::now() < patience);
        std::thread::sleep(Duration::from_millis(100));
    };
    assert_eq!((&job["by"], &job["work"]["kind"]), (&json!("calendar"), &json!("check")));
    ended(&admin, &job["id"]);
}

#[test]
fn news_is_told_to_those_who_may_see_it() {
    let data = tempfile::tempdir().unwrap();
    let running = server(data.path());
    let olga = somebody(&running, "olga", "operator", "machine:web");
    let stream = olga.request(Method::GET, "/api/v1/events").send().unwrap();
    assert_eq!(stream.status(), 200);
    for machine in ["mail", "web"] {
        running.server().live.tell(News::Joined { machine: machine.into() });
    }
    let line = BufReader::new(stream).lines().map(Result::unwrap).find(|line| line.starts_with("data:")).unwrap();
    assert!(line.contains("web") && line.contains("joined"), "{line}");
}
