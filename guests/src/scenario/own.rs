//! A clean restart of a machine that follows the disk it runs on.
//!
//! Never knows: how a guest is run.

use super::follow::{all_consistent, log, more_points, number, points, protect, stop, stop_writing, store, write};
use super::restart::install;
use crate::fail::{Result, ensure};
use crate::guest::{Guest, Parts};

const FOLDERS: &str = "/srv/one /srv/two";

/// The store is elsewhere. A service writes as late as one can.
const MAKE: &str = "set -e
mkfs.ext4 -q /dev/vdb && mkdir -p /var/lib/backstay/store /srv/one /srv/two
echo '/dev/vdb /var/lib/backstay/store ext4 defaults 0 2' >>/etc/fstab
mount /var/lib/backstay/store && rmdir /var/lib/backstay/store/lost+found
cat >/etc/systemd/system/late.service <<'end'
[Unit]
DefaultDependencies=no
Before=backstay-marks.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
ExecStop=/bin/sh -c 'head -c 3M /dev/urandom >/srv/late; mv /srv/late /srv/later; rm -f /srv/one/1-*'
[Install]
WantedBy=sysinit.target
end
systemctl daemon-reload && systemctl --quiet enable --now late";

/// The other two parts of what is installed.
const INSTALL: &str = "mkdir -p /usr/lib/systemd/system-shutdown
install -m 755 /tools/backstay-marks.shutdown /usr/lib/systemd/system-shutdown/backstay-marks
install -m 644 /tools/backstay-marks-first.service /etc/systemd/system/
systemctl daemon-reload && systemctl --quiet enable backstay-marks-first";

pub(super) fn run(parts: &Parts<'_>) -> Result<String> {
    let mut guest = Guest::start(parts, &[3072, 3072])?;
    guest.run(MAKE)?;
    store(&mut guest)?;
    install(&mut guest)?;
    guest.run(INSTALL)?;
    protect(&mut guest, "/dev/vda")?;
    write(&mut guest, FOLDERS, 1)?;
    let before = more_points(&mut guest, 0, 3)?;
    guest.shut_down()?;

    guest.power_on()?;
    let said = guest.run("journalctl --boot --unit backstay-marks-first --output cat; ls /var/lib/backstay")?;
    ensure(said.contains("vda is followed on") && !said.contains(".last"), || {
        format!("marks were not taken up:\n{said}\nthe console:\n{}", guest.said())
    })?;
    let read = goes_on(&mut guest, before.len())?;
    judge(&mut guest)?;

    // What was used is not used again.
    guest.cut_power()?;
    guest.power_on()?;
    let said = guest.run("journalctl --boot --unit backstay-marks-first --output cat")?;
    ensure(!said.contains("followed on"), || format!("after a power cut:\n{said}"))?;
    guest.shut_down()?;
    Ok(format!("after a clean restart the first point of the system's own disk read {} MiB", read >> 20))
}

/// Nothing is compared. Answers how much the first point read.
fn goes_on(guest: &mut Guest<'_>, before: usize) -> Result<u64> {
    guest.run(": >/var/lib/backstay/log")?;
    let there = points(guest)?.len();
    write(guest, FOLDERS, 10_000)?;
    protect(guest, "/dev/vda")?;
    let all = more_points(guest, there, 2)?;
    let said = log(guest)?;
    ensure(!said.contains("compar"), || format!("the disk was compared:\n{said}"))?;
    all_consistent(&all[there..])?;
    let read = number(&all[there], "read_bytes");
    ensure(there >= before && read < 200 << 20, || format!("much was read: {}", all[there]))?;
    Ok(read)
}

/// The newest point is what is on the disk now, as far as it stands still.
fn judge(guest: &mut Guest<'_>) -> Result<()> {
    stop_writing(guest)?;
    guest.run("sync")?;
    let there = points(guest)?.len();
    more_points(guest, there, 2)?;
    stop(guest)?;
    guest.backstay("restore m --at latest --to /dev/vdc --yes")?;
    guest
        .run(
            "set -e
            mkdir -p /mnt/look && mount /dev/vdc /mnt/look && umount /mnt/look
            e2fsck -f -n /dev/vdc
            mount -o ro /dev/vdc /mnt/look
            [ -s /srv/later ] && diff -r --no-dereference /srv /mnt/look/srv
            diff -r --no-dereference /etc /mnt/look/etc
            diff -r --no-dereference /usr/bin /mnt/look/usr/bin
            umount /mnt/look",
        )
        .map(drop)
}
