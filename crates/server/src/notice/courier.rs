//! The courier: takes what is in the outbox to its channels, again and again until it was taken.
//!
//! A channel that fails is left alone for longer each time. Mail that would be much becomes one letter with all of it.
//!
//! Never knows: what a channel is.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::channel::{Channel, Letter};
use super::{Why, channels};
use crate::Server;
use crate::catalogue::outbox::Notice;

/// What happens together is told together.
const SETTLES: Duration = Duration::from_secs(1);
/// From one look to the next if nobody rings.
const LOOK: Duration = Duration::from_secs(60);
/// A channel that failed is left alone for so long, then twice as long each time, and at most so long.
const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(3600);
/// After so many failures in a row people are told, by other channels.
const SILENT: u32 = 3;
/// So many at once each get a letter of their own.
const FEW: usize = 3;
/// So many letters in so long; after that, one in a minute with all there is.
const MANY: usize = 10;
const WHILE: Duration = Duration::from_secs(600);
/// Notices that are looked at together.
const MOST: u32 = 500;

/// Rung when something is in the outbox.
#[derive(Default)]
pub(crate) struct Bell(Notify);

impl Bell {
    pub(crate) fn ring(&self) {
        self.0.notify_one();
    }
}

/// Takes letters to their channels, for ever.
pub(crate) async fn deliver(server: Arc<Server>) {
    let mut paces: HashMap<String, Pace> = HashMap::new();
    loop {
        let channels = channels(&server.settings.now());
        let names: Vec<String> = channels.iter().map(Channel::name).collect();
        paces.retain(|name, _| names.contains(name));
        let mut wait = LOOK;
        // A catalogue that cannot be used is tried again.
        if server.catalogue.keep_channels(&names).await.is_ok() {
            for channel in channels {
                let pace = paces.entry(channel.name()).or_default();
                wait = wait.min(round(&server, &channel, pace).await.unwrap_or(LOOK));
            }
        }
        tokio::select! {
            () = server.bell.0.notified() => tokio::time::sleep(SETTLES).await,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Takes what waits for a channel there; how long until there can be more to do.
async fn round(server: &Server, channel: &Channel, pace: &mut Pace) -> Result<Duration, sqlx::Error> {
    let name = channel.name();
    let (notices, lost) = server.catalogue.outbox(&name, MOST).await?;
    if notices.is_empty() {
        return Ok(LOOK);
    }
    let digests = matches!(channel, Channel::Email(..));
    let letters = match pace.plan(notices.len(), digests, Instant::now()) {
        Plan::Wait(time) => return Ok(time),
        Plan::Alone => notices.chunks(1).map(<[Notice]>::to_vec).collect(),
        Plan::Together => vec![notices],
    };
    for (first, notices) in letters.into_iter().enumerate().map(|(at, notices)| (at == 0, notices)) {
        let up_to = notices.last().map_or(0, |last| last.id);
        let letter = Letter { notices, lost: if first { lost } else { 0 } };
        if let Err(why) = channel.tell(&server.name, &letter).await {
            return Ok(failed(server, &name, pace, &why).await);
        }
        server.catalogue.told(&name, up_to).await?;
        tracing::info!(channel = name, notices = letter.notices.len(), "people were told");
        pace.sent(Instant::now());
        server.all_clear("delivery", &name).await;
    }
    Ok(Duration::ZERO)
}

async fn failed(server: &Server, name: &str, pace: &mut Pace, why: &Why) -> Duration {
    let wait = pace.failed(Instant::now());
    tracing::warn!(channel = name, why, again_in_seconds = wait.as_secs(), "nobody could be told");
    if pace.failures >= SILENT {
        server.alert("delivery", name, &format!("nobody can be told of alerts this way: {why}")).await;
    }
    wait
}

/// How fast a channel is used.
#[derive(Debug, Default)]
struct Pace {
    failures: u32,
    not_before: Option<Instant>,
    /// When letters were sent lately.
    sent: VecDeque<Instant>,
}

/// What to do with what waits.
#[derive(Debug, PartialEq, Eq)]
enum Plan {
    Alone,
    Together,
    Wait(Duration),
}

impl Pace {
    fn plan(&mut self, waiting: usize, digests: bool, now: Instant) -> Plan {
        if let Some(left) = self.not_before.and_then(|then| then.checked_duration_since(now)).filter(|d| !d.is_zero()) {
            return Plan::Wait(left);
        }
        if !digests {
            return Plan::Alone;
        }
        while self.sent.front().is_some_and(|then| now.duration_since(*then) > WHILE) {
            self.sent.pop_front();
        }
        let rest = self.sent.back().map_or(LOOK, |last| now.duration_since(*last));
        match (self.sent.len() < MANY, waiting <= FEW) {
            (true, true) => Plan::Alone,
            (true, false) => Plan::Together,
            (false, _) if rest >= LOOK => Plan::Together,
            (false, _) => Plan::Wait(LOOK - rest),
        }
    }

    fn sent(&mut self, now: Instant) {
        (self.failures, self.not_before) = (0, None);
        self.sent.push_back(now);
        self.sent.truncate(10 * MANY);
    }

    /// It failed; how long it is left alone.
    fn failed(&mut self, now: Instant) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let wait = FIRST.saturating_mul(1 << (self.failures - 1).min(20)).min(LONGEST);
        self.not_before = now.checked_add(wait);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_that_fails_is_left_alone_for_longer_each_time() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        let waits: Vec<u64> = (0..11).map(|_| pace.failed(now).as_secs()).collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]);
        assert_eq!(pace.plan(1, true, now), Plan::Wait(LONGEST));
        assert_eq!(pace.plan(1, true, now + LONGEST), Plan::Alone);
        pace.sent(now);
        assert_eq!((pace.failures, pace.failed(now)), (0, FIRST));
    }

    #[test]
    fn a_flood_becomes_one_letter_a_minute() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        assert_eq!((pace.plan(3, true, now), pace.plan(4, true, now)), (Plan::Alone, Plan::Together));
        assert_eq!(pace.plan(400, false, now), Plan::Alone, "programs sort it out themselves");
        (0..MANY).for_each(|_| pace.sent(now));
        assert_eq!(pace.plan(1, true, now + Duration::from_secs(20)), Plan::Wait(Duration::from_secs(40)));
        assert_eq!(pace.plan(1, true, now + LOOK), Plan::Together);
        assert_eq!(pace.plan(1, true, now + 2 * WHILE), Plan::Alone);
    }
}
