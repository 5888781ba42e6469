//! A clock that jumps: nothing lasts longer for it, and nobody is shut out for good.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use backstay_env::time::Clock;
use backstay_format::units::Timestamp;
use backstay_server::{Running, Settings};
use serde_json::{Value, json};

use crate::client::{Client, logged_in, set_up, somebody};
use crate::enrol::{code, enrol};

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
