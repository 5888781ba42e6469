//! Two of everything at once, disks that change their size, lack of space, and watchdogs that die with their masters.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::agent::{Agent, Manner};
use super::daemon::{Machine, SIZE};
use super::{assert_point, once, scatter, with_agent};
use crate::tools::{Mount, Numbers, patiently, run, text};
use crate::world::{Running, World, said, sentence};

const MIB: u64 = 1 << 20;

fn has_points(world: &World, more_than: usize) -> bool {
    world.points_or_none().len() > more_than
}

/// Processes whose parent is this one.
fn children(parent: u32) -> Vec<u32> {
    let is_child = |pid: &u32| {
        let about = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // After the name, which is in brackets: the state, and the parent.
        let parent_of = about.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
        parent_of == Some(parent)
    };
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_child).collect()
}

/// The watchdog of a process, and the watchdog's.
fn watchdogs(running: &Running) -> Vec<u32> {
    let first = children(running.id());
    let second = first.iter().flat_map(|first| children(*first)).collect();
    [first, second].concat()
}

/// At once.
fn kill(pids: &[u32]) {
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    run("kill", ["-s".to_owned(), "KILL".to_owned()].into_iter().chain(pids));
}

#[test]
fn one_process_at_a_time_by_whatever_monitor() {
    let world = World::new();
    let machine = Machine::new(&world);
    machine.write("data", 0, &Numbers(5).bytes(8 << 20));
    let (source, other) = (machine.source(), machine.other_source());
    let mut running = world.start(&["protect", &source, "--machine", "m", "--every", "1s"]);
    assert!(patiently(|| has_points(&world, 0)), "{}", running.log());
    for more in ["--once", "--unfollow"] {
        let sentence = sentence(4, &world.run(&["protect", &other, "--machine", "m", more]));
        assert!(sentence.contains("another process captures this machine"), "{sentence}");
    }
    let there = world.points().len();
    assert!(patiently(|| has_points(&world, there + 1)), "{}", running.log());
    assert!(!running.log().contains("no point"), "{}", running.log());
    // With its process the claim ends.
    running.kill_after(Duration::ZERO);
    let made = patiently(|| world.run(&["protect", &other, "--machine", "m", "--once"]).status == Some(0));
    assert!(made);
    assert!(patiently(|| machine.ask("query-jobs") == json!([])));
    machine.assert_tidy(2);
}

#[test]
fn of_two_that_begin_at_once_none_disturbs_the_other() {
    let world = World::new();
    let machine = Machine::new(&world);
    machine.write("data", 0, &Numbers(5).bytes(8 << 20));
    once(&world, &machine);
    for round in 0..6 {
        scatter(&machine, round);
        let start = |source: &str| world.start(&["protect", source, "--machine", "m", "--once"]);
        let mut both = [start(&machine.source()), start(&machine.other_source())];
        let ends = both.each_mut().map(Running::end);
        let fine = |end: &Option<i32>| matches!(end, Some(0 | 4));
        let logs = both.each_ref().map(Running::log);
        assert!(ends.iter().all(fine) && ends.contains(&Some(0)), "{ends:?} {logs:?}");
        assert!(
            ends.iter().zip(&logs).all(|(end, log)| *end == Some(0) || log.contains("another process")),
            "{logs:?}"
        );
        assert!(!logs.concat().contains("may have been missed"), "{logs:?}");
        assert_point(&world, "data", &machine.bytes("data"));
        assert_point(&world, "sys", &machine.bytes("sys"));
        machine.assert_tidy(2);
    }
}

/// The last thing but greetings that the agent was asked.
fn last(agent: &Agent) -> String {
    let mut asked = agent.asked();
    asked.retain(|command| command != "guest-sync");
    asked.pop().unwrap_or_default()
}

#[test]
fn a_guest_is_let_go_when_its_watchdog_is_killed_with_its_holder() {
    let world = World::new();
    let machine = Machine::new(&world);
    let source = machine.source();
    let agent = Agent::new(&world, Manner { to_answer: Duration::from_millis(700), ..Manner::default() });
    let arguments = with_agent(&source, text(&agent.socket), &["--every", "1s"]);
    for round in 0..3 {
        let before = agent.asked().len();
        let running = world.start(&arguments);
        assert!(patiently(|| agent.asked().len() > before && agent.is_frozen()), "{}", running.log());
        let first = children(running.id());
        assert_eq!(first.len(), 1);
        kill(&[&[running.id()][..], &first].concat());
        assert!(patiently(|| last(&agent) == "guest-fsfreeze-thaw"), "round {round}: {:?}", agent.asked());
        let clean = || machine.ask("query-jobs") == json!([]) && machine.bitmaps().len() <= 4;
        assert!(patiently(clean));
        let made = patiently(|| world.run(&with_agent(&source, text(&agent.socket), &["--once"])).status == Some(0));
        assert!(made);
        machine.assert_tidy(2);
    }
    // All of them: then the next one lets it go before anything else.
    let running = world.start(&arguments);
    let before = agent.asked().len();
    assert!(patiently(|| agent.asked().len() > before && agent.is_frozen()), "{}", running.log());
    let both = watchdogs(&running);
    assert_eq!(both.len(), 2);
    kill(&[&[running.id()][..], &both].concat());
    let before = agent.asked().len();
    world.ok(&with_agent(&source, text(&agent.socket), &["--once"]));
    let mut asked = agent.asked().split_off(before);
    asked.retain(|command| command != "guest-sync");
    assert_eq!(asked, ["guest-fsfreeze-thaw", "guest-fsfreeze-freeze", "guest-fsfreeze-thaw"]);
    machine.assert_tidy(2);
}

#[test]
fn an_agent_that_hangs_costs_stillness_and_no_points() {
    let world = World::new();
    let machine = Machine::new(&world);
    let source = machine.source();
    let agent = Agent::new(&world, Manner { to_freeze: Duration::from_secs(3600), ..Manner::default() });
    let arguments = with_agent(&source, text(&agent.socket), &["--every", "1s", "--hook-limit", "1s"]);
    let mut running = world.start(&arguments);
    assert!(patiently(|| has_points(&world, 2)), "{}", running.log());
    let left = watchdogs(&running);
    assert_eq!(running.interrupt(), Some(0), "{}", running.log());
    // They would go on trying to let the guest go.
    kill(&left);
    for point in world.json(&["points", "m"]).as_array().unwrap() {
        assert!(point["note"].as_str().unwrap().starts_with("crash-consistent: "), "{point}");
    }
    machine.assert_tidy(2);
}

/// The next point has the disks as they are, and stores what changed.
fn assert_caught_up(world: &World, machine: &Machine) {
    let (sys, data, packed) = (machine.bytes("sys"), machine.bytes("data"), world.packed());
    once(world, machine);
    assert!(world.packed() < packed + (7 << 20), "a second copy");
    assert_point(world, "sys", &sys);
    assert_point(world, "data", &data);
    machine.assert_tidy(2);
}

/// Blocks are saved before they are overwritten.
fn is_held(machine: &Machine) -> bool {
    machine.ask("query-jobs").as_array().unwrap().iter().any(|job| job["type"] == "backup")
}

fn resize(machine: &Machine, disk: &str, size: u64) -> Result<(), String> {
    machine.order("block_resize", &json!({ "node-name": disk, "size": size }))?;
    let seen = || fs::metadata(machine.folder.join(disk)).unwrap().len() == size;
    assert!(patiently(seen), "{disk} shows another size");
    Ok(())
}

#[test]
fn a_disk_that_changes_its_size_is_compared() {
    let world = World::new();
    let machine = Machine::new(&world);
    for disk in ["sys", "data"] {
        machine.write(disk, 0, &Numbers(5).bytes(8 << 20));
    }
    once(&world, &machine);
    // Larger, with something at the new end; and smaller.
    for (round, size) in [SIZE + 32 * MIB, SIZE - 16 * MIB, SIZE].into_iter().enumerate() {
        scatter_below(&machine, round as u64, SIZE - 16 * MIB);
        for disk in ["sys", "data"] {
            resize(&machine, disk, size).unwrap();
            machine.write(disk, size - MIB, &Numbers(70 + round as u64).bytes(1 << 20));
        }
        assert_caught_up(&world, &machine);
    }
    // While a point is read, the hypervisor says no, for what would be cut off is not saved. The guest writes on, and
    // afterwards it can be done.
    machine.write("data", 0, &Numbers(90).bytes(4 << 20));
    let before = machine.bytes("data");
    let source = machine.source();
    let mut command = world.command(&["protect", &source, "--machine", "m", "--once", "--max-rate", "2MiB/s"]);
    let point = std::thread::spawn(move || said(&mut command));
    assert!(patiently(|| is_held(&machine)));
    let order = json!({ "node-name": "data", "size": SIZE - 16 * MIB });
    assert!(machine.order("block_resize", &order).unwrap_err().contains("in use"));
    machine.write("data", 10 * MIB, &Numbers(10).bytes(1 << 20));
    let said = point.join().unwrap();
    assert_eq!(said.status, Some(0), "{said:?}");
    assert_point(&world, "data", &before);
    resize(&machine, "data", SIZE - 16 * MIB).unwrap();
    assert_caught_up(&world, &machine);
}

fn scatter_below(machine: &Machine, seed: u64, end: u64) {
    let mut numbers = Numbers(seed);
    for disk in ["sys", "data"] {
        for _ in 0..20 {
            let page = numbers.below(end / 4096);
            machine.write(disk, page * 4096, &numbers.bytes(4096));
        }
    }
}

/// Takes all room there is but for less than `left`.
fn fill(folder: &Path, left: u64) -> std::path::PathBuf {
    let ballast = folder.join("ballast");
    let length = free(folder).saturating_sub(left);
    run("fallocate", ["--length", &length.to_string(), text(&ballast)]);
    ballast
}

/// Bytes that are free.
fn free(folder: &Path) -> u64 {
    let said = run("stat", ["--file-system", "--format=%a %S", text(folder)]);
    said.split_whitespace().map(|word| word.parse::<u64>().unwrap()).product()
}

#[test]
fn a_full_store_does_not_hold_the_machine() {
    let outer = World::without_store();
    let place = outer.path("small");
    let mount = Mount::new(&["-t", "tmpfs", "-o", "size=48m"], "none", &place);
    let world = World::with_store_in(&place);
    let machine = Machine::new(&world);
    machine.write("data", 0, &Numbers(5).bytes(4 << 20));
    once(&world, &machine);
    let ballast = fill(&place, MIB);
    let mut running = world.start(&["protect", &machine.source(), "--machine", "m", "--every", "1s"]);
    for round in 0..8 {
        machine.write("data", round * MIB, &Numbers(20 + round).bytes(1 << 20));
    }
    running.wait_for("no space left");
    // The machine is not held meanwhile, and writes on.
    assert!(patiently(|| machine.ask("query-jobs") == json!([])));
    machine.write("sys", 0, &Numbers(30).bytes(1 << 20));
    let there = world.points().len();
    fs::remove_file(ballast).unwrap();
    assert!(patiently(|| has_points(&world, there)), "{}", running.log());
    let points: Vec<Value> = world.json(&["points", "m"]).as_array().unwrap().clone();
    // What was marked before was not forgotten, so that nothing had to be compared.
    let read: u64 = points[there..].iter().map(|point| point["read_bytes"].as_u64().unwrap()).sum();
    assert!((9 * MIB..=12 * MIB).contains(&read), "{points:?}");
    assert!(!running.log().contains("may have been missed"), "{}", running.log());
    assert_eq!(running.interrupt(), Some(0), "{}", running.log());
    assert_caught_up(&world, &machine);
    world.assert_clean();
    drop(world);
    drop(mount);
}

#[test]
fn lack_of_space_for_saved_blocks_ends_the_point_and_harms_no_write() {
    let world = World::new();
    let place = world.path("scratch");
    let mount = Mount::new(&["-t", "tmpfs", "-o", "size=536m"], "none", &place);
    let machine = Machine::new(&world);
    for disk in ["sys", "data"] {
        machine.write(disk, 0, &Numbers(5).bytes(32 << 20));
    }
    let source = machine.source();
    let with_scratch = ["protect", &source, "--machine", "m", "--scratch", text(&place)];
    let slow = [&with_scratch[..], &["--once", "--max-rate", "1MiB/s"]].concat();
    let mut command = world.command(&slow);
    let point = std::thread::spawn(move || said(&mut command));
    assert!(patiently(|| is_held(&machine)));
    for round in 0..32 {
        machine.write("data", round * MIB, &Numbers(40 + round).bytes(1 << 20));
    }
    // It may have told how far it was.
    let said = point.join().unwrap();
    let why = "scratch has too little free space for blocks saved";
    assert!(said.status == Some(1) && said.err.contains(why), "{said:?}");
    machine.assert_tidy(0);
    // There was none to begin with.
    let ballast = fill(&place, 400 * MIB);
    let fast = [&with_scratch[..], &["--once"]].concat();
    let sentence = sentence(1, &world.run(&fast));
    assert!(sentence.contains(why), "{sentence}");
    machine.assert_tidy(0);
    fs::remove_file(ballast).unwrap();
    let (sys, data) = (machine.bytes("sys"), machine.bytes("data"));
    world.ok(&fast);
    assert_point(&world, "sys", &sys);
    assert_point(&world, "data", &data);
    machine.assert_tidy(2);
    drop(machine);
    drop(mount);
}
