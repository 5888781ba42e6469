//! What all scenarios do: a store, a followed disk, writers, points.
//!
//! Never knows: what is on the disks.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::fail::{Fail, Result, ensure};
use crate::guest::{Guest, SETTINGS};

/// How long to wait for points.
const PATIENCE: Duration = Duration::from_secs(240);

/// Makes a store.
pub(super) fn store(guest: &mut Guest<'_>) -> Result<()> {
    guest.run("cd /var/lib/backstay && echo a passphrase >passphrase && cp /tools/*.sh /usr/local/sbin/ && chmod +x /usr/local/sbin/*.sh")?;
    guest.backstay("init $BACKSTAY_STORE").map(drop)
}

/// Begins to follow disks as machine `m`; what it says goes to a log.
pub(super) fn protect(guest: &mut Guest<'_>, disks: &str) -> Result<()> {
    let command = format!(
        "{SETTINGS}\nsystemd-run --quiet --collect --unit=protect --setenv=BACKSTAY_STORE --setenv=BACKSTAY_PASSPHRASE_FILE \
         --property=KillSignal=SIGINT --property=StandardOutput=append:/var/lib/backstay/log \
         --property=StandardError=append:/var/lib/backstay/log /tools/backstay protect {disks} --machine m --every 3s"
    );
    guest.run(&command).map(drop)
}

/// Stops it; changes go on being marked.
pub(super) fn stop(guest: &mut Guest<'_>) -> Result<()> {
    guest.run("systemctl stop protect").map(drop)
}

/// What it said so far.
pub(super) fn log(guest: &mut Guest<'_>) -> Result<String> {
    guest.run("cat /var/lib/backstay/log")
}

/// Begins to write files into folders in turn, from a number on.
pub(super) fn write(guest: &mut Guest<'_>, folders: &str, from: u64) -> Result<()> {
    let command =
        format!("systemd-run --quiet --collect --unit=writer --setenv=FROM={from} /tools/writer.sh {folders}");
    guest.run(&command.replace("/tools/writer.sh", "/bin/bash /tools/writer.sh")).map(drop)
}

/// Ends that, if it was not ended by a restart.
pub(super) fn stop_writing(guest: &mut Guest<'_>) -> Result<()> {
    guest.run("! systemctl --quiet is-active writer || systemctl stop writer").map(drop)
}

/// The points of machine `m`.
pub(super) fn points(guest: &mut Guest<'_>) -> Result<Vec<Value>> {
    let said = guest.ask(&format!("{SETTINGS}\n/tools/backstay points m --json"))?;
    match said.status {
        0 => serde_json::from_str(&said.said).map_err(|e| Fail::new(format!("{e}: {}", said.said))),
        // There is no machine before its first point.
        _ => Ok(Vec::new()),
    }
}

/// Waits until there are so many points more than `than`; answers all.
pub(super) fn more_points(guest: &mut Guest<'_>, than: usize, more: usize) -> Result<Vec<Value>> {
    let patience = Instant::now() + PATIENCE;
    loop {
        let points = points(guest)?;
        if points.len() >= than + more {
            return Ok(points);
        }
        if Instant::now() > patience {
            let log = log(guest)?;
            return Err(Fail::new(format!("only {} points, {} were there before\n{log}", points.len(), than)));
        }
        guest.run("sleep 2")?;
    }
}

/// A number of a point, or of a disk at it.
pub(super) fn number(point: &Value, name: &str) -> u64 {
    point[name].as_u64().unwrap_or_default()
}

/// The moment of a point.
pub(super) fn time(point: &Value) -> &str {
    point["time"].as_str().unwrap_or_default()
}

/// Each of the points is of one moment.
pub(super) fn all_consistent(points: &[Value]) -> Result<()> {
    let fuzzy = points.iter().find(|p| p["consistent"] != true);
    ensure(fuzzy.is_none(), || format!("a fuzzy point: {}", fuzzy.unwrap_or(&Value::Null)))
}
