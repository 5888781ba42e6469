//! A domain of libvirt's is captured while it writes, killed, shut down; and what cannot be is refused in a sentence.
//!
//! Never knows: how a guest is run.

use std::process::Command;
use std::time::Instant;

use super::follow::{number, write};
use super::host::Host;
use super::outside::{FOLDERS, MAKE, all_held_still, killed, shut_down};
use crate::fail::{During, Result, ensure};
use crate::guest::{Guest, Parts};
use crate::libvirt::{DOMAIN, Libvirt, NOBODY};
use crate::qemu::Ports;

/// As libvirt calls them.
const DISKS: &[&str] = &["vdb", "vdc"];
/// Commands to measure one.
const COMMANDS: u32 = 20;

pub(super) fn run(parts: &Parts<'_>) -> Result<String> {
    let libvirt = Libvirt::new(parts.folder)?;
    let mut guest = Guest::start_in(parts, &[512, 512], &libvirt)?;
    let host = Host::inside(parts, &libvirt)?;
    refusals(parts, &libvirt, &host)?;
    guest.run(MAKE)?;
    let source = format!("libvirt:{DOMAIN}#{}", DISKS.join(","));
    let mut protecting = host.protect(&[&source, "--every", "3s"])?;
    host.more_points(&mut protecting, 0, 1)?;
    write(&mut guest, FOLDERS, 1)?;
    let points = host.more_points(&mut protecting, 1, 5)?;
    all_held_still(&points)?;
    let mut judged = Vec::new();
    for point in [&points[2], &points[5]] {
        judged.push(format!("{} up to file {}", number(point, "point"), host.judge(point, DISKS)?));
    }
    let one = time_of_a_command(&libvirt)?;
    let after_a_kill = killed(&host, &mut guest, &mut protecting, DISKS, "failed to get domain")?;
    let after_an_end = shut_down(&host, &mut guest, &mut protecting, DISKS)?;
    protecting.interrupt()?;
    tidy(&libvirt)?;
    guest.shut_down()?;
    drop(libvirt);
    Ok(format!(
        "all points held still by the agent; judged {}; after its QEMU was killed {} KiB stored; after a shutdown nothing \
         compared and {} KiB read; {one:.0} ms a command",
        judged.join(", "),
        after_a_kill >> 10,
        after_an_end >> 10
    ))
}

/// Each is one sentence, and exit status 4.
fn refusals(parts: &Parts<'_>, libvirt: &Libvirt, host: &Host<'_>) -> Result<()> {
    let at = |name: &str| parts.folder.join(name);
    let ports = Ports {
        steer: at("off-steer"),
        console: at("off-console"),
        agent: at("off-agent"),
        monitors: [at("off-1"), at("off-2")],
    };
    libvirt.define("off", parts.image, &ports)?;
    refused(&mut host.command(), "nowhere", "libvirt: failed to get domain 'nowhere'")?;
    refused(
        &mut host.command(),
        "off",
        "the domain off is shut off; start it, or protect its image files as they are",
    )?;
    let nobody = host.as_user(NOBODY)?;
    let socket = "Failed to connect socket to '/var/run/libvirt/libvirt-sock': Permission denied";
    refused(&mut nobody(), DOMAIN, &format!("libvirt: failed to connect to the hypervisor: {socket}"))
}

fn refused(command: &mut Command, domain: &str, words: &str) -> Result<()> {
    command.arg("protect").arg(format!("libvirt:{domain}")).arg("--once").env("LIBVIRT_DEFAULT_URI", "qemu:///system");
    let done = command.output().during("backstay")?;
    let said = String::from_utf8_lossy(&done.stderr);
    let is_so = done.status.code() == Some(4) && said.trim().lines().count() == 1 && said.contains(words);
    ensure(is_so, || format!("not `{words}` but, with {}:\n{said}", done.status))?;
    print!("   {said}");
    Ok(())
}

/// Milliseconds.
fn time_of_a_command(libvirt: &Libvirt) -> Result<f64> {
    let begun = Instant::now();
    for _ in 0..COMMANDS {
        libvirt.virsh(&["qemu-monitor-command", DOMAIN, "{\"execute\":\"query-status\"}"])?;
    }
    Ok(begun.elapsed().as_secs_f64() * 1000.0 / f64::from(COMMANDS))
}

/// Nothing of ours is left in QEMU but the records of changes.
fn tidy(libvirt: &Libvirt) -> Result<()> {
    for query in ["query-jobs", "query-block-exports", "query-chardev"] {
        let said = libvirt.virsh(&["qemu-monitor-command", DOMAIN, &format!("{{\"execute\":\"{query}\"}}")])?;
        ensure(!said.contains("\"bs-"), || format!("{query}: {said}"))?;
    }
    Ok(())
}
