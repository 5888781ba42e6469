//! What is looked after all the time: what others wrote to the vault, and machines that are late or have gaps.
//!
//! Never knows: who is told.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use backstay_audit::Event;
use backstay_format::units::Timestamp;

use crate::api::machines::{self, MachineText, Trouble};
use crate::catalogue::space::Taken;
use crate::moment::{SECOND, rfc3339};
use crate::{Server, ages, space};

/// From one look to the next.
const EVERY: Duration = Duration::from_secs(5);

/// Looks from one sign of life in the log to the next: a minute.
const HEARTBEAT: u64 = 12;

/// Looks from one note of what the store takes to the next: an hour. And for how long notes are kept.
const SPACE: u64 = 720;
const KEPT: i64 = 400 * 86_400 * SECOND;

/// Looks, for ever.
pub(crate) async fn watch(server: Arc<Server>) {
    let mut wrong = Wrong::new();
    let mut first = true;
    let there = server.clone();
    // So that nobody waits for it later; what cannot be read is found by whoever asks.
    drop(tokio::task::spawn_blocking(move || there.vault.learn_figures()));
    for look_no in 1_u64.. {
        let there = server.clone();
        // What the command line wrote to the same store; one that cannot be read is found by whoever asks.
        let _ = tokio::task::spawn_blocking(move || there.vault.refresh()).await;
        if let Ok(machines) = machines::all(&server, |_, _| true).await {
            wrong = look(&server, &machines, (&wrong, first)).await;
            first = false;
        }
        if look_no % SPACE == 1 {
            note_space(&server).await;
        }
        look_at_space(&server).await;
        server.end_quiet_series().await;
        ages::look(&server).await;
        if look_no % HEARTBEAT == 1 {
            ages::keep(&server).await;
        }
        if look_no.is_multiple_of(HEARTBEAT) {
            // A log that cannot be written is told to whoever wants something done that must be in it.
            let _ = server.record.append(Event::heartbeat(server.settings.hash())).await;
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Notes what the store takes.
async fn note_space(server: &Arc<Server>) {
    let there = server.clone();
    let packed = tokio::task::spawn_blocking(move || there.vault.packed()).await;
    if let Ok(Ok(packed)) = packed {
        let now = server.now();
        let (taken, oldest) = (Taken { at: now, stored: packed.bytes }, Timestamp(now.0.saturating_sub(KEPT)));
        // What cannot be noted is noted in an hour.
        let _ = server.catalogue.add_taken(taken, oldest).await;
    }
}

/// Tells when the disk that the store is on is nearly full, or soon will be.
async fn look_at_space(server: &Server) {
    let Some(left) = space::left(server.folder.as_deref()) else { return };
    let folder = server.folder.as_deref().map(|folder| folder.display().to_string()).unwrap_or_default();
    let seen = server.catalogue.taken().await.unwrap_or_default();
    let forecast = space::forecast(&seen, Some(left.free), server.now());
    let soon = forecast.filter(|forecast| forecast.is_soon(server.now()));
    let said = format!("{} of {} bytes are free", left.free, left.total);
    match soon.and_then(|forecast| forecast.full_at) {
        Some(at) => {
            let told = format!("{said}; as it grows now, it is full by {}", rfc3339(at));
            server.alert("space", &folder, &told).await;
        }
        None if left.is_little() => server.alert("space", &folder, &said).await,
        None => server.all_clear("space", &folder).await,
    }
}

/// What is wrong with machines: of which kind, with which.
type Wrong = BTreeSet<(&'static str, String)>;

/// Tells what is wrong now, and what was; the first time, of everybody, for alerts outlive the server.
async fn look(server: &Server, machines: &[MachineText], (before, all): (&Wrong, bool)) -> Wrong {
    let mut now = Wrong::new();
    for machine in machines {
        for (kind, told) in [("late", late(machine)), ("gap", machine.hole.clone())] {
            let about = (kind, machine.name.clone());
            let was = before.contains(&about);
            match told {
                Some(told) => {
                    if !was || all {
                        server.alert(kind, &machine.name, &told).await;
                    }
                    now.insert(about);
                }
                None if was || all => server.all_clear(kind, &machine.name).await,
                None => {}
            }
        }
    }
    // Of machines that are no more nothing is expected.
    for (kind, name) in before.iter().filter(|(_, name)| machines.iter().all(|machine| machine.name != *name)) {
        server.all_clear(kind, name).await;
    }
    now
}

fn late(machine: &MachineText) -> Option<String> {
    machine.trouble.contains(&Trouble::Late).then(|| match &machine.newest {
        Some(newest) => format!("no point for longer than promised; the newest is of {newest}"),
        None => "no point for longer than promised, nor ever before".to_owned(),
    })
}
