//! Limits, and the death of each of the two processes at every stage.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use backstay_capture::freeze::group::{Broken, FreezeError, Frozen, Limits};
use backstay_capture::freeze::watchdog::{Shelter, StartError, Watchdog};
use rustix::process::{Pid, Signal, kill_process};

use crate::role::Freezer;
use crate::world::{Disk, Writer, group, long, wait_for, watchdog};

fn signal(process: i32, signal: Signal) {
    kill_process(Pid::from_raw(process).expect("a process"), signal).expect("signals");
}

/// The letter by which the kernel tells a process's state.
fn state(process: i32) -> Option<char> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("State:")?.trim().chars().next())
}

/// Gone, or dead and waiting for its parent to look.
fn is_gone(process: i32) -> bool {
    matches!(state(process), None | Some('Z'))
}

fn all_stopped(process: i32) -> bool {
    let threads = fs::read_dir(format!("/proc/{process}/task")).expect("threads");
    let numbers = threads.map(|thread| thread.expect("a thread").file_name().to_str().and_then(|n| n.parse().ok()));
    numbers.into_iter().all(|number| state(number.expect("a number")) == Some('T'))
}

fn overdue(frozen: Frozen<'_>, writer: &Writer) -> Broken {
    wait_for("the limit", || !frozen.is_intact());
    writer.goes_on();
    frozen.thaw().expect_err("too late")
}

#[test]
fn the_limit_ends_a_freeze() {
    let disk = Disk::new("ext4");
    let writer = Writer::start(&disk);
    let (mut watchdog, group) = (watchdog(), group(&[&disk]));
    let limits = Limits::new(Duration::from_millis(100), Duration::ZERO).expect("limits");
    for _ in 0..3 {
        // On a busy machine the freeze alone may take longer. Then nothing is frozen, either.
        let frozen = (0..100).find_map(|_| match group.freeze(&mut watchdog, limits) {
            Err(FreezeError::Late { .. }) => {
                writer.goes_on();
                None
            }
            other => Some(overdue(other.expect("freezes"), &writer)),
        });
        assert_eq!(frozen, Some(Broken::Expired));
        writer.goes_on();
        assert!(group.freeze(&mut watchdog, long()).expect("freezes").thaw().is_ok());
    }
}

#[test]
fn a_freeze_that_is_dropped_ends() {
    let disk = Disk::new("ext4");
    let (mut watchdog, group) = (watchdog(), group(&[&disk]));
    drop(group.freeze(&mut watchdog, long()).expect("freezes"));
    assert!(disk.is_writable());
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _frozen = group.freeze(&mut watchdog, long()).expect("freezes");
        panic!("as planned");
    }));
    assert!(panicked.is_err() && disk.is_writable());
    assert!(group.freeze(&mut watchdog, long()).expect("freezes").thaw().is_ok());
}

#[test]
fn killed_while_frozen() {
    let disks = [Disk::new("ext4"), Disk::new("xfs")];
    let mut freezer = Freezer::start("hold", &[&disks[0], &disks[1]]);
    freezer.says("@frozen");
    freezer.kill();
    let watchdog = freezer.watchdog();
    wait_for("the watchdog's end", || is_gone(watchdog));
    assert!(disks.iter().all(Disk::is_writable));
}

#[test]
fn killed_at_any_stage() {
    let host = Disk::new("ext4");
    let guest = Disk::inside(&host.point(), "xfs", 320 << 20);
    let writers = [Writer::start(&host), Writer::start(&guest)];
    for round in 0..40 {
        let mut freezer = Freezer::start("cycle", &[&host, &guest]);
        freezer.says("@frozen");
        std::thread::sleep(Duration::from_micros(round * 397));
        freezer.kill();
        let watchdog = freezer.watchdog();
        wait_for("the watchdog's end", || is_gone(watchdog));
        writers.iter().for_each(Writer::goes_on);
    }
    drop(writers);
    drop(guest);
}

#[test]
fn stopped_while_frozen() {
    let disk = Disk::new("ext4");
    let writer = Writer::start(&disk);
    let mut freezer = Freezer::start("cycle", &[&disk]);
    for _ in 0..2 {
        // Twice may be needed to stop it in the midst of a freeze, as it says so and goes on.
        let broken = (0..200).find_map(|_| {
            freezer.says("@frozen");
            signal(freezer.id(), Signal::STOP);
            writer.goes_on();
            signal(freezer.id(), Signal::CONT);
            let line = freezer.says("@");
            line.starts_with("broken").then_some(line)
        });
        assert_eq!(broken.as_deref(), Some("broken Expired"));
    }
    freezer.says("@thawed");
}

#[test]
fn without_a_watchdog_nothing_is_frozen() {
    let disk = Disk::new("ext4");
    let (mut watchdog, group) = (watchdog(), group(&[&disk]));
    assert!(watchdog.is_fit());
    let id = watchdog.id().cast_signed();
    signal(id, Signal::KILL);
    wait_for("the watchdog's end", || !watchdog.is_fit());
    assert!(matches!(group.freeze(&mut watchdog, long()).err(), Some(FreezeError::Unguarded(_))));
    assert!(disk.is_writable());
}

#[test]
fn a_watchdog_that_does_not_answer_is_none() {
    let disk = Disk::new("ext4");
    let (mut watchdog, group) = (watchdog(), group(&[&disk]));
    let id = watchdog.id().cast_signed();
    signal(id, Signal::STOP);
    wait_for("the stop", || all_stopped(id));
    assert!(matches!(group.freeze(&mut watchdog, long()).err(), Some(FreezeError::Unguarded(_))));
    assert!(!watchdog.is_fit() && disk.is_writable());
}

#[test]
fn the_watchdogs_death_ends_a_freeze_at_once() {
    let disks = [Disk::new("ext4"), Disk::new("btrfs")];
    let writers = disks.each_ref().map(Writer::start);
    let (mut watchdog, group) = (watchdog(), group(&[&disks[0], &disks[1]]));
    let id = watchdog.id().cast_signed();
    let frozen = group.freeze(&mut watchdog, long()).expect("freezes");
    signal(id, Signal::KILL);
    // This thread does nothing for it.
    writers.iter().for_each(Writer::goes_on);
    assert!(!frozen.is_intact());
    assert_eq!(frozen.thaw().err(), Some(Broken::Unguarded));
    assert!(!watchdog.is_fit());
}

#[test]
fn by_way_of_a_service_manager() {
    // Stands for systemd's program, which becomes the one it is given as well.
    let folder = tempfile::tempdir().expect("a folder");
    let manager = folder.path().join("systemd-run");
    let script = "#!/bin/sh\necho \"$@\" > \"$0.said\"\nwhile [ \"$1\" != -- ]; do shift; done\nshift\nexec \"$@\"\n";
    fs::write(&manager, script).expect("writes");
    fs::set_permissions(&manager, fs::Permissions::from_mode(0o755)).expect("permissions");
    let mut program = crate::role::command("watchdog");
    let path = std::env::var("PATH").expect("a path");
    program.env("PATH", format!("{}:{path}", folder.path().display()));

    let mut watchdog = Watchdog::start(program, Shelter::Scope).expect("a watchdog");
    let said = fs::read_to_string(folder.path().join("systemd-run.said")).expect("it was asked");
    assert!(said.starts_with("--scope "), "{said}");
    let disk = Disk::new("ext4");
    let group = group(&[&disk]);
    assert!(group.freeze(&mut watchdog, long()).expect("freezes").thaw().is_ok());

    let mut program = crate::role::command("watchdog");
    fs::write(&manager, "#!/bin/sh\nexit 1\n").expect("writes");
    program.env("PATH", format!("{}:{path}", folder.path().display()));
    assert!(matches!(Watchdog::start(program, Shelter::Scope).err(), Some(StartError::Silent(_))));
}

#[test]
fn a_watchdog_is_hard_to_kill() {
    let watchdog = watchdog();
    let id = watchdog.id();
    for polite in [Signal::TERM, Signal::INT, Signal::HUP] {
        signal(id.cast_signed(), polite);
    }
    let read = |name: &str| fs::read_to_string(format!("/proc/{id}/{name}")).expect("reads");
    assert_eq!(watchdog.may_be_sacrificed(), read("oom_score_adj").trim() != "-1000");
    let resource = 1_u64 << 24;
    let own = fs::read_to_string("/proc/self/status").expect("reads");
    let able = own.lines().find_map(|line| line.strip_prefix("CapEff:")).expect("a line");
    let able = u64::from_str_radix(able.trim(), 16).expect("a number");
    assert_eq!(watchdog.may_be_sacrificed(), able & resource == 0, "exempt where root may do so");
    let status = read("status");
    let locked = status.lines().find_map(|line| line.strip_prefix("VmLck:")).expect("a line");
    assert!(!locked.trim().starts_with("0 "), "{locked}");
    let stat = read("stat");
    let session = stat.rsplit(')').next().expect("fields").split(' ').nth(4).expect("a session");
    assert_eq!(session, id.to_string(), "in a session of its own");
    assert!(watchdog.is_fit());
    drop(watchdog);
    assert!(is_gone(id.cast_signed()));
}
