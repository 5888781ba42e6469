//! Power cuts: what was acknowledged survives, and afterwards only what differs is stored.
//!
//! Never knows: how a guest is run.

use super::follow::{
    all_consistent, log, more_points, number, points, protect, stop, stop_writing, store, time, write,
};
use crate::fail::{Result, ensure};
use crate::guest::{Guest, Parts};

const FOLDERS: &str = "/mnt/data /mnt/volume /mnt/safe";
/// How often the power goes.
const CUTS: u64 = 2;

pub(super) fn run(parts: &Parts<'_>) -> Result<String> {
    let mut guest = Guest::start(parts, &[560, 560])?;
    store(&mut guest)?;
    guest.run(
        "stack.sh make /dev/vdb && stack.sh open /dev/vdb && head -c 60M /dev/urandom >/mnt/volume/large && sync",
    )?;
    let mut found = Vec::new();
    for cut in 0..CUTS {
        let there = points(&mut guest)?.len();
        protect(&mut guest, "/dev/vdb")?;
        write(&mut guest, FOLDERS, cut * 10_000 + 1)?;
        let before = more_points(&mut guest, there, 3)?;
        guest.cut_power()?;
        guest.power_on()?;
        found.push(after_a_cut(&mut guest, before.len())?);
    }
    judge(&mut guest)?;
    guest.shut_down()?;
    Ok(format!("{CUTS} power cuts; {}", found.join(", ")))
}

/// All points are there, the disk is compared with the newest, and only differences are stored.
fn after_a_cut(guest: &mut Guest<'_>, before: usize) -> Result<String> {
    guest.run(": >/var/lib/backstay/log; stack.sh hide /dev/vdb; partx --update /dev/vdb; udevadm settle; stack.sh open /dev/vdb")?;
    // What was not flushed when the power went is nobody's promise.
    guest.run("rm -f /mnt/{data,volume,safe}/*-*")?;
    let there = points(guest)?.len();
    ensure(there >= before, || format!("{before} points were acknowledged, {there} are there"))?;
    protect(guest, "/dev/vdb")?;
    let all = more_points(guest, there, 3)?;
    all_consistent(&all[there..])?;
    let said = log(guest)?;
    ensure(said.contains("compar") && !said.contains("damaged"), || format!("after a power cut:\n{said}"))?;
    // All that is in use is some 80 MiB; the writers overwrite some hundred KiB a second.
    let stored: u64 = all[there..].iter().map(|point| number(point, "stored_bytes")).sum();
    ensure(stored < 40 << 20, || format!("{stored} bytes were stored after a power cut"))?;
    guest.run("systemctl stop protect")?;
    Ok(format!("{} KiB stored after one", stored >> 10))
}

/// A point before the last cut, and the newest.
fn judge(guest: &mut Guest<'_>) -> Result<()> {
    stop_writing(guest)?;
    let there = points(guest)?;
    protect(guest, "/dev/vdb")?;
    let all = more_points(guest, there.len(), 2)?;
    stop(guest)?;
    guest.run("stack.sh close /dev/vdb && partx --delete /dev/vdb; udevadm settle")?;
    for point in [&all[2], &all[all.len() - 1]] {
        guest.run("stack.sh hide /dev/vdc")?;
        guest.backstay(&format!("restore m --at {} --to /dev/vdc --delta --yes", time(point)))?;
        guest.run("udevadm settle; blockdev --rereadpt /dev/vdc || partx --update /dev/vdc; udevadm settle; stack.sh open /dev/vdc")?;
        guest.run(&format!("rm -f /mnt/*/new; judge.sh {FOLDERS}"))?;
        guest.run("stack.sh close /dev/vdc && stack.sh check /dev/vdc")?;
    }
    Ok(())
}
