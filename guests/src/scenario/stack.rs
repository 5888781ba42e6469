//! A disk with all that servers put on it, followed whole while everything on it is written.
//!
//! Never knows: how a guest is run.

use super::follow::{
    all_consistent, log, more_points, number, points, protect, stop, stop_writing, store, time, write,
};
use crate::fail::{Result, ensure};
use crate::guest::{Guest, Parts};

/// What is written in turn. vfat is not among them: it cannot be frozen.
const FOLDERS: &str = "/mnt/data /mnt/volume /mnt/safe";

pub(super) fn run(parts: &Parts<'_>) -> Result<String> {
    let mut guest = Guest::start(parts, &[560, 560])?;
    store(&mut guest)?;
    guest.run("stack.sh make /dev/vdb && stack.sh open /dev/vdb && cp /tools/judge.sh /mnt/efi/ && sync")?;
    protect(&mut guest, "/dev/vdb")?;
    more_points(&mut guest, 0, 1)?;
    write(&mut guest, FOLDERS, 1)?;
    let points = more_points(&mut guest, 1, 8)?;
    stop_writing(&mut guest)?;
    all_consistent(&points)?;
    let notes: Vec<_> = points.iter().map(|p| p["note"].as_str().unwrap_or_default()).collect();
    ensure(notes.iter().all(|note| note.contains("could not be held still: /mnt/efi")), || {
        format!("notes: {notes:?}")
    })?;
    // What was unmounted is compared byte by byte with the newest point.
    guest.run("stack.sh close /dev/vdb && sync")?;
    let there = self::points(&mut guest)?.len();
    // One that was under way may have begun before; the second cannot have.
    let all = more_points(&mut guest, there, 2)?;
    stop(&mut guest)?;
    guest.backstay("restore m --at latest --to /dev/vdc --yes")?;
    below_is_the_same(&mut guest)?;
    // From here on only the restored disk shows its parts: their names are the same.
    guest.run("partx --delete /dev/vdb; udevadm settle")?;
    let mut judged = Vec::new();
    for point in [&points[2], &points[5], &points[8], &all[all.len() - 1]] {
        guest.run("stack.sh hide /dev/vdc")?;
        guest.backstay(&format!("restore m --at {} --to /dev/vdc --delta --yes", time(point)))?;
        guest.run("udevadm settle; blockdev --rereadpt /dev/vdc || partx --update /dev/vdc; udevadm settle; stack.sh open /dev/vdc")?;
        let last = guest.run(&format!("cmp /mnt/efi/judge.sh /tools/judge.sh && judge.sh {FOLDERS}"))?;
        guest.run("stack.sh close /dev/vdc && stack.sh check /dev/vdc")?;
        judged.push(format!("{} up to file {}", number(point, "point"), last.trim()));
    }
    let said = log(&mut guest)?;
    ensure(!said.contains("may have been missed"), || said)?;
    guest.shut_down()?;
    Ok(format!("{} points of one moment under writers; judged {}", all.len(), judged.join(", ")))
}

/// LVM and LUKS are not looked into, so all of them is kept: on `/dev/vdc`, restored, as on `/dev/vdb`.
pub(super) fn below_is_the_same(guest: &mut Guest<'_>) -> Result<()> {
    let compare = "set -e
        udevadm settle
        for part in 3 4; do
            at=$(($(cat /sys/block/vdb/vdb$part/start) * 512)) bytes=$(($(cat /sys/block/vdb/vdb$part/size) * 512))
            blockdev --flushbufs /dev/vdb
            cmp --bytes=$bytes --ignore-initial=$at /dev/vdb /dev/vdc
        done";
    guest.run(compare).map(drop)
}
