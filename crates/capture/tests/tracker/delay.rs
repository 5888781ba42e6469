//! A disk that is slow to write and quick to read: what is marked only when a write is sent, and not when it is
//! done, is read before the write has arrived, and then never again.
//!
//! Never knows: the programs' source.

use std::fs::File;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backstay_capture::tracker::Tracker;

use crate::slow::Slow;
use crate::world::{self, Copy, Killed, Loop, MIB, World, pass};

const ISSUE_ONLY: &[u8] = include_bytes!("../objects/issue_only.bpf.o");

/// Writes each page twice while a copy follows; answers how many of 1024 pages are stale in the end.
fn stale_pages(open: impl FnOnce(&World) -> Tracker) -> usize {
    let world = World::new();
    let backing =
        File::options().create_new(true).read(true).write(true).open(world.folder.path().join("disk")).unwrap();
    backing.set_len(4 * MIB).unwrap();
    let turns = Arc::new(AtomicU64::new(0));
    let slow = Slow::over(backing, &world.folder.path().join("slow"), turns.clone());
    let device = Loop::over(slow.file(), &["--direct-io=on"]);
    let mut tracker = open(&world);
    let disk = tracker.add(&device.path).unwrap();
    let mut copy = Copy::of(&device.path);
    let mut writer = Command::new("fio");
    writer.arg(format!("--filename={}", device.path.display()));
    writer.args([
        "--thread",
        "--name=writer",
        "--rw=randwrite",
        "--bs=4k",
        "--direct=1",
        "--ioengine=libaio",
        "--iodepth=16",
    ]);
    writer.args(["--size=4m", "--io_size=8m", "--randrepeat=0"]);
    let mut writer = Killed(writer.stdout(Stdio::null()).spawn().unwrap());
    let mut ended = None;
    while ended.is_none() {
        ended = writer.0.try_wait().unwrap();
        copy.follow(&disk, pass(1));
        turns.fetch_add(1, Ordering::SeqCst);
    }
    assert!(ended.unwrap().success());
    copy.follow(&disk, pass(1));
    copy.stale(&device.path).len()
}

#[test]
fn marks_at_completion_lose_nothing() {
    assert_eq!(stale_pages(World::tracker), 0);
}

/// The test above proves something only because this one fails to follow.
#[test]
fn marks_at_issue_alone_lose_writes() {
    let stale = stale_pages(|world| world::open(&world.pins.0, |pins| Tracker::open_with(pins, ISSUE_ONLY)));
    assert!(stale > 900, "{stale} of 1024 pages are stale");
}
