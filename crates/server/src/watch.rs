//! What is looked after all the time: what others wrote to the vault, and machines that are late.
//!
//! Never knows: who is told.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use backstay_audit::Event;

use crate::api::machines::{self, MachineText, Trouble};
use crate::{Server, space};

/// From one look to the next.
const EVERY: Duration = Duration::from_secs(5);

/// Looks from one sign of life in the log to the next: a minute.
const HEARTBEAT: u64 = 12;

/// Looks, for ever.
pub(crate) async fn watch(server: Arc<Server>) {
    let mut late = BTreeSet::new();
    let mut first = true;
    for look_no in 1_u64.. {
        let there = server.clone();
        // What the command line wrote to the same store; one that cannot be read is found by whoever asks.
        let _ = tokio::task::spawn_blocking(move || there.vault.refresh()).await;
        if let Ok(machines) = machines::all(&server, |_, _| true).await {
            late = look(&server, &machines, (&late, first)).await;
            first = false;
        }
        look_at_space(&server).await;
        server.end_quiet_series().await;
        if look_no.is_multiple_of(HEARTBEAT) {
            // A log that cannot be written is told to whoever wants something done that must be in it.
            let _ = server.record.append(Event::heartbeat(server.config)).await;
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Tells when the disk that the store is on fills up.
async fn look_at_space(server: &Server) {
    let Some(left) = space::left(server.folder.as_deref()) else { return };
    let folder = server.folder.as_deref().map(|folder| folder.display().to_string()).unwrap_or_default();
    match left.is_little() {
        true => server.alert("space", &folder, &format!("{} of {} bytes are free", left.free, left.total)).await,
        false => server.all_clear("space", &folder).await,
    }
}

/// Tells who is late now, and who was; the first time, everybody, for alerts outlive the server.
async fn look(server: &Server, machines: &[MachineText], (before, all): (&BTreeSet<String>, bool)) -> BTreeSet<String> {
    let is_late = |machine: &&MachineText| machine.trouble.contains(&Trouble::Late);
    let now: BTreeSet<String> = machines.iter().filter(is_late).map(|machine| machine.name.clone()).collect();
    for machine in machines {
        let (was, is) = (before.contains(&machine.name), now.contains(&machine.name));
        if is && (!was || all) {
            let newest = machine.newest.as_deref().unwrap_or("never");
            server
                .alert("late", &machine.name, &format!("no point for longer than promised; the newest is of {newest}"))
                .await;
        } else if !is && (was || all) {
            server.all_clear("late", &machine.name).await;
        }
    }
    now
}
