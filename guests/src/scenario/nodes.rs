//! Disks that are put together from others: refused by name, in words; followed by what they are made of.
//!
//! Never knows: how a guest is run.

use super::follow::{log, more_points, points, protect, stop, stop_writing, store, time, write};
use crate::fail::{Result, ensure};
use crate::guest::{Guest, Parts, SETTINGS};

const MAKE: &str = "set -e
mdadm --create /dev/md0 --run --quiet --assume-clean --level=1 --raid-devices=2 --metadata=1.2 --bitmap=internal /dev/vdb /dev/vdc
pvcreate -q /dev/vdd && vgcreate -q stack /dev/vdd && lvcreate -q -y -l 100%FREE -n volume stack
mkfs.ext4 -q /dev/md0 && mkfs.ext4 -q /dev/stack/volume
mkdir -p /mnt/data /mnt/volume /mnt/look
mount /dev/md0 /mnt/data && mount /dev/stack/volume /mnt/volume
head -c 20M /dev/urandom >/mnt/data/large; echo text >/mnt/volume/text; sync";

pub(super) fn run(parts: &Parts<'_>) -> Result<String> {
    let mut guest = Guest::start(parts, &[200, 200, 64, 200, 200])?;
    store(&mut guest)?;
    guest.run(MAKE)?;
    for (path, name) in [("/dev/md0", "md0"), ("/dev/stack/volume", "dm-0")] {
        compared_by_name(&mut guest, path, name)?;
    }
    let both = followed_below(&mut guest)?;
    guest.shut_down()?;
    Ok(format!("md and dm nodes are compared and say why; below RAID1 {both}"))
}

/// It says why it cannot be followed and makes points all the same.
fn compared_by_name(guest: &mut Guest<'_>, path: &str, name: &str) -> Result<()> {
    let said = guest.run(&format!(
        "{SETTINGS}\ntimeout --signal=INT 60 /tools/backstay protect {path} --machine by-name-{name} --every 2s 2>&1 &
        pid=$!; for _ in $(seq 50); do sleep 1; /tools/backstay points by-name-{name} >/dev/null 2>&1 && break; done
        kill -INT $pid; wait $pid; /tools/backstay points by-name-{name}"
    ))?;
    let why = format!("changes cannot be followed: {name} is put together from others");
    ensure(said.contains(&why) && said.contains("fuzzy"), || format!("{path}: {said}"))
}

/// Both legs of the mirror are followed while it is written, and make an array again.
fn followed_below(guest: &mut Guest<'_>) -> Result<String> {
    protect(guest, "/dev/vdb /dev/vdc")?;
    more_points(guest, 0, 1)?;
    write(guest, "/mnt/data", 1)?;
    more_points(guest, 1, 6)?;
    stop_writing(guest)?;
    guest.run("for _ in $(seq 100); do umount /mnt/data && break; sleep 0.2; done; mdadm --quiet --stop /dev/md0 && udevadm settle")?;
    let there = points(guest)?.len();
    let all = more_points(guest, there, 2)?;
    stop(guest)?;
    let fuzzy = all.iter().filter(|point| point["consistent"] != true);
    let unsaid = fuzzy
        .clone()
        .find(|point| !point["note"].as_str().is_some_and(|note| note.contains("written while held still")));
    ensure(unsaid.is_none(), || format!("fuzzy, and it does not say where: {unsaid:?}"))?;
    for point in [&all[2], &all[5], &all[all.len() - 1]] {
        judge(guest, time(point))?;
    }
    let said = log(guest)?;
    ensure(!said.contains("may have been missed"), || said)?;
    Ok(format!("{} of {} points are of one moment, the others say what md wrote", all.len() - fuzzy.count(), all.len()))
}

/// The legs of a point hold the same, byte for byte, and make an array whose file system is whole.
fn judge(guest: &mut Guest<'_>, time: &str) -> Result<()> {
    guest.run(HIDE)?;
    guest.backstay(&format!("restore m:vdb --at {time} --to /dev/vde --delta --yes"))?;
    guest.backstay(&format!("restore m:vdc --at {time} --to /dev/vdf --delta --yes"))?;
    let said = guest.run(&format!(
        "set -e
        {HIDE}
        at=$(mdadm --examine /dev/vde | sed -n 's/ *Data Offset : \\([0-9]*\\) sectors/\\1/p')
        cmp --ignore-initial=$((at * 512)) /dev/vde /dev/vdf
        mdadm --assemble --run /dev/md1 /dev/vde /dev/vdf
        mdadm --readwrite /dev/md1 || true
        timeout 100 mdadm --wait /dev/md1 || [ $? -eq 1 ]
        e2fsck -f -p /dev/md1 || [ $? -eq 1 ]
        e2fsck -f -n /dev/md1
        mount /dev/md1 /mnt/look; rm -f /mnt/look/new; judge.sh /mnt/look; umount /mnt/look
        cat /proc/mdstat"
    ))?;
    ensure(said.contains("[UU]"), || format!("the array is not whole:\n{said}"))
}

/// Stops what udev has put together from restored legs by itself.
const HIDE: &str = "udevadm settle; timeout 60 mdadm --stop --scan || true; udevadm settle";
