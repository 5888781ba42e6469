//! What happens now, for those who watch.
//!
//! Never knows: who watches, or how they are told.

use serde::Serialize;
use tokio::sync::broadcast;

/// Something that happened.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum News {
    /// A point was made.
    Point {
        /// Of which machine.
        machine: String,
        /// Its number.
        point: u64,
        /// The moment it shows (RFC 3339).
        time: String,
        /// Pages found changed.
        changed_pages: u64,
        /// Bytes added to the store.
        stored_bytes: u64,
    },
    /// An agent connected.
    Joined {
        /// Of which machine.
        machine: String,
    },
    /// An agent is gone.
    Left {
        /// Of which machine.
        machine: String,
        /// Why, if not because it ended the session.
        why: Option<String>,
    },
    /// Points of a machine could not be made.
    Failed {
        /// Of which machine.
        machine: String,
        /// Why.
        why: String,
    },
    /// No points of a machine are wanted for a time, or again.
    Suspended {
        /// Of which machine.
        machine: String,
        /// Until when (RFC 3339); nothing: they are wanted again.
        until: Option<String>,
    },
    /// A job began, went on or ended.
    Job {
        /// Which.
        job: i64,
        /// The machine that it is about, if it is about one.
        machine: Option<String>,
        /// Its state.
        state: String,
        /// Steps done.
        done: u64,
        /// Steps there are; 0: nobody knows.
        total: u64,
    },
    /// Something needs a person, or does not any more.
    Alert {
        /// What kind of thing.
        kind: String,
        /// What it is about.
        subject: String,
        /// It began; else it ended.
        began: bool,
    },
}

impl News {
    /// The machine that it is about, if it is about one.
    pub(crate) fn machine(&self) -> Option<&str> {
        match self {
            News::Point { machine, .. }
            | News::Joined { machine }
            | News::Left { machine, .. }
            | News::Failed { machine, .. }
            | News::Suspended { machine, .. } => Some(machine),
            News::Job { machine, .. } => machine.as_deref(),
            News::Alert { .. } => None,
        }
    }
}

/// Where news is told. Nobody is waited for: who is too slow misses some.
#[derive(Clone, Debug)]
pub struct Live(broadcast::Sender<News>);

impl Default for Live {
    fn default() -> Self {
        Live(broadcast::channel(1024).0)
    }
}

impl Live {
    /// Tells everybody who watches now.
    pub fn tell(&self, news: News) {
        let _ = self.0.send(news); // nobody watching is no failure
    }

    /// All that is told from now on.
    pub(crate) fn watch(&self) -> broadcast::Receiver<News> {
        self.0.subscribe()
    }
}
