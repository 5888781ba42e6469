//! A server killed and started again under the load of agents and people: nothing that it acknowledged is lost, and those who wait for it
//! go on by themselves.
//!
//! `BACKSTAY_KILLS`: how many times, instead of the few of every test run. `BACKSTAY_SEED`: where to begin; a run prints its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::kill::setting;
use crate::server::{Service, Someone};
use crate::tools::*;
use crate::world::{World, said};

const MIB: u64 = 1 << 20;
const ROUNDS: u64 = 4;
/// Between two points of a machine: each is restored in the end.
const PAUSE: Duration = Duration::from_millis(400);
const MACHINES: [&str; 3] = ["one", "two", "three"];

/// A machine whose disk changes, and what it was told of its points.
struct Machine<'w> {
    world: &'w World,
    name: &'static str,
    dir: PathBuf,
    image: PathBuf,
    numbers: Numbers,
    /// Points that are safe, as the agent was told, and copies of what they hold.
    safe: BTreeMap<u64, PathBuf>,
    /// What the disk held when nothing was told: there may be a point of it.
    doubtful: Vec<PathBuf>,
    /// The last point was acknowledged.
    goes_on: bool,
}

impl<'w> Machine<'w> {
    fn new(service: &Service<'w>, name: &'static str, seed: u64) -> Self {
        let (world, image) = (service.world, service.world.path(&format!("{name}.img")));
        noisy_image(&image, 3 * MIB, seed);
        let (dir, numbers) = (service.enrolled(name), Numbers(seed));
        Machine { world, name, dir, image, numbers, safe: BTreeMap::new(), doubtful: Vec::new(), goes_on: false }
    }

    /// Changes the disk, and has its agent make a point of it.
    fn point(&mut self) {
        for _ in 0..1 + self.numbers.below(12) {
            let at = self.numbers.below(3 * MIB - 50_000);
            let len = 1 + self.numbers.below(40_000) as usize;
            poke(&self.image, at, &self.numbers.bytes(len));
        }
        let kept = self.world.path(&format!("{}-{}", self.name, self.safe.len() + self.doubtful.len()));
        copy(&self.image, &kept);
        let args = ["agent", text(&self.image), "--dir", text(&self.dir), "--once", "--json"];
        let mut command = self.world.command(&args);
        let said = said(command.env_remove("BACKSTAY_STORE").env_remove("BACKSTAY_PASSPHRASE_FILE"));
        let made: Option<Value> = serde_json::from_str(&said.out).ok();
        assert!(!said.err.contains("panicked"), "{said:?}");
        let point = made.and_then(|made| made["point"].as_u64()).filter(|_| said.status == Some(0));
        self.goes_on = point.is_some();
        match point {
            Some(point) => drop(self.safe.insert(point, kept)),
            None => self.doubtful.push(kept),
        }
    }

    /// All that was acknowledged is there, and whatever is there is what the disk held.
    fn verify(&self, service: &Service<'_>) {
        let listed = service.store(&["points", self.name]);
        let listed: BTreeMap<u64, &str> = listed
            .as_array()
            .unwrap()
            .iter()
            .map(|point| (point["point"].as_u64().unwrap(), point["time"].as_str().unwrap()))
            .collect();
        for point in self.safe.keys() {
            assert!(listed.contains_key(point), "{} was told of point {point}, and it is lost: {listed:?}", self.name);
        }
        let to = self.world.path("restored.img");
        for (point, time) in listed {
            drop(fs::remove_file(&to));
            service.store(&["restore", self.name, "--at", time, "--to", text(&to), "--yes"]);
            let same = |kept: &PathBuf| sum(kept) == sum(&to);
            let right = self.safe.get(&point).map_or_else(|| self.doubtful.iter().any(same), same);
            assert!(right, "{} at point {point} is not what its disk was", self.name);
        }
    }
}

/// Makes codes until told to stop; the machines whose codes were acknowledged.
fn operator(olga: &Someone, stop: &AtomicBool) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let machine = format!("new-{n}");
        match olga.try_post("/api/v1/enrolments", &json!({ "machine": machine })) {
            Some((201, _)) => acknowledged.push(machine),
            Some((status, said)) => panic!("{status} {said}"),
            None => {}
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    acknowledged
}

/// Every acknowledged change is in the catalogue, and in a log that holds.
fn verify_changes(world: &World, (data, olga): (&Path, &Someone), acknowledged: &[String]) {
    let (status, listed) = olga.get("/api/v1/enrolments");
    assert_eq!(status, 200, "a session outlives its server");
    let there = |machine: &String| listed.as_array().unwrap().iter().any(|one| one["machine"] == **machine);
    let lost: Vec<&String> = acknowledged.iter().filter(|machine| !there(machine)).collect();
    assert!(lost.is_empty(), "codes that were acknowledged, and are not there: {lost:?}");
    let log = data.join("audit");
    assert!(world.ok(&["audit", "verify", text(&log)]).contains("the log holds"));
    let shown = world.ok(&["audit", "show", text(&log)]);
    let logged = shown.lines().filter(|line| line.contains("enrolment.create")).count();
    assert!(logged >= acknowledged.len(), "{logged} records of {} changes", acknowledged.len());
}

#[test]
fn nothing_that_was_acknowledged_is_lost() {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = setting("BACKSTAY_SEED").unwrap_or(since.subsec_nanos().into());
    println!("BACKSTAY_SEED={seed}");
    let rounds = setting("BACKSTAY_KILLS").unwrap_or(ROUNDS);
    let mut numbers = Numbers(seed);
    let world = World::new();
    let mut service = Service::new(&world);
    let mut machines = MACHINES.map(|name| Machine::new(&service, name, numbers.next()));
    let (olga, stop) = (service.somebody("olga"), AtomicBool::new(false));
    // One that stays, and is never told that the server is back.
    let (dir, image) = (service.enrolled("patient"), world.path("patient.img"));
    noisy_image(&image, MIB, seed);
    let mut command = world.command(&["agent", text(&image), "--dir", text(&dir), "--every", "1s"]);
    command.env_remove("BACKSTAY_STORE").env_remove("BACKSTAY_PASSPHRASE_FILE");
    let mut patient = world.start_as(command);

    let acknowledged = std::thread::scope(|scope| {
        let stopping = Stopping(&stop);
        let agents: Vec<_> = machines
            .iter_mut()
            .map(|machine| {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        machine.point();
                        std::thread::sleep(PAUSE);
                    }
                })
            })
            .collect();
        let people = scope.spawn(|| operator(&olga, &stop));
        for _ in 0..rounds {
            std::thread::sleep(Duration::from_millis(300 + numbers.below(1500)));
            service.again();
        }
        let made = || service.points("patient");
        let before = made();
        assert!(patiently(|| made() >= before + 2), "{}", patient.log());
        drop(stopping);
        agents.into_iter().for_each(|agent| agent.join().unwrap());
        people.join().unwrap()
    });
    assert_eq!(patient.interrupt(), Some(0), "{}", patient.log());
    for machine in &mut machines {
        machine.point();
        assert!(machine.goes_on, "{} makes no points any more", machine.name);
        let (safe, doubtful) = (machine.safe.len(), machine.doubtful.len());
        println!("{}: {safe} points acknowledged, {doubtful} not", machine.name);
    }
    assert!(!acknowledged.is_empty());
    verify_changes(&world, (&service.data, &olga), &acknowledged);
    service.kill();
    machines.iter().for_each(|machine| machine.verify(&service));
    assert_eq!(service.store(&["check", "--read-data"])["clean"], true);
}

/// Tells all to stop when it is dropped, by a panic too.
struct Stopping<'a>(&'a AtomicBool);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
