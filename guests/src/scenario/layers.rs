//! A clean restart of a disk with volumes inside: the system itself closes and opens them, and what happens in them is not missed.
//!
//! Never knows: how a guest is run.

use super::follow::{log, more_points, number, points, protect, stop, stop_writing, store, write};
use super::restart::{has_taken_up, install};
use super::stack::below_is_the_same;
use crate::fail::{Result, ensure};
use crate::guest::{Guest, Parts};

const FOLDERS: &str = "/mnt/data /mnt/volume /mnt/safe";

/// The system is told of what is on the disk, as its installer would.
const TELL: &str = "set -e
stack.sh make /dev/vdb
mkdir -p /mnt/efi /mnt/data /mnt/volume /mnt/safe
echo -n secret >/etc/safe.key && chmod 600 /etc/safe.key
echo 'safe /dev/vdb4 /etc/safe.key luks' >>/etc/crypttab
echo '/dev/vdb1 /mnt/efi vfat defaults 0 0' >>/etc/fstab
echo '/dev/vdb2 /mnt/data ext4 defaults 0 2' >>/etc/fstab
echo '/dev/stack/volume /mnt/volume xfs defaults 0 2' >>/etc/fstab
echo '/dev/mapper/safe /mnt/safe ext4 defaults 0 2' >>/etc/fstab
systemctl daemon-reload && systemctl start systemd-cryptsetup@safe && vgchange -q --activate y stack && udevadm settle && mount -a
systemctl --quiet is-enabled blk-availability";

pub(super) fn run(parts: &Parts<'_>) -> Result<String> {
    let mut guest = Guest::start(parts, &[560, 560])?;
    store(&mut guest)?;
    install(&mut guest)?;
    guest.run(TELL)?;
    protect(&mut guest, "/dev/vdb")?;
    write(&mut guest, FOLDERS, 1)?;
    more_points(&mut guest, 0, 3)?;
    guest.shut_down()?;
    guest.power_on()?;
    has_taken_up(&mut guest, &["vdb"])?;
    guest.run("for folder in /mnt/efi /mnt/data /mnt/volume /mnt/safe; do mountpoint -q $folder || exit 1; done; : >/var/lib/backstay/log")?;
    let there = points(&mut guest)?.len();
    write(&mut guest, FOLDERS, 10_000)?;
    protect(&mut guest, "/dev/vdb")?;
    let all = more_points(&mut guest, there, 3)?;
    stop_writing(&mut guest)?;
    let said = log(&mut guest)?;
    ensure(!said.contains("compar"), || format!("the disk was compared:\n{said}"))?;
    let stored: u64 = all[there..].iter().map(|point| number(point, "stored_bytes")).sum();
    ensure(stored < 20 << 20, || format!("{stored} bytes were stored after a clean restart"))?;
    let read = number(&all[there], "read_bytes") >> 20;
    guest.run("stack.sh close /dev/vdb && sync")?;
    let there = points(&mut guest)?.len();
    more_points(&mut guest, there, 2)?;
    stop(&mut guest)?;
    guest.backstay("restore m --at latest --to /dev/vdc --yes")?;
    below_is_the_same(&mut guest)?;
    guest.shut_down()?;
    Ok(format!(
        "followed on through a clean restart; the first point read {read} MiB, all points after it stored {} KiB",
        stored >> 10
    ))
}
