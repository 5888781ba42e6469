//! Clean restarts: what is known of changed disks survives them, and is not trusted when somebody wrote meanwhile.
//!
//! Never knows: how a guest is run.

use std::path::Path;

use serde_json::Value;

use super::follow::{all_consistent, log, more_points, number, points, protect, stop, stop_writing, store, write};
use crate::fail::{Fail, Result, ensure};
use crate::guest::{Guest, Parts};
use crate::programs::{program, run as run_here};

const FOLDERS: &str = "/mnt/data /mnt/more /mnt/whole";
/// Where the first partition begins.
const FIRST: u64 = 1 << 20;

/// Two disks: one with partitions of ext4 and xfs, the other an ext4 as a whole.
const MAKE: &str = "set -e
sgdisk --new 1:1M:+200M --new 2:0:0 /dev/vdb
udevadm settle
mkfs.ext4 -q /dev/vdb1 && mkfs.xfs -q /dev/vdb2 && mkfs.ext4 -q /dev/vdc
mkdir -p /mnt/data /mnt/more /mnt/whole
echo '/dev/vdb1 /mnt/data ext4 defaults 0 2' >>/etc/fstab
echo '/dev/vdb2 /mnt/more xfs defaults 0 2' >>/etc/fstab
echo '/dev/vdc /mnt/whole ext4 defaults 0 2' >>/etc/fstab
systemctl daemon-reload && mount -a
head -c 80M /dev/urandom >/mnt/data/large && head -c 80M /dev/urandom >/mnt/more/large
sha256sum /mnt/data/large /mnt/more/large >/var/lib/backstay/sums
sync";

pub(super) fn run(parts: &Parts<'_>) -> Result<String> {
    let mut guest = Guest::start(parts, &[640, 200, 640])?;
    store(&mut guest)?;
    install(&mut guest)?;
    guest.run(MAKE)?;
    protect(&mut guest, "/dev/vdb /dev/vdc")?;
    write(&mut guest, FOLDERS, 1)?;
    let before = more_points(&mut guest, 0, 4)?;
    guest.shut_down()?;
    let first = after_a_clean_restart(&mut guest, before.len())?;
    judge(&mut guest, "")?;

    // Somebody else mounts one of the disks while the machine is off.
    guest.shut_down()?;
    change(guest.file('b')?, parts.folder)?;
    after_a_change(&mut guest)?;
    judge(&mut guest, "/mnt/data/from-elsewhere")?;
    guest.shut_down()?;
    Ok(format!(
        "after a clean restart the first point read {} MiB of 160 and compared nothing; after a change from outside that disk was",
        number(&first, "read_bytes") >> 20
    ))
}

/// Puts the program and its unit where packages will.
pub(super) fn install(guest: &mut Guest<'_>) -> Result<()> {
    let install = "mkdir -p /var/log/journal && install -m 755 /tools/backstay /usr/bin/backstay
        install -m 644 /tools/backstay-marks.service /etc/systemd/system/
        systemctl daemon-reload && systemctl --quiet enable --now backstay-marks";
    guest.run(install).map(drop)
}

/// The unit took up the marks of these disks as the guest started, and what was saved is gone.
pub(super) fn has_taken_up(guest: &mut Guest<'_>, disks: &[&str]) -> Result<()> {
    let said = guest.run("journalctl --boot --unit backstay-marks --output cat; ls /var/lib/backstay")?;
    let all = disks.iter().all(|disk| said.contains(&format!("{disk} is followed on")));
    let before = "journalctl --boot=-1 --unit backstay-marks --output cat";
    match all && !said.contains(".marks") {
        true => Ok(()),
        false => Err(Fail::new(format!(
            "marks were not taken up:\n{said}\nwhen they were saved:\n{}",
            guest.ask(before)?.said
        ))),
    }
}

/// Nothing is compared; the timeline goes on. Answers the first point.
fn after_a_clean_restart(guest: &mut Guest<'_>, before: usize) -> Result<Value> {
    guest.power_on()?;
    has_taken_up(guest, &["vdb", "vdc"])?;
    guest.run(": >/var/lib/backstay/log")?;
    write(guest, FOLDERS, 10_000)?;
    let there = points(guest)?.len();
    protect(guest, "/dev/vdb /dev/vdc")?;
    let all = more_points(guest, there, 3)?;
    let said = log(guest)?;
    ensure(!said.contains("compar"), || format!("disks were compared:\n{said}"))?;
    let new = &all[there..];
    all_consistent(new)?;
    ensure(there >= before && number(&new[0], "read_bytes") < 60 << 20, || format!("much was read: {}", new[0]))?;
    Ok(new[0].clone())
}

/// As a rescue system would.
fn change(disk: &Path, folder: &Path) -> Result<()> {
    let at = folder.join("elsewhere");
    std::fs::create_dir_all(&at).map_err(|e| Fail::new(e.to_string()))?;
    run_here(program("mount").args(["-o", &format!("loop,offset={FIRST}")]).arg(disk).arg(&at))?;
    let written = std::fs::write(at.join("from-elsewhere"), vec![b'x'; 300_000]);
    run_here(program("umount").arg(&at))?;
    written.map_err(|e| Fail::new(e.to_string()))
}

/// It is noticed, and the disks are compared.
fn after_a_change(guest: &mut Guest<'_>) -> Result<()> {
    guest.power_on()?;
    let said = guest.run("journalctl --boot --unit backstay-marks --output cat")?;
    ensure(said.contains("vdb is compared: it is not as it was"), || format!("the change was not noticed:\n{said}"))?;
    guest.run(": >/var/lib/backstay/log")?;
    let there = points(guest)?.len();
    protect(guest, "/dev/vdb /dev/vdc")?;
    let all = more_points(guest, there, 2)?;
    let said = log(guest)?;
    ensure(said.contains("note: vdb of m: all that is in use is read"), || {
        format!("not vdb alone was compared:\n{said}")
    })?;
    // Of what is the same nothing is stored anew.
    let stored: u64 = all[there..].iter().map(|point| number(point, "stored_bytes")).sum();
    ensure(stored < 20 << 20, || format!("{stored} bytes were stored"))
}

/// The newest point, of what is now on the disks, restores to what is there. `also`: a file that must be there too.
fn judge(guest: &mut Guest<'_>, also: &str) -> Result<()> {
    stop_writing(guest)?;
    guest.run(&format!("sync; for folder in {FOLDERS}; do ls $folder | wc -l; done"))?;
    let there = points(guest)?.len();
    more_points(guest, there, 2)?;
    stop(guest)?;
    guest.backstay("restore m:vdb --at latest --to /dev/vdd --delta --yes")?;
    guest
        .run(&format!(
            "set -e
        [ -z '{also}' ] || [ -e '{also}' ]
        udevadm settle; blockdev --rereadpt /dev/vdd || partx --update /dev/vdd; udevadm settle; mkdir -p /mnt/look
        for part in 1:data 2:more; do
            kind=$(blkid -o value -s TYPE /dev/vdd${{part%%:*}})
            [ $kind = ext4 ] && options=rw || options=nouuid
            mount -o $options /dev/vdd${{part%%:*}} /mnt/look
            diff -r /mnt/look /mnt/${{part##*:}}
            umount /mnt/look
        done
        e2fsck -f -n /dev/vdd1 && xfs_repair -n /dev/vdd2
        sha256sum -c /var/lib/backstay/sums"
        ))
        .map(drop)
}
