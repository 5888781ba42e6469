//! A guest that is captured from outside while it writes: held still by its own agent, killed with its hypervisor, shut down.
//!
//! Never knows: how a guest is run.

use serde_json::Value;

use super::follow::{all_consistent, number, write};
use super::host::{Host, Protecting};
use crate::fail::{Result, ensure};
use crate::guest::{Guest, Parts};

pub(super) const FOLDERS: &str = "/mnt/data /mnt/more";
pub(super) const DISKS: &[&str] = &["disk-b", "disk-c"];

/// Two disks, each an ext4 as a whole, with 60 MiB each.
pub(super) const MAKE: &str = "set -e
cp /tools/*.sh /usr/local/sbin/
for disk in vdb:data vdc:more; do
    mkfs.ext4 -q /dev/${disk%:*} && mkdir -p /mnt/${disk#*:}
    echo \"/dev/${disk%:*} /mnt/${disk#*:} ext4 defaults 0 2\" >>/etc/fstab
done
systemctl daemon-reload && mount -a
for folder in /mnt/data /mnt/more; do
    (cd $folder && head -c 60M /dev/urandom >large && sha256sum large >sums)
done
sync
systemctl is-active qemu-guest-agent";

pub(super) fn run(parts: &Parts<'_>) -> Result<String> {
    let mut guest = Guest::start_on_qcow2(parts, &[512, 512])?;
    let host = Host::new(parts)?;
    guest.run(MAKE)?;
    let mut protecting = host.protect_qemu(DISKS, &["--every", "3s"])?;
    host.more_points(&mut protecting, 0, 1)?;
    write(&mut guest, FOLDERS, 1)?;
    let points = host.more_points(&mut protecting, 1, 7)?;
    all_held_still(&points)?;
    let mut judged = Vec::new();
    for point in [&points[2], &points[4], &points[7]] {
        judged.push(format!("{} up to file {}", number(point, "point"), host.judge(point, DISKS)?));
    }
    ensure(!protecting.log()?.contains("compar"), || format!("{:?}", protecting.log().ok()))?;
    let after_a_kill = killed(&host, &mut guest, &mut protecting, DISKS, "nobody answers there")?;
    let after_an_end = shut_down(&host, &mut guest, &mut protecting, DISKS)?;
    protecting.interrupt()?;
    guest.shut_down()?;
    Ok(format!(
        "{} points; under writers all were held still by the agent; clean without their journals and judged: {}; after QEMU was killed {} KiB stored; \
         after a shutdown nothing compared and {} KiB read",
        host.points()?.len(),
        judged.join(", "),
        after_a_kill >> 10,
        after_an_end >> 10
    ))
}

/// Each point was made with the guest's file systems held still.
pub(super) fn all_held_still(points: &[Value]) -> Result<()> {
    all_consistent(points)?;
    let other = points.iter().find(|point| !note(point).starts_with("held still by the guest agent: "));
    ensure(other.is_none(), || format!("not held still: {other:?}"))
}

fn note(point: &Value) -> &str {
    point["note"].as_str().unwrap_or_default()
}

/// QEMU is killed and the guest started again while it is protected: everything is compared, and only what differs is stored.
/// Answers how much. `seen`: what is said of a guest that is gone.
pub(super) fn killed(
    host: &Host<'_>,
    guest: &mut Guest<'_>,
    protecting: &mut Protecting,
    disks: &[&str],
    seen: &str,
) -> Result<u64> {
    guest.cut_power()?;
    protecting.wait_for(seen)?;
    guest.power_on()?;
    // What was not flushed when the power went is nobody's promise.
    guest.run("rm -f /mnt/{data,more}/*-*")?;
    let there = host.points()?.len();
    write(guest, FOLDERS, 10_000)?;
    let points = host.more_points(protecting, there, 3)?;
    let log = protecting.log()?;
    ensure(log.contains("changes may have been missed"), || format!("nothing was compared:\n{log}"))?;
    let newest = &points[points.len() - 1];
    all_held_still(std::slice::from_ref(newest))?;
    host.judge(newest, disks)?;
    // All that is in use is some 130 MiB.
    let stored = points[there..].iter().map(|point| number(point, "stored_bytes")).sum();
    ensure(stored < 50 << 20, || format!("{stored} bytes were stored after QEMU was killed"))?;
    Ok(stored)
}

/// The guest is shut down and started again while it is protected: nothing is compared. How much the next point read.
pub(super) fn shut_down(
    host: &Host<'_>,
    guest: &mut Guest<'_>,
    protecting: &mut Protecting,
    disks: &[&str],
) -> Result<u64> {
    let compared = protecting.log()?.matches("changes may have been missed").count();
    guest.shut_down()?;
    let there = host.points()?.len();
    guest.power_on()?;
    guest.run("rm -f /mnt/{data,more}/*-*")?;
    write(guest, FOLDERS, 20_000)?;
    // Those before, while it started, had no agent to ask.
    let before = host.points()?.len();
    let points = host.more_points(protecting, before, 3)?;
    let log = protecting.log()?;
    ensure(log.matches("changes may have been missed").count() == compared, || format!("disks were compared:\n{log}"))?;
    let newest = &points[points.len() - 1];
    all_held_still(std::slice::from_ref(newest))?;
    host.judge(newest, disks)?;
    Ok(number(&points[there], "read_bytes"))
}
