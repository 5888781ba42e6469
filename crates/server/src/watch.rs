//! What is looked after all the time: what others wrote to the vault, and machines that are late.
//!
//! Never knows: who is told.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::Server;
use crate::api::machines::{self, MachineText, Trouble};

/// From one look to the next.
const EVERY: Duration = Duration::from_secs(5);

/// Looks, for ever.
pub(crate) async fn watch(server: Arc<Server>) {
    let mut late = BTreeSet::new();
    let mut first = true;
    loop {
        let there = server.clone();
        // What the command line wrote to the same store; one that cannot be read is found by whoever asks.
        let _ = tokio::task::spawn_blocking(move || there.vault.refresh()).await;
        if let Ok(machines) = machines::all(&server, |_, _| true).await {
            late = look(&server, &machines, (&late, first)).await;
            first = false;
        }
        tokio::time::sleep(EVERY).await;
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
