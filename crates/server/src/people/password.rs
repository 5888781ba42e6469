//! Passwords: how long they must be, and checking one without letting guesses take the machine.
//!
//! Never knows: whose they are.

use backstay_format::keys::Argon2Cost;
use backstay_seal::password;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// At least so many characters; which ones is nobody's business.
const SHORTEST: usize = 12;
/// At most so many bytes.
const LONGEST: usize = 1024;

/// Why this cannot be a password; `None`: it can.
pub(crate) fn refuse(password: &str) -> Option<String> {
    match password.chars().count() {
        count if count < SHORTEST => Some(format!("a password has at least {SHORTEST} characters")),
        _ if password.len() > LONGEST => Some(format!("a password has at most {LONGEST} bytes")),
        _ => None,
    }
}

/// Where passwords are worked on: few at a time, for each takes much memory.
pub(crate) struct Press {
    cost: Argon2Cost,
    seats: Semaphore,
    /// Of nobody's password, so that a name that is not there takes as long as one that is.
    nobody: String,
}

impl Press {
    pub(crate) fn new(cost: Argon2Cost) -> Press {
        let nobody = password::keep(b"nobody's password", cost, &[0; 16]);
        Press { cost, seats: Semaphore::new(2), nobody }
    }

    /// What is to be kept of a password.
    pub(crate) async fn keep(&self, typed: &str, salt: [u8; 16]) -> String {
        let (typed, cost) = (Zeroizing::new(typed.to_owned()), self.cost);
        self.run(move || password::keep(typed.as_bytes(), cost, &salt)).await.unwrap_or_default()
    }

    /// Whether this is the password; `None`: of somebody who is not there, which takes as long.
    pub(crate) async fn is(&self, typed: &str, kept: Option<&str>) -> bool {
        if typed.len() > LONGEST {
            return false;
        }
        let (typed, known) = (Zeroizing::new(typed.to_owned()), kept.is_some());
        let kept = kept.unwrap_or(&self.nobody).to_owned();
        self.run(move || password::is(typed.as_bytes(), &kept)).await.unwrap_or(false) && known
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let _seat = self.seats.acquire().await.ok()?;
        tokio::task::spawn_blocking(work).await.ok()
    }
}
