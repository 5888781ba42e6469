//! Finds the watchdog of a process: the same program, started by it.
//!
//! Never knows: what it watches.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

/// SIGKILL for the watchdogs that a process started; how many there were.
pub(super) fn kill(of: u32) -> usize {
    let found = children(of);
    for id in &found {
        let _ = kill_process(*id, Signal::KILL); // it may just have ended
    }
    found.len()
}

fn children(of: u32) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    ids.filter(|id| is_watchdog(*id, of)).filter_map(Pid::from_raw).collect()
}

fn is_watchdog(id: i32, of: u32) -> bool {
    let read = |name: &str| fs::read_to_string(format!("/proc/{id}/{name}")).unwrap_or_default();
    let parent = read("status").lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse::<u32>().ok());
    parent == Some(of) && read("cmdline").contains("watchdog")
}
