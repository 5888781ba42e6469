//! A clock that jumps: nothing lasts longer for it, and nobody is shut out for good.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use backstay_env::time::Clock;
use backstay_format::rows::Consistency;
use backstay_format::units::Timestamp;
use backstay_server::{Running, Settings};
use backstay_vault::gap::Promise;
use backstay_vault::protect::{Capture, Progress, Source, Verdict};
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Client, logged_in, set_up, somebody};
use crate::enrol::{code, connects, enrol};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// The clock on the wall, set wrong by some seconds.
#[derive(Clone, Default)]
struct Wrong(Arc<AtomicI64>);

impl Wrong {
    fn by(&self, seconds: i64) {
        self.0.store(seconds, Ordering::SeqCst);
    }

    fn seconds(&self) -> u64 {
        (self.now().0 / 1_000_000_000) as u64
    }
}

impl Clock for Wrong {
    fn now(&self) -> Timestamp {
        let right = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64;
        Timestamp(right + self.0.load(Ordering::SeqCst) * 1_000_000_000)
    }
}

fn running(data: &tempfile::TempDir) -> (Running, Wrong) {
    let clock = Wrong::default();
    let settings = Settings { clock: Arc::new(clock.clone()), ..Settings::for_tests(data.path()) };
    let running = Running::start(settings).unwrap();
    set_up(&running);
    (running, clock)
}

#[test]
fn sessions_tokens_and_codes_end_however_the_clock_is_set() {
    let data = tempfile::tempdir().unwrap();
    let (running, clock) = running(&data);
    let olga = somebody(&running, "olga", "operator", "all");
    let token = |days: u64| {
        let token = json!({ "name": "ci", "role": "operator", "scope": "all", "days": days });
        let token = logged_in(&running, "olga").post("/api/v1/me/tokens", &token).1["token"].clone();
        Client::with_token(&running, token.as_str().unwrap())
    };
    let (program, early) = (token(2), code(&olga, "web"));
    let is_in = |client: &Client| client.get("/api/v1/machines").0 == 200;
    assert!(is_in(&olga) && is_in(&program));
    clock.by(2 * HOUR);
    assert!(!is_in(&olga) && is_in(&program), "an hour without a request");
    let ahead = logged_in(&running, "olga");
    clock.by(0);
    assert!(!is_in(&ahead), "a session from the future is none");
    clock.by(3 * DAY);
    assert!(!is_in(&program));
    let program = token(2);
    let late = code(&logged_in(&running, "olga"), "mail");
    clock.by(-DAY);
    assert!(!is_in(&program), "a token from the future is none");
    assert_eq!(enrol(&running, &late).0, 403, "nor is a code");
    clock.by(3 * DAY);
    assert_eq!((enrol(&running, &early).0, enrol(&running, &late).0), (403, 200), "one is over, the other is not");
}

#[test]
fn a_code_of_the_future_does_not_shut_its_owner_out() {
    let data = tempfile::tempdir().unwrap();
    let (running, clock) = running(&data);
    let admin = logged_in(&running, "admin");
    let (_, offered) = admin.post("/api/v1/me/totp", &json!({ "password": crate::client::PASSWORD }));
    let secret = data_encoding::BASE32_NOPAD.decode(offered["secret"].as_str().unwrap().as_bytes()).unwrap();
    let totp = totp_rs::Builder::new().with_secret(secret).build_noncompliant();
    assert_eq!(
        admin.post("/api/v1/me/totp/confirm", &json!({ "code": totp.generate(clock.seconds()).to_string() })).0,
        204
    );
    let login = |totp_code: String| -> u16 {
        let who: Value = json!({ "name": "admin", "password": crate::client::PASSWORD, "totp": totp_code });
        Client::of(&running).login_with(&who).0
    };
    clock.by(365 * DAY);
    assert_eq!(login(totp.generate(clock.seconds()).to_string()), 200);
    clock.by(HOUR);
    let now = totp.generate(clock.seconds()).to_string();
    assert_eq!((login(now.clone()), login(now)), (200, 401), "and each is good once all the same");
}

/// Two points of a machine, of one moment and the next.
fn two_points(running: &Running) {
    for seed in 1..3 {
        let disk = vec![seed; 1 << 16];
        let source = Source {
            name: "disk".into(),
            origin: "memory".into(),
            used: std::iter::once(0..disk.len() as u64).collect(),
            volume: &disk,
            excluded: Vec::new(),
            exclusions: Vec::new(),
        };
        let capture = Capture {
            machine: "web",
            sources: vec![source],
            note: String::new(),
            verdict: &|| Verdict { consistency: Consistency::Still, stamps: vec![Vec::new()] },
            cancel: &AtomicBool::new(false),
            progress: &Progress::default(),
            promise: Promise::default(),
        };
        running.server().vault.protect(&capture).unwrap();
    }
}

#[test]
fn the_calendar_drops_nothing_by_a_clock_that_was_set_forward() {
    let data = tempfile::tempdir().unwrap();
    let (running, clock) = running(&data);
    two_points(&running);
    clock.by(365 * DAY);
    let admin = logged_in(&running, "admin");
    let keep = json!({ "kind": "forget", "machine": "web", "keep": { "all": 30 * DAY } });
    let due = json!({ "work": keep, "every_seconds": 3600, "next": "2000-01-01T00:00:00Z" });
    let set = admin.request(Method::PUT, "/api/v1/calendar").json(&due).send().unwrap();
    assert_eq!(set.status(), 204);
    let patience = Instant::now() + Duration::from_secs(60);
    let done = || admin.get("/api/v1/jobs").1.as_array().unwrap().iter().any(|job| job["state"] == "done");
    while !done() {
        assert!(Instant::now() < patience, "the calendar starts nothing");
        std::thread::sleep(Duration::from_millis(100));
    }
    let points = || admin.get("/api/v1/machines/web/points").1["points"].as_array().unwrap().len();
    assert_eq!(points(), 2, "a year has not passed");
    let (_, plan) = somebody(&running, "olga", "operator", "all").post("/api/v1/plans", &keep);
    assert_eq!(plan["machines"][0]["keep"], 1, "people are told what the clock says: {plan}");
    let alerts = || -> Vec<Value> {
        let (_, all) = logged_in(&running, "admin").get("/api/v1/alerts");
        all.as_array().unwrap().iter().filter(|alert| alert["kind"] == "clock").cloned().collect()
    };
    while alerts().is_empty() {
        assert!(Instant::now() < patience + Duration::from_secs(60), "nobody is told of the clock");
        std::thread::sleep(Duration::from_millis(500));
    }
    clock.by(0);
    while alerts()[0]["ended"].is_null() {
        assert!(Instant::now() < patience + Duration::from_secs(180), "it does not end");
        std::thread::sleep(Duration::from_millis(500));
    }
    assert_eq!(alerts().len(), 1, "told once");
}

#[test]
fn a_certificate_that_ended_is_none() {
    let data = tempfile::tempdir().unwrap();
    let (running, clock) = running(&data);
    clock.by(-398 * DAY);
    let early = enrol(&running, &code(&somebody(&running, "olga", "operator", "all"), "web"));
    assert_eq!(early.0, 200);
    clock.by(0);
    assert!(!connects(&running, &early.2), "it ended yesterday");
    let again = enrol(&running, &code(&logged_in(&running, "olga"), "web"));
    assert!(again.0 == 200 && connects(&running, &again.2), "the machine is enrolled again");
}
