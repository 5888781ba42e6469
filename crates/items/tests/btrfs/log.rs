//! File systems copied while mounted, with fsyncs that no commit followed: what is seen must be what a mount of
//! another copy, which replays the log, shows; and the used ranges alone must restore to the same.

use super::allocation::restored;
use super::compare::compare_replayed;
use super::machine::{Image, Nest, Random, run};
use super::populate::text;
use super::random_work::work;
use backstay_items::btrfs::Btrfs;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// No commit but by our word.
const PATIENT: &str = "noatime,commit=3000";

pub(crate) fn has_log(image: &Image) -> bool {
    let dump = image.dump(&["dump-super"]);
    let line = dump.lines().find_map(|l| l.strip_prefix("log_root\t"));
    line.expect("dump-super names the log root").trim() != "0"
}

/// Compares a copy, and its restored used ranges, with what the kernel makes of another copy.
pub(crate) fn judge(copy: &Image) {
    let restored = restored(copy);
    restored.check();
    judge_by_mount(copy, &restored);
}

/// Compares a copy with what the kernel makes of the restored one.
pub(crate) fn judge_by_mount(copy: &Image, restored: &Image) {
    let tree = Btrfs::open(copy.volume()).unwrap_or_else(|e| panic!("{e}"));
    // The mount's own doings must be told by their times from what came before.
    sleep(Duration::from_millis(1100));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let mounted = restored.mount("noatime");
    compare_replayed(&tree, mounted.path(), now.as_secs() as i64);
}

/// `prepare`, commit, `act` (which fsyncs), copy while mounted, judge.
fn logged(options: (&str, &str), prepare: impl Fn(&Path), act: impl Fn(&Path)) {
    let image = Nest::make(256, options.0);
    let mounted = image.mount(&format!("{PATIENT},{}", options.1));
    prepare(mounted.path());
    run("sync", &["-f".as_ref(), mounted.path().as_os_str()]);
    act(mounted.path());
    let copy = image.copy();
    drop(mounted);
    assert!(has_log(&copy), "nothing was logged: the test tests nothing");
    judge(&copy);
}

fn sync(path: &Path) {
    File::open(path).unwrap().sync_all().unwrap();
}

fn open(path: &Path) -> File {
    OpenOptions::new().write(true).create(true).truncate(false).open(path).unwrap()
}

#[test]
fn new_and_changed_files() {
    let prepare = |dir: &Path| {
        fs::write(dir.join("old"), text(1_000_000)).unwrap();
        fs::write(dir.join("shrunk"), text(500_000)).unwrap();
        fs::write(dir.join("small"), text(100)).unwrap();
    };
    logged(("", "compress=zstd"), prepare, |dir| {
        fs::write(dir.join("new"), text(300_000)).unwrap();
        sync(&dir.join("new"));
        let old = open(&dir.join("old"));
        old.write_all_at(&[7; 50_000], 333_333).unwrap();
        old.sync_all().unwrap();
        let shrunk = open(&dir.join("shrunk"));
        shrunk.set_len(1234).unwrap();
        shrunk.sync_all().unwrap();
        let small = open(&dir.join("small"));
        small.write_all_at(&text(9000), 50).unwrap();
        small.sync_all().unwrap();
        // Not fsynced: must not be seen.
        fs::write(dir.join("lost"), "lost").unwrap();
    });
}

fn many_names(dir: &Path) {
    fs::create_dir(dir.join("d")).unwrap();
    for i in 0..200 {
        fs::write(dir.join(format!("d/{i}")), format!("{i}")).unwrap();
    }
    fs::create_dir(dir.join("e")).unwrap();
}

#[test]
fn names_removed() {
    logged(("-n 4096", ""), many_names, |dir| {
        for i in 0..50 {
            fs::remove_file(dir.join(format!("d/{}", 3 * i))).unwrap();
        }
        sync(&dir.join("d"));
    });
}

#[test]
fn names_moved_and_made() {
    logged(("-n 4096", ""), many_names, |dir| {
        fs::rename(dir.join("d/1"), dir.join("d/one")).unwrap();
        fs::rename(dir.join("d/7"), dir.join("d/8")).unwrap();
        fs::create_dir(dir.join("d/new")).unwrap();
        fs::write(dir.join("d/new/file"), "new").unwrap();
        std::os::unix::fs::symlink("target", dir.join("d/link")).unwrap();
        sync(&dir.join("d"));
        fs::rename(dir.join("d/4"), dir.join("e/four")).unwrap();
        sync(&dir.join("e/four"));
    });
}

/// More names than fit one reference item, so that the log holds extended references.
#[test]
fn names_linked() {
    let long = |dir: &Path, i| dir.join(format!("e/{i}{}", "l".repeat(99)));
    let prepare = |dir: &Path| {
        many_names(dir);
        for i in 0..60 {
            fs::hard_link(dir.join("d/2"), long(dir, i)).unwrap();
        }
    };
    logged(("-n 4096", ""), prepare, |dir| {
        open(&dir.join("d/2")).write_all_at(&text(7000), 0).unwrap();
        fs::hard_link(dir.join("d/5"), dir.join("d/new")).unwrap();
        sync(&dir.join("d/5"));
        sync(&dir.join("d/2"));
    });
}

#[test]
fn two_subvolumes_with_logs() {
    let prepare = |dir: &Path| {
        let sub = dir.join("sub");
        run("btrfs", &["-q", "subvolume", "create", sub.to_str().unwrap()]);
        fs::write(sub.join("file"), text(10_000)).unwrap();
        fs::write(dir.join("file"), text(10_000)).unwrap();
    };
    logged(("--csum sha256", ""), prepare, |dir| {
        for path in ["sub/file", "file", "sub/new"] {
            let file = open(&dir.join(path));
            file.write_all_at(&text(60_000), 5000).unwrap();
            file.sync_all().unwrap();
        }
    });
}

#[test]
fn explicit_holes_and_mixed_groups() {
    let prepare = |dir: &Path| fs::write(dir.join("file"), text(900_000)).unwrap();
    logged(("--mixed -O ^no-holes", ""), prepare, |dir| {
        let file = open(&dir.join("file"));
        rustix::fs::fallocate(
            &file,
            rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE,
            100_000,
            300_000,
        )
        .unwrap();
        file.sync_all().unwrap();
        let sparse = open(&dir.join("sparse"));
        sparse.write_all_at(b"end", 5_000_000).unwrap();
        sparse.sync_all().unwrap();
    });
}

/// Copies taken in the middle of the work of several threads: clones of the backing file, which are atomic.
#[test]
fn copies_at_any_instant() {
    let copies: usize = std::env::var("BTRFS_INSTANTS").map_or(6, |s| s.parse().unwrap());
    let nest = Nest::make(256, "");
    let mounted = nest.mount("noatime,commit=1");
    let stop = AtomicBool::new(false);
    let mut with_log = 0;
    std::thread::scope(|scope| {
        for seed in 0..3 {
            let (stop, dir) = (&stop, mounted.path());
            scope.spawn(move || {
                let mut random = Random(1000 + seed);
                while !stop.load(Ordering::Relaxed) {
                    work(dir, &mut random, 5);
                }
            });
        }
        for i in 0..copies {
            sleep(Duration::from_millis(900 + 370 * i as u64 % 1000));
            nest.clone_as(&format!("clone{i}"));
        }
        stop.store(true, Ordering::Relaxed);
    });
    drop(mounted);
    for i in 0..copies {
        let copy = nest.take(&format!("clone{i}"));
        with_log += u64::from(has_log(&copy));
        judge(&copy);
    }
    eprintln!("{with_log} of {copies} copies had a log");
}

/// Random work, then copies at the end of it; seeds that ever failed would be listed here.
#[test]
fn random_work_then_a_copy() {
    let seeds: u64 = std::env::var("BTRFS_LOG_SEEDS").map_or(8, |s| s.parse().unwrap());
    let first: u64 = std::env::var("BTRFS_LOG_FIRST").map_or(1, |s| s.parse().unwrap());
    let mut with_log = 0;
    for seed in first..first + seeds {
        let mut random = Random(seed);
        let mkfs = ["", "-n 4096", "--mixed", "-m single -O ^no-holes"][random.below(4) as usize];
        let compress = ["", ",compress=lzo"][random.below(2) as usize];
        let image = Nest::make(256, mkfs);
        let mounted = image.mount(&format!("{PATIENT}{compress}"));
        let before = [150, 0, 150, 1500][random.below(4) as usize];
        work(mounted.path(), &mut random, before);
        run("sync", &["-f".as_ref(), mounted.path().as_os_str()]);
        let steps = 5 + random.below(60) as usize;
        work(mounted.path(), &mut random, steps);
        let copy = image.copy();
        drop(mounted);
        eprintln!("seed {seed}: {mkfs} {compress} {steps}");
        with_log += u64::from(has_log(&copy));
        judge(&copy);
    }
    eprintln!("{with_log} of {seeds} copies had a log");
    assert!(with_log * 4 >= seeds, "too few copies had a log: {with_log} of {seeds}");
}
