//! An event: what is to be appended, in plain words. The log makes a record of it.
//!
//! Never knows: how records are written, or when.

use crate::error::AuditError;
use crate::names::Names;
use crate::record::{Change, Kind};
use crate::tree::Hash;

/// Bytes that each name of an event may have.
const MOST_NAME: usize = 4096;
/// Bytes that its detail may have.
const MOST_DETAIL: usize = 16 << 10;

/// What kind of thing happened: 1 to 64 of `a-z 0-9 . _ -`, such as `restore.read`. Not secret, and never expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct What(String);

impl What {
    /// Checks the word. `None`: not one.
    pub fn new(word: impl Into<String>) -> Option<What> {
        let word = word.into();
        let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
        (!word.is_empty() && word.len() <= 64 && word.bytes().all(plain)).then_some(What(word))
    }

    /// The word.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What happened, or is about to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Which part it plays in the log.
    pub kind: Kind,
    /// What was done.
    pub what: What,
    /// Who did it, to what, from where, and more. Kept sealed beside the log, so that it can expire.
    pub names: Names,
    /// Whether it was done. `None` for what has yet to be.
    pub success: Option<bool>,
    /// The request that it belongs to.
    pub request: Option<[u8; 16]>,
    /// What became of the configuration.
    pub config: Option<Change>,
}

impl Event {
    /// Something that happened, or was refused.
    ///
    /// # Panics
    /// When `what` is no such word: it is written in the program, not typed by people.
    pub fn new(kind: Kind, what: &str) -> Event {
        let what = What::new(what).expect("events are named in the program");
        Event { kind, what, names: Names::default(), success: None, request: None, config: None }
    }

    /// Something that happened (`true`) or was refused or failed.
    pub fn done(what: &str, success: bool) -> Event {
        Event { success: Some(success), ..Event::new(Kind::Event, what) }
    }

    /// Something that is about to be done, and will have an outcome.
    pub fn intent(what: &str) -> Event {
        Event::new(Kind::Intent, what)
    }

    /// What became of the intent with that number.
    pub fn outcome(of: u64, what: &str, success: bool) -> Event {
        Event { success: Some(success), ..Event::new(Kind::Outcome { of }, what) }
    }

    /// Nothing happened, and the log is alive; with the hash of the configuration as it is.
    pub fn heartbeat(config: Hash) -> Event {
        Event { config: Some(Change { before: config, after: config }), ..Event::new(Kind::Heartbeat, "heartbeat") }
    }

    /// The log's owner has started, with this configuration.
    pub fn started(config: Hash) -> Event {
        Event { config: Some(Change { before: config, after: config }), ..Event::new(Kind::Started, "started") }
    }

    /// The log's owner ends as it should.
    pub fn stopped() -> Event {
        Event::new(Kind::Stopped, "stopped")
    }

    /// Who did it: a person's or machine's name.
    #[must_use]
    pub fn by(mut self, user: &str) -> Event {
        self.names.user = user.to_owned();
        self
    }

    /// To what.
    #[must_use]
    pub fn on(mut self, object: &str) -> Event {
        self.names.object = object.to_owned();
        self
    }

    /// From where: an address.
    #[must_use]
    pub fn from(mut self, address: &str) -> Event {
        self.names.from = address.to_owned();
        self
    }

    /// More about it, such as the old and new settings.
    #[must_use]
    pub fn detail(mut self, detail: &str) -> Event {
        self.names.detail = detail.to_owned();
        self
    }

    /// The request that it belongs to.
    #[must_use]
    pub fn request(mut self, id: [u8; 16]) -> Event {
        self.request = Some(id);
        self
    }

    /// Hashes of the configuration before and after.
    #[must_use]
    pub fn config(mut self, before: Hash, after: Hash) -> Event {
        self.config = Some(Change { before, after });
        self
    }

    /// Refuses what no record can hold.
    pub(crate) fn check(&self) -> Result<(), AuditError> {
        let short = [&self.names.user, &self.names.object, &self.names.from];
        if short.iter().any(|name| name.len() > MOST_NAME) {
            return Err(AuditError::Event("a name of more than 4096 bytes"));
        }
        if self.names.detail.len() > MOST_DETAIL {
            return Err(AuditError::Event("a detail of more than 16 KiB"));
        }
        match (self.kind, self.success) {
            (Kind::Intent, Some(_)) => Err(AuditError::Event("an outcome before it happened")),
            (Kind::Outcome { .. }, None) => Err(AuditError::Event("an outcome that is neither success nor failure")),
            _ => Ok(()),
        }
    }
}
