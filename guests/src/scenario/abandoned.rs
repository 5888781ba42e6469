//! `protect` is killed together with its watchdogs while the guest is held still by its agent.
//!
//! Never knows: how a guest is run.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::host::Host;
use super::outside::{DISKS, MAKE};
use crate::fail::{During, Fail, Result, ensure};
use crate::guest::{Guest, Parts};
use crate::programs::run as run_here;

/// How often at most, and how often a guest must be met still.
const ROUNDS: u64 = 24;
const ENOUGH: u32 = 3;
/// How long the second watchdog may take.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn run(parts: &Parts<'_>) -> Result<String> {
    let mut guest = Guest::start_on_qcow2(parts, &[512, 512])?;
    let host = Host::new(parts)?;
    guest.run(MAKE)?;
    once(&host)?;
    let (mut by_second, mut by_next, mut rounds) = (0, 0, 0);
    while rounds < ROUNDS && (by_second < ENOUGH || by_next < ENOUGH) {
        let all = rounds % 2 == 0;
        let was_still = u32::from(kill(&host, rounds * 17, all)?);
        match all {
            true => by_next += was_still,
            false => by_second += was_still,
        }
        if !all {
            freed(&host)?;
        }
        once(&host)?;
        ensure(!is_still(&host)?, || format!("round {rounds}: the guest is still"))?;
        guest.run(&format!("echo {rounds} >/mnt/data/round && echo {rounds} >/mnt/more/round && sync"))?;
        rounds += 1;
    }
    ensure(by_second > 0 && by_next > 0, || format!("never met still: {by_second}, {by_next}"))?;
    host.judge(host.points()?.last().unwrap_or(&Value::Null), DISKS)?;
    guest.shut_down()?;
    Ok(format!(
        "{rounds} times: killed with its watchdog, the guest was still {by_second} times, and was let go by the second; killed with both, \
         {by_next} times, and was let go by the next"
    ))
}

fn once(host: &Host<'_>) -> Result<()> {
    let mut protecting = host.protect_qemu(DISKS, &["--once"])?;
    let status = protecting.end()?;
    let points = host.points()?;
    let note = points.last().and_then(|point| point["note"].as_str()).unwrap_or_default();
    ensure(status == Some(0) && note.starts_with("held still"), || {
        format!("{status:?} {note} {}", protecting.log().unwrap_or_default())
    })
}

/// Kills one in the middle of a point, with its watchdog and, if `all`, the second. Whether the guest was still then.
fn kill(host: &Host<'_>, later: u64, all: bool) -> Result<bool> {
    let protecting = host.protect_qemu(DISKS, &["--once"])?;
    host.held()?;
    std::thread::sleep(Duration::from_millis(later));
    let first = children(protecting.id())?;
    let second = first.first().map(|first| children(*first)).transpose()?.unwrap_or_default();
    let mut condemned = [&[protecting.id()][..], &first].concat();
    if all {
        condemned.extend(&second);
    }
    ensure(condemned.len() == 2 + usize::from(all), || format!("{condemned:?} are not what was to be killed"))?;
    // All stop before the first is killed, so that none sees the other's end.
    for signal in ["STOP", "KILL"] {
        run_here(Command::new("kill").args(["-s", signal]).args(condemned.iter().map(u32::to_string)))?;
    }
    is_still(host)
}

/// By itself, within a time.
fn freed(host: &Host<'_>) -> Result<()> {
    let patience = Instant::now() + PATIENCE;
    while is_still(host)? {
        ensure(Instant::now() < patience, || "nobody let the guest go".into())?;
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// What the agent says. It answers one at a time.
fn is_still(host: &Host<'_>) -> Result<bool> {
    let stream = UnixStream::connect(host.path("agent")).during("the agent")?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).during("the agent")?;
    let mut to = stream.try_clone().during("the agent")?;
    let ask = "{\"execute\":\"guest-sync\",\"arguments\":{\"id\":77}}\n{\"execute\":\"guest-fsfreeze-status\"}\n";
    to.write_all(ask.as_bytes()).during("the agent")?;
    let mut is_ours = false;
    for line in BufReader::new(stream).lines() {
        let line = line.during("the agent")?;
        let said: Value = serde_json::from_str(line.trim_start_matches('\u{FF}')).unwrap_or_default();
        if is_ours {
            return Ok(said["return"] == "frozen");
        }
        is_ours = said["return"] == 77;
    }
    Err(Fail::new("the agent is gone"))
}

/// Processes whose parent is this one.
fn children(parent: u32) -> Result<Vec<u32>> {
    let parent_of = |pid: &u32| {
        let about = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).unwrap_or_default();
        // After the name, which is in brackets: the state, and the parent.
        about.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)?.parse::<u32>().ok())
    };
    let all = fs::read_dir("/proc").during("/proc")?.flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(pids.filter(|pid| parent_of(pid) == Some(parent)).collect())
}
