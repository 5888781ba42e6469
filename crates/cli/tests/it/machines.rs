//! Virtual machines captured from outside. QEMU's storage daemon stands in for a machine: it has the same disks, monitor and
//! bitmaps, and files in a folder (FUSE) stand in for the disks as the guest writes them.

mod agent;
mod daemon;
mod trouble;

use std::fs;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use serde_json::Value;

use self::agent::{Agent, Manner};
use self::daemon::{Machine, SIZE};
use crate::tools::{Numbers, patiently, run, text};
use crate::world::{Running, World};

fn once(world: &World, machine: &Machine) -> Value {
    world.json(&["protect", &machine.source(), "--machine", "m", "--once"])
}

/// The newest point has these bytes.
fn assert_point(world: &World, disk: &str, expected: &[u8]) {
    let to = world.path("restored");
    world.ok(&["restore", &format!("m:{disk}"), "--to", text(&to), "--yes"]);
    assert!(fs::read(&to).unwrap() == expected, "disk {disk}");
    fs::remove_file(&to).unwrap();
}

/// Pages here and there.
fn scatter(machine: &Machine, seed: u64) {
    let mut numbers = Numbers(seed);
    for disk in ["sys", "data"] {
        for _ in 0..20 {
            let page = numbers.below(SIZE / 4096);
            machine.write(disk, page * 4096, &numbers.bytes(4096));
        }
    }
}

#[test]
fn only_what_changed_is_read() {
    let world = World::new();
    let machine = Machine::new(&world);
    for disk in ["sys", "data"] {
        machine.write(disk, 1 << 20, &Numbers(5).bytes(8 << 20));
    }
    let first = once(&world, &machine);
    assert!(first["read_bytes"].as_u64().unwrap() >= 16 << 20, "{first}");
    machine.assert_tidy(2);
    for round in 0..3 {
        scatter(&machine, round);
        let expected = (machine.bytes("sys"), machine.bytes("data"));
        let made = once(&world, &machine);
        let read = made["read_bytes"].as_u64().unwrap();
        println!("{read} bytes read for {} bytes changed", 40 * 4096);
        assert!((30 * 4096..=40 * 4096).contains(&read) && made["consistent"] == true, "{made}");
        assert_point(&world, "sys", &expected.0);
        assert_point(&world, "data", &expected.1);
        machine.assert_tidy(2);
    }
    let idle = once(&world, &machine);
    assert_eq!(idle["read_bytes"], 0);
    world.ok(&["protect", &machine.source(), "--machine", "m", "--unfollow"]);
    machine.assert_tidy(0);
    world.assert_clean();
}

#[test]
fn a_lost_record_costs_a_rescan_and_no_second_copy() {
    let world = World::new();
    let mut machine = Machine::new(&world);
    machine.write("data", 0, &Numbers(5).bytes(8 << 20));
    machine.write("sys", 0, &Numbers(6).bytes(8 << 20));
    once(&world, &machine);
    // Ended in order, the record of the disk that can keep it is kept; killed, none is.
    for (round, signal) in ["TERM", "KILL"].iter().enumerate() {
        scatter(&machine, 10 + round as u64);
        let before = machine.bytes("data");
        run("sync", [text(&machine.folder.join("data"))]);
        machine.restart(signal);
        scatter(&machine, 20 + round as u64);
        let (sys, data) = (machine.bytes("sys"), machine.bytes("data"));
        assert!(data != before);
        let packed = world.packed();
        let made = once(&world, &machine);
        assert!(made["changed_pages"].as_u64().unwrap() <= 80, "{made}");
        assert!(world.packed() < packed + (4 << 20), "a second copy");
        assert_point(&world, "sys", &sys);
        assert_point(&world, "data", &data);
        machine.assert_tidy(2);
        assert_eq!(once(&world, &machine)["read_bytes"], 0);
    }
    assert_eq!(world.json(&["machines"]).as_array().unwrap().len(), 1);
}

#[test]
fn killed_at_any_time_it_goes_on_and_leaves_nothing() {
    let world = World::new();
    let machine = Machine::new(&world);
    machine.write("data", 0, &Numbers(5).bytes(8 << 20));
    once(&world, &machine);
    for round in 0..12 {
        scatter(&machine, 100 + round);
        let mut running: Running = world.start(&["protect", &machine.source(), "--machine", "m", "--every", "1s"]);
        running.kill_after(Duration::from_millis(100 + round * 110));
        scatter(&machine, 200 + round);
        let (sys, data) = (machine.bytes("sys"), machine.bytes("data"));
        // The watchdog may still be cleaning up, and hold the monitor.
        let mut read = u64::MAX;
        let made = patiently(|| {
            let said = world.run(&["protect", &machine.source(), "--machine", "m", "--once", "--json"]);
            let made: Option<Value> = serde_json::from_str(&said.out).ok();
            read = made.as_ref().and_then(|made| made["read_bytes"].as_u64()).unwrap_or(u64::MAX);
            made.is_some()
        });
        assert!(made && read <= 100 * 4096, "round {round}: {read} bytes read, so changes were forgotten");
        assert_point(&world, "sys", &sys);
        assert_point(&world, "data", &data);
        let tidy = || machine.ask("query-jobs") == serde_json::json!([]) && machine.bitmaps().len() == 2;
        assert!(patiently(tidy));
        machine.assert_tidy(2);
    }
    world.assert_clean();
}

#[test]
fn all_disks_are_of_one_instant() {
    let world = World::new();
    let machine = Machine::new(&world);
    let source = machine.source();
    let mut running = world.start(&["protect", &source, "--machine", "m", "--every", "1s"]);
    let at = |number: u64| world.points_or_none().iter().filter(|(n, _)| *n >= number).count() > 0;
    // What is written to one disk is written to the other before, always.
    let (mut number, mut wanted) = (0u64, 1);
    let enough = patiently(|| {
        number += 1;
        for disk in ["data", "sys"] {
            machine.write(disk, (number % 512) * 4096, &number.to_le_bytes());
        }
        if number % 64 == 0 && at(wanted) {
            wanted = world.points().last().unwrap().0 + 1;
        }
        wanted > 4
    });
    assert!(enough, "{}", running.log());
    assert_eq!(running.interrupt(), Some(0), "{}", running.log());
    machine.assert_tidy(2);
    for (_, time) in world.points() {
        let newest = |disk: &str| {
            let to = world.path("restored");
            world.ok(&["restore", &format!("m:{disk}"), "--at", &time, "--to", text(&to), "--yes"]);
            let bytes = fs::read(&to).unwrap();
            fs::remove_file(&to).unwrap();
            (0..512).map(|page| u64::from_le_bytes(bytes[page * 4096..][..8].try_into().unwrap())).max().unwrap()
        };
        let (data, sys) = (newest("data"), newest("sys"));
        assert!(data == sys || data == sys + 1, "{time}: {data} and {sys}");
    }
}

fn with_agent<'a>(machine: &'a str, agent: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["protect", machine, "--machine", "m", "--guest-agent", agent], more].concat()
}

#[test]
fn the_guest_is_held_still_and_always_let_go() {
    let world = World::new();
    let machine = Machine::new(&world);
    let source = machine.source();
    let note = || world.json(&["points", "m"]).as_array().unwrap().last().unwrap()["note"].as_str().unwrap().to_owned();
    let still = Agent::new(&world, Manner::default());
    world.ok(&with_agent(&source, text(&still.socket), &["--once"]));
    assert_eq!(note(), "held still by the guest agent: 3 file systems");
    assert_eq!(still.asked(), ["guest-sync", "guest-fsfreeze-freeze", "guest-fsfreeze-thaw"]);
    // One that does not answer in time is told to thaw all the same, and the point says what it is.
    let slow = Agent::new(&world, Manner { to_freeze: Duration::from_secs(2), ..Manner::default() });
    world.ok(&with_agent(&source, text(&slow.socket), &["--once", "--hook-limit", "1s"]));
    assert!(note().starts_with("crash-consistent: no answer"), "{}", note());
    assert!(!slow.is_frozen(), "{:?}", slow.asked());
    // If it has nothing to let go, somebody else did, and nobody knows when.
    let early = Agent::new(&world, Manner { lets_go_early: true, ..Manner::default() });
    world.ok(&with_agent(&source, text(&early.socket), &["--once"]));
    assert_eq!(note(), "crash-consistent: somebody else let the guest go before all disks were held");
    // And where nobody answers, there are points as well.
    let nobody = world.path("nobody");
    world.ok(&with_agent(&source, text(&nobody), &["--once"]));
    assert!(note().starts_with("crash-consistent: the guest agent does not answer"), "{}", note());
    machine.assert_tidy(2);
}

#[test]
fn a_guest_is_let_go_when_its_holder_is_killed_or_stopped() {
    let world = World::new();
    let machine = Machine::new(&world);
    let source = machine.source();
    let agent = Agent::new(&world, Manner { to_freeze: Duration::from_millis(30), ..Manner::default() });
    for signal in ["KILL", "STOP"] {
        for round in 0..4 {
            let before = agent.asked().len();
            let arguments = with_agent(&source, text(&agent.socket), &["--every", "1s"]);
            let running = world.start(&arguments);
            assert!(patiently(|| agent.asked().len() > before && agent.is_frozen()), "{}", running.log());
            std::thread::sleep(Duration::from_millis(round));
            running.signal(signal);
            assert!(patiently(|| !agent.is_frozen()), "{signal}: {:?}", agent.asked());
            drop(running);
            let clean = || machine.ask("query-jobs") == serde_json::json!([]) && machine.bitmaps().len() <= 4;
            assert!(patiently(clean));
        }
    }
    let made = patiently(|| world.run(&with_agent(&source, text(&agent.socket), &["--once"])).status == Some(0));
    assert!(made);
    machine.assert_tidy(2);
}

#[test]
fn what_cannot_be_is_refused_in_a_sentence() {
    let world = World::new();
    let nobody = format!("qemu:{}", text(&world.path("none")));
    let said = world.refused(4, &["protect", &nobody, "--machine", "m", "--once"]);
    assert!(said.contains("nobody answers there"), "{said}");
    let said = world.refused(2, &["protect", &nobody, "--once"]);
    assert!(said.contains("--machine"), "{said}");
    let said = world.refused(2, &["protect", &nobody, "--machine", "m", "--exclude", "/x"]);
    assert!(said.contains("--exclude is not for a virtual machine"), "{said}");
    let said = world.refused(2, &["protect", &nobody, "/dev/null", "--machine", "m"]);
    assert!(said.contains("only source"), "{said}");
    let machine = Machine::new(&world);
    let wrong = machine.source().replace("#sys,data", "#sys,other");
    let said = world.refused(4, &["protect", &wrong, "--machine", "m", "--once"]);
    assert!(said.contains("other is not there"), "{said}");
    machine.assert_tidy(0);
    // Somebody who holds the monitor and says nothing.
    let silent = world.path("silent");
    let listener = UnixListener::bind(&silent).unwrap();
    let said = world.refused(1, &["protect", &format!("qemu:{}", text(&silent)), "--machine", "m", "--once"]);
    assert!(said.contains("one program at a time"), "{said}");
    drop(listener);
}
