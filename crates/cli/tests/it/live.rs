//! Disks that are in use: points every second, each of one moment, through kills and restarts, at the cost of what changed.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::tools::{Loop, Mount, Numbers, output, patiently, run, sparse, text};
use crate::world::{Running, World};

/// The file system is asked by its own tools whether a restored image is whole; it may replay its log before.
pub(crate) struct Kind {
    pub(crate) make: &'static [&'static str],
    pub(crate) mount: &'static str,
    replay: bool,
    judge: &'static [&'static str],
}

pub(crate) const EXT4: Kind =
    Kind { make: &["mkfs.ext4", "-q"], mount: "rw", replay: false, judge: &["e2fsck", "-f", "-n"] };
pub(crate) const XFS: Kind =
    Kind { make: &["mkfs.xfs", "-q"], mount: "nouuid", replay: true, judge: &["xfs_repair", "-n"] };
pub(crate) const BTRFS: Kind =
    Kind { make: &["mkfs.btrfs", "-q"], mount: "rw", replay: false, judge: &["btrfs", "check", "--readonly"] };

/// Ends marking whatever happens, and looks that nothing is left of it.
pub(crate) struct Following<'w> {
    world: &'w World,
    device: String,
}

impl<'w> Following<'w> {
    pub(crate) fn new(world: &'w World, device: &str) -> Self {
        Following { world, device: device.to_owned() }
    }
}

impl Drop for Following<'_> {
    fn drop(&mut self) {
        let said = command(self.world, &["protect", &self.device, "--machine", "m", "--unfollow"]).output().unwrap();
        if !std::thread::panicking() {
            assert!(said.status.success(), "{said:?}");
            assert!(!self.world.path("run").read_dir().unwrap().flatten().any(|e| e.path().is_file()));
        }
    }
}

pub(crate) fn command(world: &World, args: &[&str]) -> Command {
    let mut command = world.command(args);
    command.env("RUNTIME_DIRECTORY", world.path("run")).env("STATE_DIRECTORY", world.path("state"));
    command
}

fn follow(world: &World, device: &str) -> Running {
    world.start_as(command(world, &["protect", device, "--machine", "m", "--every", "1s"]))
}

fn content(round: u64) -> Vec<u8> {
    Numbers(round + 1).bytes(300_000 + round as usize * 4096)
}

/// Writes a file, durably, and waits until a point has it; its number.
fn write_and_wait(world: &World, folder: &Path, round: u64, running: &Running) -> u64 {
    let newest = || world.points_or_none().last().map_or(0, |(number, _)| *number);
    let mut file = fs::File::create(folder.join(format!("round{round}"))).unwrap();
    file.write_all(&content(round)).unwrap();
    file.sync_all().unwrap();
    // One that was under way may have frozen before; the second that follows cannot have.
    let before = newest();
    assert!(patiently(|| newest() >= before + 2), "no points: {}", running.log());
    newest()
}

fn through_kills_and_restarts(kind: &Kind) {
    let world = World::new();
    let (image, folder) = (world.path("disk"), world.path("mounted"));
    sparse(&image, 1 << 30);
    fs::create_dir(&folder).unwrap();
    let device = Loop::new(&image, 512);
    run(kind.make[0], kind.make[1..].iter().copied().chain([device.path()]));
    let mount = Mount::new(&["-o", kind.mount], device.path(), &folder);
    fs::write(folder.join("first"), content(1000)).unwrap();
    let following = Following::new(&world, device.path());
    let stop = AtomicBool::new(false);
    let mut rounds = BTreeMap::new();
    std::thread::scope(|scope| {
        let stop = StopOnDrop(&stop);
        scope.spawn(|| noise(&folder, stop.0));
        let mut running = follow(&world, device.path());
        for round in 0..5 {
            rounds.insert(write_and_wait(&world, &folder, round, &running), round);
            if round == 1 || round == 3 {
                running.signal("KILL");
                running.end();
                fs::write(folder.join(format!("meanwhile{round}")), content(100 + round)).unwrap();
                running = follow(&world, device.path());
            }
        }
        assert_eq!(running.interrupt(), Some(0), "{}", running.log());
        // After a kill nothing was compared: what was written meanwhile was known.
        assert!(!running.log().contains("compar"), "{}", running.log());
        assert!(running.log().contains("held still for"), "{}", running.log());
        let points = world.json(&["points", "m"]);
        let held = points.as_array().unwrap().iter().filter_map(|point| point["frozen_ms"].as_f64());
        assert!(held.clone().count() > 0 && held.clone().all(|ms| ms > 0.0 && ms < 5000.0), "{points}");
    });
    drop(following);
    drop(mount);
    for (number, round) in rounds {
        let time = world.points().iter().find(|(n, _)| *n == number).unwrap().1.clone();
        judge(&world, kind, &time, round);
    }
}

/// Tells a thread to stop, by a panic too.
pub(crate) struct StopOnDrop<'a>(pub(crate) &'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Makes, changes and removes files until told to stop.
fn noise(folder: &Path, stop: &AtomicBool) {
    let mut numbers = Numbers(77);
    while !stop.load(Ordering::Relaxed) {
        let path = folder.join(format!("noise{}", numbers.below(20)));
        match numbers.below(3) {
            0 => drop(fs::remove_file(&path)),
            _ => {
                let len = numbers.below(200_000) as usize;
                fs::write(&path, numbers.bytes(len)).unwrap();
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// A point restores to a whole file system that has all that was durable before it.
fn judge(world: &World, kind: &Kind, time: &str, round: u64) {
    restored(world, kind, time, |folder| {
        for earlier in 0..=round {
            assert!(fs::read(folder.join(format!("round{earlier}"))).unwrap() == content(earlier), "round {earlier}");
        }
        assert!(fs::read(folder.join("first")).unwrap() == content(1000));
    });
}

/// Restores a point of machine `m`: its file system's own tools find nothing wrong, nor does who looks at its files.
pub(crate) fn restored(world: &World, kind: &Kind, time: &str, files: impl Fn(&Path)) {
    let (image, folder) = (world.path("restored"), world.path("look"));
    world.ok(&["restore", "m", "--at", time, "--to", text(&image), "--yes"]);
    fs::create_dir_all(&folder).unwrap();
    let look = |options: &str| {
        let mount = Mount::new(&["-o", options], text(&image), &folder);
        files(&folder);
        drop(mount);
    };
    if kind.replay {
        look(&format!("loop,{}", kind.mount));
    }
    let said = output(kind.judge[0], kind.judge[1..].iter().copied().chain([text(&image)]));
    assert!(said.status.success(), "{:?} of {time}: {said:?}", kind.judge);
    if !kind.replay {
        look("loop,ro");
    }
    fs::remove_file(&image).unwrap();
}

#[test]
fn ext4_is_followed_through_kills_and_restarts() {
    through_kills_and_restarts(&EXT4);
}

#[test]
fn xfs_is_followed_through_kills_and_restarts() {
    through_kills_and_restarts(&XFS);
}

#[test]
fn btrfs_is_followed_through_kills_and_restarts() {
    through_kills_and_restarts(&BTRFS);
}

#[test]
fn what_cannot_be_followed_is_said_and_compared() {
    let world = World::new();
    let image = world.path("disk");
    sparse(&image, 64 << 20);
    let device = Loop::new(&image, 512);
    // Nothing is left in the kernel of an attempt that failed at the second disk.
    let pins = || fs::read_dir("/sys/fs/bpf").unwrap().flatten().map(|e| e.file_name()).collect::<Vec<_>>();
    let refused = command(&world, &["protect", device.path(), text(&image), "--machine", "other", "--every", "1s"]);
    let mut running = world.start_as(refused);
    running.wait_for("point 1");
    assert_eq!(running.interrupt(), Some(0));
    assert!(running.log().contains("changes cannot be followed"), "{}", running.log());
    assert!(!pins().iter().any(|name| name.to_string_lossy().starts_with("backstay-other")));
}

#[test]
fn applications_are_told_and_the_point_says_so() {
    let world = World::new();
    let (image, folder) = (world.path("disk"), world.path("mounted"));
    sparse(&image, 256 << 20);
    let device = Loop::new(&image, 512);
    run("mkfs.ext4", ["-q", device.path()]);
    let mount = Mount::new(&["-o", "rw"], device.path(), &folder);
    let following = Following::new(&world, device.path());
    let log = world.path("hooks");
    let (before, after) = (format!("echo before >> {}", text(&log)), format!("echo $BACKSTAY_POINT >> {}", text(&log)));
    let hooks = ["--before", &before, "--after", &after, "--postgres", "host=/nowhere"];
    let args = ["protect", device.path(), "--machine", "m", "--every", "1s"];
    let mut running = world.start_as(command(&world, &[&args[..], &hooks].concat()));
    assert!(patiently(|| world.points_or_none().len() >= 2), "{}", running.log());
    let second = command(&world, &args).output().unwrap();
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(second.status.code() == Some(4) && said.contains("another process follows m"), "{said}");
    assert_eq!(running.interrupt(), Some(0), "{}", running.log());
    assert!(fs::read_to_string(&log).unwrap().starts_with("before\nkept\nbefore\nkept\n"));
    let notes = world.json(&["points", "m"]);
    let note = notes[0]["note"].as_str().unwrap();
    assert!(note.contains("failed"), "a server that is not there: {note}");
    drop((following, mount));
    world.refused(2, &["protect", device.path(), "--max-freeze", "6s"]);
    world.refused(2, &["protect", device.path(), "--hook-limit", "0s"]);
    world.refused(2, &["protect", device.path(), "--mariadb", "what://is this"]);
}

/// The restart itself is tried in guests: `cargo xtask guest restart`.
#[test]
fn marks_are_saved_only_of_disks_that_nothing_uses() {
    let world = World::new();
    let (image, folder) = (world.path("disk"), world.path("mounted"));
    sparse(&image, 256 << 20);
    let device = Loop::new(&image, 512);
    run("mkfs.ext4", ["-q", device.path()]);
    let marks = |what: &str| {
        let said = command(&world, &["marks", what]).output().unwrap();
        assert!(said.status.success(), "{said:?}");
        String::from_utf8(said.stdout).unwrap()
    };
    let saved = || world.path("state").read_dir().map_or(0, |entries| entries.flatten().count());
    let following = Following { world: &world, device: device.path().to_owned() };
    let mount = Mount::new(&["-o", "rw"], device.path(), &folder);
    let mut running = follow(&world, device.path());
    write_and_wait(&world, &folder, 0, &running);
    assert!(marks("save").contains("in use by another process"));
    assert_eq!(running.interrupt(), Some(0), "{}", running.log());
    assert!(marks("save").contains("is compared after the restart: ") && saved() == 0);
    drop(mount);
    assert!(marks("save").contains("are saved") && saved() == 1);
    let refused = output("mount", ["-o", "rw", device.path(), text(&folder)]);
    assert!(!refused.status.success() || run("findmnt", ["-no", "OPTIONS", text(&folder)]).starts_with("ro"));
    drop(output("umount", [text(&folder)]));
    // The machine goes on after all: nothing was lost.
    assert!(marks("load").contains("was not restarted") && saved() == 0);
    let mount = Mount::new(&["-o", "rw"], device.path(), &folder);
    assert!(marks("load").is_empty());
    let mut running = follow(&world, device.path());
    write_and_wait(&world, &folder, 1, &running);
    assert_eq!(running.interrupt(), Some(0), "{}", running.log());
    assert!(!running.log().contains("compar"), "{}", running.log());
    drop((mount, following));
}

#[test]
fn saved_marks_are_of_the_past_once_a_disk_is_followed() {
    let world = World::new();
    let image = world.path("disk");
    sparse(&image, 64 << 20);
    let device = Loop::new(&image, 512);
    let following = Following { world: &world, device: device.path().to_owned() };
    let mut running = follow(&world, device.path());
    running.wait_for("point 3");
    assert_eq!(running.interrupt(), Some(0), "{}", running.log());
    assert!(command(&world, &["marks", "save"]).output().unwrap().status.success());
    let saved = || world.path("state").read_dir().unwrap().flatten().count();
    assert_eq!(saved(), 1);
    run("blockdev", ["--setrw", device.path()]);
    let mut running = follow(&world, device.path());
    running.wait_for("point 4");
    assert_eq!(saved(), 0);
    assert_eq!(running.interrupt(), Some(0), "{}", running.log());
    drop(following);
}

/// Two disks, of which one process's marks are not trusted by the next: that one is compared, and the timeline has both.
#[test]
fn only_disks_that_are_doubted_are_compared() {
    let world = World::new();
    let disk = |name: &str| {
        let image = world.path(name);
        sparse(&image, 96 << 20);
        let device = Loop::new(&image, 512);
        run("mkfs.ext4", ["-q", device.path()]);
        let mount = Mount::new(&["-o", "rw"], device.path(), &world.path(&format!("on-{name}")));
        (device, mount)
    };
    let (one, other) = (disk("one"), disk("other"));
    let name = |device: &Loop| device.path().trim_start_matches("/dev/").to_owned();
    let (trusted, doubted) = (name(&one.0), name(&other.0));
    let following = Following { world: &world, device: one.0.path().to_owned() };
    let args = ["protect", one.0.path(), other.0.path(), "--machine", "m", "--every", "1s"];
    let write = |round: u64| {
        for folder in ["on-one", "on-other"] {
            let mut file = fs::File::create(world.path(folder).join(format!("round{round}"))).unwrap();
            file.write_all(&content(round)).unwrap();
            file.sync_all().unwrap();
        }
    };
    let points = || world.points_or_none().len();
    let mut running = world.start_as(command(&world, &args));
    write(0);
    assert!(patiently(|| points() >= 3), "{}", running.log());
    assert_eq!(running.interrupt(), Some(0), "{}", running.log());
    write(1);
    let memory = world.path("run").read_dir().unwrap().flatten().next().unwrap().path();
    let mut value: serde_json::Value = serde_json::from_slice(&fs::read(&memory).unwrap()).unwrap();
    let generation = &mut value["disks"][1]["generation"];
    assert!(generation.is_array());
    *generation = vec![0; 16].into();
    fs::write(&memory, value.to_string()).unwrap();
    let before = points();
    let mut running = world.start_as(command(&world, &args));
    assert!(patiently(|| points() >= before + 2), "{}", running.log());
    write(2);
    let before = points();
    assert!(patiently(|| points() >= before + 2), "{}", running.log());
    assert_eq!(running.interrupt(), Some(0), "{}", running.log());
    let said = running.log();
    assert!(said.contains(&format!("note: {doubted} of m: all that is in use is read and compared")), "{said}");
    drop((following, one, other));
    for name in [trusted, doubted] {
        let image = world.path("restored");
        world.ok(&["restore", &format!("m:{name}"), "--to", text(&image), "--yes"]);
        let said = output("e2fsck", ["-f", "-n", text(&image)]);
        assert!(said.status.success(), "{name}: {said:?}");
        let mount = Mount::new(&["-o", "loop,ro"], text(&image), &world.path("look"));
        for round in 0..3 {
            let file = fs::read(world.path("look").join(format!("round{round}"))).unwrap();
            assert!(file == content(round), "round {round} of {name}");
        }
        drop(mount);
        fs::remove_file(&image).unwrap();
    }
}
