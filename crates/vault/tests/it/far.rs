//! Disks that somebody else reads: the same points as of disks that are read here, whatever that somebody says.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use backstay_env::real::disk::Buffers;
use backstay_format::rows::Consistency;
use backstay_format::units::{ChunkId, Timestamp};
use backstay_scan::{Cutting, Page, SEGMENT, Segment, View};
use backstay_seal::Secret;
use backstay_seal::compress::Compressor;
use backstay_store::ingest::Tuning;
use backstay_vault::gap::Promise;
use backstay_vault::protect::{
    Boundary, DiskFacts, Far, FarCapture, FarChanged, FarFrame, FarSegment, Made, Offer, Progress, Shown, Told, Verdict,
};
use backstay_vault::{Vault, VaultError};

use crate::world::{World, noise, protect, read};

const PAGE: usize = 4096;

/// How somebody misbehaves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lie {
    None,
    /// A chunk has other bytes than its name says.
    Bytes,
    /// Chunks do not fill the data.
    Short,
    /// Fewer frames come than were asked for.
    Missing,
    /// A frame of another make of zstd.
    Checksum,
    /// A frame goes on after its end.
    Length,
    /// A frame larger than any reader takes.
    Huge,
    /// More is absent behind a segment than there can be.
    Behind,
}

/// Reads a disk in memory.
struct Somebody<'d> {
    disk: &'d Vec<u8>,
    /// Bytes in use.
    used: Vec<Range<u64>>,
    keys: (Secret, Secret),
    lie: Lie,
    held: Mutex<BTreeMap<u64, Held>>,
    looked: AtomicU64,
    sent: AtomicU64,
}

/// A segment, and where its chunks are in it.
type Held = (Vec<u8>, Vec<Range<usize>>);

impl<'d> Somebody<'d> {
    fn new(vault: &Vault, disk: &'d Vec<u8>, lie: Lie) -> Self {
        let (cut, name) = vault.keys_for_agents();
        let used = std::iter::once(0..disk.len() as u64).collect();
        let keys = (cut.clone(), name.clone());
        Somebody { disk, used, keys, lie, held: Mutex::default(), looked: AtomicU64::new(0), sent: AtomicU64::new(0) }
    }
}

impl Far for Somebody<'_> {
    fn look(&self, number: u64, segment: &FarSegment) -> io::Result<Offer> {
        self.looked.fetch_add(1, Ordering::Relaxed);
        let view = View { volume: self.disk, used: &self.used, excluded: &[] };
        let buffers = Buffers::new(SEGMENT as usize * PAGE);
        let (Segment { bytes, state }, _) = Segment::read(&view, &segment.pieces, &buffers)?;
        let cutting = Cutting::new(&self.keys.0, &self.keys.1);
        let mut chunks: Vec<(ChunkId, Range<usize>)> = Vec::new();
        let mut at = 0;
        for piece in &segment.pieces {
            let end = at + (piece.end - piece.start) as usize;
            while at < end {
                let run = state[at..end].iter().take_while(|page| **page == state[at]).count();
                if state[at] == Page::Data {
                    chunks.extend(cutting.chunks(&bytes, at..at + run));
                }
                at += run;
            }
        }
        if self.lie == Lie::Short {
            chunks.pop();
        }
        let named: Vec<_> = chunks.iter().map(|(id, range)| (*id, range.len() / PAGE)).collect();
        let ranges = chunks.into_iter().map(|(_, range)| range).collect();
        if !named.is_empty() {
            self.held.lock().unwrap().insert(number, (bytes.to_vec(), ranges));
        }
        let end = segment.pieces.last().map_or(0, |piece| piece.end);
        let next = self.used.iter().find(|used| used.end > end * PAGE as u64).map(|used| used.start / PAGE as u64);
        let next =
            next.unwrap_or(if self.lie == Lie::Behind { u64::MAX } else { self.disk.len() as u64 / PAGE as u64 });
        Ok(Offer { state, chunks: named, absent_behind: next.saturating_sub(end) })
    }

    fn forget(&self, number: u64) -> io::Result<()> {
        assert!(self.held.lock().unwrap().remove(&number).is_some());
        Ok(())
    }

    fn fetch(&self, number: u64, wanted: &[bool]) -> io::Result<Vec<FarFrame>> {
        let (mut bytes, ranges) = self.held.lock().unwrap().remove(&number).unwrap();
        let ranges: Vec<_> = ranges.into_iter().zip(wanted).filter(|(_, wanted)| **wanted).map(|(r, _)| r).collect();
        if let (Lie::Bytes, Some(range)) = (self.lie, ranges.first()) {
            bytes[range.start + 77] ^= 1;
        }
        let mut frames = Vec::new();
        for few in ranges.chunks(if self.lie == Lie::Huge { 1024 } else { 3 }) {
            let plain: Vec<u8> = few.iter().flat_map(|range| bytes[range.clone()].to_vec()).collect();
            let mut out = Vec::new();
            let compressed = Compressor::new(3).compress(&plain, &mut out);
            let mut bytes = if compressed { out } else { plain };
            if self.lie == Lie::Checksum && compressed {
                bytes[4] |= 4;
            }
            if self.lie == Lie::Length {
                bytes.push(0);
            }
            self.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            frames.push(FarFrame { chunks: few.len(), bytes, compressed });
        }
        if self.lie == Lie::Missing {
            frames.pop();
        }
        Ok(frames)
    }
}

fn facts(disk: &[u8]) -> DiskFacts {
    DiskFacts {
        name: "sda".into(),
        origin: "elsewhere".into(),
        size: disk.len() as u64,
        sector: 512,
        used: disk.len() as u64,
        exclusions: Vec::new(),
    }
}

fn with_capture<T>(disk: &[u8], far: &dyn Far, shown: &Shown, then: impl FnOnce(&FarCapture<'_>) -> T) -> T {
    then(&FarCapture {
        machine: "alpha",
        disks: vec![facts(disk)],
        far,
        shown,
        note: String::new(),
        verdict: &|| Ok(Verdict { consistency: Consistency::Still, stamps: Vec::new() }),
        cancel: &AtomicBool::new(false),
        progress: &Progress::default(),
        promise: Promise::default(),
    })
}

fn protect_far(vault: &Vault, disk: &Vec<u8>) -> (Made, u64) {
    let far = Somebody::new(vault, disk, Lie::None);
    let made = with_capture(disk, &far, &Shown::default(), |capture| vault.protect_far(capture)).unwrap();
    (made, far.sent.into_inner())
}

/// Text that compresses, noise that does not, zeros, and the same again.
fn disk() -> Vec<u8> {
    let mut disk = vec![0; 9 << 20];
    disk[PAGE..PAGE + (2 << 20)].copy_from_slice(&noise(2 << 20, 5));
    let text: Vec<u8> = (0..300_000u32).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
    disk[3 << 20..(3 << 20) + (2 << 20)].copy_from_slice(&text[..2 << 20]);
    disk.copy_within(PAGE..PAGE + (2 << 20), 6 << 20);
    disk
}

#[test]
fn a_point_is_as_of_a_disk_that_is_read_here() {
    let (near, far) = (World::new(), World::new());
    let mut disk = disk();
    let (near_vault, far_vault) = (near.open(), far.open());
    protect(&near_vault, &disk);
    let (made, sent) = protect_far(&far_vault, &disk);
    let first = made.point.number;
    assert!(read(&far_vault, first) == disk);
    // The same bytes are stored, to some hundredths; the copy is not sent where it comes after what it is of.
    let (here, there) = (near.packs().0, far.packs().0);
    assert!(there < here + here / 20, "{there} bytes, of a disk that is read here {here}");
    assert!(sent < 5 << 20, "{sent} bytes were sent");

    // Little changes: little is sent, and only changed pages are stored.
    let before = disk.clone();
    disk[5 * PAGE..6 * PAGE].copy_from_slice(&noise(PAGE, 9));
    disk[800 * PAGE..801 * PAGE].fill(0);
    let stored = far.packs().0;
    let (made, sent) = protect_far(&far_vault, &disk);
    assert!(read(&far_vault, made.point.number) == disk && read(&far_vault, first) == before);
    assert!(sent < 300 << 10 && far.packs().0 - stored < 40 << 10, "{sent}, {}", far.packs().0 - stored);
    assert_eq!(made.point.row.changed, 1);
    // Nothing changed: of what is not whole in the map, something is sent; nothing is stored.
    let stored = far.packs().0;
    let (again, sent) = protect_far(&far_vault, &disk);
    assert!(sent < 300 << 10 && far.packs().0 - stored < 8 << 10 && again.point.row.changed == 0, "{sent}");
    far.witnessed(&BTreeMap::from([(first.0, before), (made.point.number.0, disk)]));
}

#[test]
fn followed_from_elsewhere() {
    let world = World::new();
    let vault = world.open();
    let mut disk = disk();
    let (cancel, shown) = (AtomicBool::new(false), Shown::default());
    let far = Somebody::new(&vault, &disk, Lie::None);
    let mut at: Boundary = with_capture(&disk, &far, &shown, |capture| vault.catch_up_far(capture)).unwrap();
    let mut expected = BTreeMap::new();
    for round in 0..6u64 {
        let pages = [round * 7..round * 7 + 2, 700 + round..701 + round, 1020 + round..1030 + round];
        for page in pages.iter().flat_map(Clone::clone) {
            let place = page as usize * PAGE;
            disk[place..place + PAGE].copy_from_slice(&noise(PAGE, page + round * 1000));
        }
        let far = Somebody::new(&vault, &disk, Lie::None);
        let mut following = vault.follow(&at).unwrap();
        let changed = FarChanged { disk: 0, pages: pages.to_vec() };
        following.pass_far(&[changed], (&far, &shown), &cancel).unwrap();
        let told = Told {
            time: Timestamp(round as i64),
            consistency: Consistency::Still,
            held: 0,
            note: String::new(),
            exclusions: Vec::new(),
            promise: Promise::default(),
        };
        let made = following.publish(told).unwrap();
        at = made.boundary();
        expected.insert(made.point.number.0, disk.clone());
        vault.settle(made.machine.id).unwrap();
    }
    world.witnessed(&expected);
}

#[test]
fn lies_are_refused_and_leave_nothing_wrong_behind() {
    for lie in [Lie::Bytes, Lie::Short, Lie::Missing, Lie::Checksum, Lie::Length, Lie::Huge] {
        let world = World::new();
        let vault = world.open();
        let disk = disk();
        let far = Somebody::new(&vault, &disk, lie);
        let outcome = with_capture(&disk, &far, &Shown::default(), |capture| vault.protect_far(capture));
        assert!(matches!(outcome, Err(VaultError::Source { .. })));
        let (made, _) = protect_far(&vault, &disk);
        world.witnessed(&BTreeMap::from([(made.point.number.0, disk)]));
    }
}

/// Two machines at once in one vault, with the same bytes: neither waits for the other, nor relies on what the other did not
/// commit.
#[test]
fn machines_do_not_rely_on_each_others_unfinished_work() {
    let world = World::new();
    let vault = world.open();
    let disk = disk();
    let capture = |machine: &'static str| {
        let (vault, disk) = (&vault, &disk);
        move || {
            let far = Somebody::new(vault, disk, Lie::None);
            let capture = FarCapture {
                machine,
                disks: vec![facts(disk)],
                far: &far,
                shown: &Shown::default(),
                note: String::new(),
                verdict: &|| Ok(Verdict { consistency: Consistency::Still, stamps: Vec::new() }),
                cancel: &AtomicBool::new(false),
                progress: &Progress::default(),
                promise: Promise::default(),
            };
            vault.protect_far(&capture).unwrap();
        }
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = ["alpha", "beta", "gamma", "delta"].map(|m| scope.spawn(capture(m))).into_iter().collect();
        all.into_iter().for_each(|one| one.join().unwrap());
    });
    assert!(world.witness().check().findings.is_empty());
    assert!(read(&vault, vault.boundary("alpha").unwrap().unwrap().number) == disk);
}

/// Somebody far away: nothing is answered before so many segments were asked for.
struct FarAway<'d> {
    somebody: Somebody<'d>,
    /// Segments asked for, of which not all is answered: now, and the most there ever were.
    held: Mutex<(usize, usize)>,
    more: Condvar,
    enough: usize,
}

impl Far for FarAway<'_> {
    fn look(&self, number: u64, segment: &FarSegment) -> io::Result<Offer> {
        let mut held = self.held.lock().unwrap();
        held.0 += 1;
        held.1 = held.1.max(held.0);
        self.more.notify_all();
        // Not for ever: then the test fails.
        let patience = Duration::from_secs(20);
        drop(self.more.wait_timeout_while(held, patience, |(_, most)| *most < self.enough).unwrap());
        let offer = self.somebody.look(number, segment)?;
        self.held.lock().unwrap().0 -= usize::from(offer.chunks.is_empty());
        Ok(offer)
    }

    fn fetch(&self, number: u64, wanted: &[bool]) -> io::Result<Vec<FarFrame>> {
        let frames = self.somebody.fetch(number, wanted);
        self.held.lock().unwrap().0 -= 1;
        frames
    }

    fn forget(&self, number: u64) -> io::Result<()> {
        self.somebody.forget(number)?;
        self.held.lock().unwrap().0 -= 1;
        Ok(())
    }
}

/// A link of 1 Gbit/s and 20 ms is full with some ten; an agent holds 24 in memory, and takes more for an attack.
#[test]
fn enough_is_asked_for_to_fill_a_link_and_no_more_however_many_threads_there_are() {
    for threads in [1, 40] {
        let world = World::new();
        let vault = world.open().with_tuning(Tuning { threads, ..Tuning::default() });
        let mut disk = vec![0; 160 << 20];
        disk[PAGE..PAGE + (1 << 20)].copy_from_slice(&noise(1 << 20, 5));
        let somebody = Somebody::new(&vault, &disk, Lie::None);
        let far = FarAway { somebody, held: Mutex::default(), more: Condvar::new(), enough: 16 };
        with_capture(&disk, &far, &Shown::default(), |capture| vault.protect_far(capture)).unwrap();
        assert_eq!(far.held.into_inner().unwrap(), (0, 16), "with {threads} threads");
    }
}

/// What nothing uses is not asked for, segment by segment: over a long link it would take hours on a large disk.
#[test]
fn a_hole_is_asked_for_once() {
    for lie in [Lie::None, Lie::Behind] {
        let world = World::new();
        let vault = world.open();
        let mut disk = vec![0; 512 << 20];
        let (head, tail) = (5 << 20, 300 << 20);
        disk[..head].copy_from_slice(&noise(head, 6));
        disk[tail..tail + head].copy_from_slice(&noise(head, 7));
        let mut somebody = Somebody::new(&vault, &disk, lie);
        somebody.used = vec![0..head as u64, tail as u64..(tail + head) as u64];
        with_capture(&disk, &somebody, &Shown::default(), |capture| vault.protect_far(capture)).unwrap();
        let looked = somebody.looked.load(Ordering::Relaxed);
        assert!(looked < 4 + 2 * 24, "of 128 segments {looked} were asked for");
        assert!(somebody.held.lock().unwrap().is_empty());
        assert!(read(&vault, vault.boundary("alpha").unwrap().unwrap().number) == disk);
        assert!(world.witness().check().findings.is_empty());
    }
}
