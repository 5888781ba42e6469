//! What a server needs to go on elsewhere, put into the store whenever it changed: at once for some changes, then once a minute, and
//! when the server ends. And whether the vault is this server's still.
//!
//! Never knows: what is in the files.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use backstay_format::served::Kept;
use backstay_vault::VaultError;
use sha2::{Digest as _, Sha256};
use tracing::warn;

use super::claim::{self, Mine};
use crate::{Server, ServerError, words};

/// Where the catalogue is, and where a copy of it is made.
pub(crate) const CATALOGUE: &str = "catalogue.sqlite";
const COPY: &str = "catalogue.kept";
/// How the server was started, in the words of whoever started it.
pub(crate) const SETTINGS: &str = "settings";
/// What opens the store is not put into the store.
const NOT_KEPT: [&str; 2] = ["keys/store", claim::FILE];

/// From one look to the next, and to the next at the claims, which costs a request where the store is far away.
const LOOK: Duration = Duration::from_secs(1);
const NEAR: u64 = 5;
const FAR: u64 = 60;
/// So many changes are kept at once; for each, a minute must have passed before the next so many.
const AT_ONCE: u32 = 6;
const LEAST: Duration = Duration::from_secs(60);
/// Reading it all takes no more of the time than one part of so many.
const SHARE: u32 = 20;

/// The newest of what was kept stay, and of those before them every sixteenth, so many of these.
const NEWEST: usize = 4;
const EVERY: u64 = 16;
const OLDER: usize = 16;

/// What was kept last.
pub(crate) struct Keeper {
    root: PathBuf,
    settings: String,
    mine: Mine,
    last: tokio::sync::Mutex<Last>,
}

struct Last {
    /// When it is looked at again.
    next: Instant,
    /// Changes that may be kept at once, and since when there is one less than there was.
    allowed: u32,
    since: Instant,
    /// How files looked then.
    looks: Vec<Option<(u64, SystemTime)>>,
    /// SHA-256 of what was kept.
    digest: [u8; 32],
}

impl Last {
    fn new() -> Last {
        let now = Instant::now();
        Last { next: now, allowed: AT_ONCE, since: now, looks: Vec::new(), digest: [0; 32] }
    }

    /// Whether a change may be kept at this moment.
    fn may(&mut self, now: Instant) -> bool {
        let minutes = (now - self.since).as_secs() / LEAST.as_secs();
        self.since += LEAST * u32::try_from(minutes).unwrap_or(u32::MAX);
        self.allowed = AT_ONCE.min(self.allowed.saturating_add(u32::try_from(minutes).unwrap_or(u32::MAX)));
        self.allowed > 0
    }
}

impl Keeper {
    /// Of a data folder. `settings`: how the server was started.
    pub(crate) fn new(root: &Path, settings: &str, mine: Mine) -> Keeper {
        Keeper {
            root: root.to_owned(),
            settings: settings.to_owned(),
            mine,
            last: tokio::sync::Mutex::new(Last::new()),
        }
    }

    /// Which files there are to keep, but the catalogue.
    fn names(&self) -> std::io::Result<Vec<String>> {
        let mut names = Vec::new();
        for folder in ["ca", "keys"] {
            for entry in std::fs::read_dir(self.root.join(folder))? {
                let name = format!("{folder}/{}", entry?.file_name().to_string_lossy());
                // What is half written is whole under its own name next time.
                if !NOT_KEPT.contains(&name.as_str()) && !name.ends_with(".new") {
                    names.push(name);
                }
            }
        }
        names.sort();
        Ok(names)
    }

    fn looks(&self) -> Vec<Option<(u64, SystemTime)>> {
        let look = |name: &str| {
            let about = std::fs::metadata(self.root.join(name)).ok()?;
            Some((about.len(), about.modified().ok()?))
        };
        ["catalogue.sqlite", "catalogue.sqlite-wal", "ca", "keys"].map(look).to_vec()
    }

    /// Reads all of it. The catalogue is as it is at one instant.
    async fn gather(&self, server: &Server) -> Result<Kept, ServerError> {
        let copy = self.root.join(COPY);
        let failed = |place: &Path| {
            let place = place.to_owned();
            move |source| ServerError::Place { place, source }
        };
        drop(std::fs::remove_file(&copy));
        server.catalogue.copy_to(&copy).await?;
        let read = |name: &str| std::fs::read(self.root.join(name)).map_err(failed(&self.root.join(name)));
        let mut files = vec![(CATALOGUE.to_owned(), read(COPY)?)];
        std::fs::remove_file(&copy).map_err(failed(&copy))?;
        for name in self.names().map_err(failed(&self.root))? {
            let content = read(&name)?;
            files.push((name, content));
        }
        files.push((SETTINGS.to_owned(), self.settings.clone().into_bytes()));
        Ok(Kept { at: server.now(), files })
    }
}

/// Keeps what changed, and looks whether the vault is this server's still, until it is not.
pub(crate) async fn work(server: Arc<Server>) {
    let far = !server.vault.audit_copy().0.abilities().local;
    let every = if far { FAR } else { NEAR };
    let mut told = false;
    for look_no in 0_u64.. {
        tokio::time::sleep(LOOK).await;
        if look_no.is_multiple_of(every) && !is_mine(&server).await.unwrap_or(true) || server.record.forked() {
            let _ = server.superseded.set(());
            return;
        }
        let outcome = keep(&server, false).await;
        if let Err(error) = &outcome
            && !told
        {
            warn!("the server's own data cannot be kept in the store: {}", words(error));
        }
        told = outcome.is_err();
    }
}

async fn is_mine(server: &Arc<Server>) -> Result<bool, VaultError> {
    let there = server.clone();
    tokio::task::spawn_blocking(move || there.keeper.mine.holds(&there.vault)).await.unwrap_or(Ok(true))
}

/// Keeps what changed, if it is time, or `now`.
pub(crate) async fn keep(server: &Arc<Server>, now: bool) -> Result<(), ServerError> {
    let keeper = &server.keeper;
    let mut last = keeper.last.lock().await;
    let (looks, begun) = (keeper.looks(), Instant::now());
    let early = begun < last.next || !last.may(begun);
    if early && !now || last.looks == looks {
        return Ok(());
    }
    let kept = keeper.gather(server).await?;
    let digest: [u8; 32] = Sha256::digest(Kept { at: Default::default(), ..kept.clone() }.encode()).into();
    if digest != last.digest {
        let there = server.clone();
        let put = tokio::task::spawn_blocking(move || put(&there, &kept)).await;
        put.unwrap_or(Ok(()))?;
        last.allowed = last.allowed.saturating_sub(1);
    }
    (last.looks, last.digest) = (looks, digest);
    last.next = Instant::now() + begun.elapsed() * SHARE;
    Ok(())
}

/// Puts it behind what was kept before, and drops what is old.
fn put(server: &Server, kept: &Kept) -> Result<(), VaultError> {
    // Another server's is the newer now.
    if !server.keeper.mine.holds(&server.vault)? {
        return Ok(());
    }
    let mut numbers = server.vault.kept_numbers()?;
    let number = numbers.last().map_or(1, |newest| newest + 1);
    if server.vault.keep(number, kept)? {
        numbers.push(number);
        old(&numbers).into_iter().try_for_each(|number| server.vault.drop_kept(number))?;
    }
    Ok(())
}

/// Those of `numbers`, which rise, that are not needed any more.
fn old(numbers: &[u64]) -> Vec<u64> {
    let (before, _) = numbers.split_at(numbers.len().saturating_sub(NEWEST));
    let stays: Vec<u64> =
        before.iter().rev().filter(|number| number.is_multiple_of(EVERY)).take(OLDER).copied().collect();
    before.iter().filter(|number| !stays.contains(number)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_stay() {
        let mut there: Vec<u64> = Vec::new();
        for number in 1..=400 {
            there.push(number);
            let old = old(&there);
            there.retain(|number| !old.contains(number));
        }
        let older: Vec<u64> = (9..=24).map(|n| n * 16).collect();
        assert_eq!(there, [older, vec![397, 398, 399, 400]].concat());
        assert_eq!(old(&[1, 2, 3, 4]), [0; 0]);
    }

    #[test]
    fn some_at_once_and_then_one_a_minute() {
        let (mut last, start) = (Last::new(), Instant::now());
        let mut kept = |at: u64| {
            let may = last.may(start + Duration::from_secs(at));
            last.allowed -= u32::from(may);
            may
        };
        assert_eq!((0..10).filter(|_| kept(1)).count(), 6);
        assert!(kept(62) && !kept(63) && kept(130));
        assert_eq!((0..10).filter(|_| kept(3600)).count(), 6);
    }
}
