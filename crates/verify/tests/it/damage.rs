//! Damage, one piece at a time: what is kept twice costs nothing, what is
//! kept once is named, and none of it is ever given out wrong.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use backstay_verify::{Id, Kind, Reader};

use crate::fixture::{BIG, Fixture, WEB};
use crate::vault::{NAME, PASSPHRASE};
use crate::whole::{open, read};

/// Every file of the store, by name.
fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder of the store") {
            let path = entry.expect("an entry").path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// A file with some of its bytes changed, until dropped.
struct Damaged<'a> {
    path: &'a Path,
    whole: Vec<u8>,
}

impl<'a> Damaged<'a> {
    fn new(path: &'a Path, damage: impl FnOnce(&mut Vec<u8>)) -> Self {
        let whole = std::fs::read(path).expect("the object");
        let mut bytes = whole.clone();
        damage(&mut bytes);
        std::fs::write(path, bytes).expect("the object is written");
        Self { path, whole }
    }
}

impl Drop for Damaged<'_> {
    fn drop(&mut self) {
        std::fs::write(self.path, &self.whole).expect("the object is written back");
    }
}

/// Each disk comes out right but for what is named. How many bytes are named
/// that are not named in a whole store.
fn named(fixture: &Fixture, reader: &Reader) -> u64 {
    named_of(fixture, reader, &[WEB, BIG])
}

fn named_of(fixture: &Fixture, reader: &Reader, machines: &[[u8; 16]]) -> u64 {
    let mut more = 0;
    let disks = fixture.disks.iter().filter(|((machine, ..), _)| machines.contains(machine));
    for (&(machine, number, disk), due) in disks {
        let (mut bytes, unvouched) = read(reader, Id(machine), number, disk);
        assert_eq!(bytes.len(), due.len());
        let mut due = due.clone();
        for range in unvouched {
            let whole = range.offset as usize..(range.offset + range.length) as usize;
            assert!(bytes[whole.clone()].iter().all(|&byte| byte == 0), "bytes were given that nobody vouches for");
            due[whole.clone()].fill(0);
            bytes[whole].fill(0);
            more += range.length;
        }
        assert!(bytes == due, "disk {disk} at point {number} of {} came out wrong", Id(machine));
        if machine == WEB && disk == 1 {
            more -= 4096; // the page that the source could not read
        }
    }
    more
}

fn start_of_second(size: usize) -> usize {
    size.div_ceil(2).next_multiple_of(4096)
}

#[test]
fn either_copy_of_every_small_object_can_be_lost() {
    let fixture = Fixture::new();
    for path in files(fixture.vault.path()) {
        if path.components().any(|part| part.as_os_str() == "pack") {
            continue;
        }
        for second in [false, true] {
            let damaged = Damaged::new(&path, |bytes| {
                let middle = start_of_second(bytes.len());
                if second { bytes[middle..].fill(0x55) } else { bytes[..middle].fill(0x55) }
            });
            let reader = open(&fixture);
            assert_eq!(named(&fixture, &reader), 0, "{}, second {second}", path.display());
            let report = reader.check();
            assert!(report.findings.iter().all(|finding| finding.kind == Kind::Copy), "{:?}", report.findings);
            assert_eq!(report.exit_status(), 3, "{}, second {second}", path.display());
            drop(damaged);
        }
    }
}

#[test]
fn a_flipped_byte_anywhere_is_found_and_costs_no_small_object() {
    let fixture = Fixture::new();
    for path in files(fixture.vault.path()) {
        let size = std::fs::metadata(&path).expect("its length").len() as usize;
        let in_pack = path.components().any(|part| part.as_os_str() == "pack");
        // The headers of both copies byte by byte; the rest here and there.
        let middle = if in_pack { 0 } else { start_of_second(size) };
        let stride = (size / 16).max(1);
        let big = path.to_string_lossy().contains("c3c3c3");
        let machines = if big { &[BIG][..] } else { &[WEB][..] };
        let places = (0..72).step_by(9).chain((middle..middle + 72).step_by(11)).chain((0..size).step_by(stride));
        for place in places.chain([size - 1]) {
            let _damaged = Damaged::new(&path, |bytes| bytes[place] ^= 0x10);
            let reader = open(&fixture);
            let more = named_of(&fixture, &reader, machines);
            assert!(in_pack || more == 0, "byte {place} of {}", path.display());
            assert_eq!(reader.check().exit_status(), 3, "byte {place} of {} is not found", path.display());
        }
    }
}

#[test]
fn an_object_that_is_cut_off_or_goes_on_is_found() {
    let fixture = Fixture::new();
    for path in files(fixture.vault.path()) {
        let in_pack = path.components().any(|part| part.as_os_str() == "pack");
        let size = std::fs::metadata(&path).expect("its length").len() as usize;
        let mut lengths = vec![size - 1];
        lengths.extend(if in_pack { vec![size / 2] } else { vec![start_of_second(size), size + 4096] });
        for length in lengths {
            let _damaged = Damaged::new(&path, |bytes| bytes.resize(length, 0));
            let reader = open(&fixture);
            let more = named(&fixture, &reader);
            assert!(in_pack || more == 0, "{length} bytes of {}", path.display());
            assert_eq!(reader.check().exit_status(), 3, "{length} bytes of {}", path.display());
        }
    }
}

#[test]
fn a_lost_state_costs_nothing() {
    let fixture = Fixture::new();
    for kind in ["state", "parts"] {
        let folder = fixture.vault.file(&format!("vault/{NAME}/ledger/{kind}"));
        let newest = files(&folder).pop().expect("a state");
        let _damaged = Damaged::new(&newest, |bytes| bytes.fill(0));
        let reader = open(&fixture);
        assert_eq!(named(&fixture, &reader), 0);
        let report = reader.check();
        assert!(report.findings.iter().any(|finding| finding.kind == Kind::Lost), "{:?}", report.findings);
    }
}

/// Where the frames of a fixture's pack lie in its object.
fn frames(fixture: &Fixture, pack: usize) -> (PathBuf, Vec<std::ops::Range<usize>>) {
    let object = [0xc1, 0xc2, 0xc2, 0xc3][pack];
    let id = format!("{object:02x}").repeat(16);
    let path = fixture.vault.file(&format!("vault/{NAME}/pack/{object:02x}/{id}"));
    let (before, _) = match pack {
        2 => fixture.packs[1].finish(&fixture.vault.store, [[0; 16]; 2]),
        _ => (Vec::new(), 0),
    };
    let mut at = before.len() + 64;
    let ranges = fixture.packs[pack].frames.iter().map(|frame| {
        at += frame.stored.len();
        at - frame.stored.len()..at
    });
    (path, ranges.collect())
}

#[test]
fn either_frame_of_every_blob_can_be_lost() {
    let fixture = Fixture::new();
    for pack in 0..fixture.packs.len() {
        let (path, ranges) = frames(&fixture, pack);
        for (number, range) in ranges.into_iter().enumerate() {
            if fixture.packs[pack].frames[number].flags & 2 == 0 {
                continue;
            }
            let _damaged = Damaged::new(&path, |bytes| bytes[range].fill(0xaa));
            let reader = open(&fixture);
            assert_eq!(named(&fixture, &reader), 0, "frame {number} of pack {pack}");
            let kinds: BTreeMap<Kind, ()> = reader.check().findings.iter().map(|finding| (finding.kind, ())).collect();
            assert!(kinds.contains_key(&Kind::Data) && kinds.contains_key(&Kind::Run), "{kinds:?}");
        }
    }
}

#[test]
fn a_lost_chunk_frame_costs_its_pages_and_no_others() {
    let fixture = Fixture::new();
    let (path, ranges) = frames(&fixture, 0);
    let _damaged = Damaged::new(&path, |bytes| bytes[ranges[0].clone()][4000] ^= 1);
    let reader = open(&fixture);
    let (_, unvouched) = read(&reader, Id(WEB), 1, 1);
    let ranges: Vec<(u64, u64)> = unvouched.iter().map(|range| (range.offset / 4096, range.length)).collect();
    assert_eq!(ranges, [(0, 6 * 4096), (14, 4096), (20, 100)]);
    assert!(unvouched[0].reason.contains("frame 0"), "{unvouched:?}");
    named(&fixture, &reader);
}

#[test]
fn a_summary_that_is_lost_is_walked_around() {
    let fixture = Fixture::new();
    // Pack 2 holds the spans 2..3, 3..4, 1..3 and 0..4: two frames each.
    let (path, ranges) = frames(&fixture, 2);
    let _damaged = Damaged::new(&path, |bytes| bytes[ranges[4].start..ranges[7].end].fill(0));
    let reader = open(&fixture);
    assert_eq!(named(&fixture, &reader), 0);
    assert_eq!(reader.check().exit_status(), 3);
}

#[test]
fn a_span_that_is_lost_for_good_names_what_it_may_have_said() {
    let fixture = Fixture::new();
    let (path, ranges) = frames(&fixture, 0);
    let root = ranges.len() - 2;
    let _damaged = Damaged::new(&path, |bytes| bytes[ranges[root].start..ranges[root + 1].end].fill(0));
    let reader = open(&fixture);
    let (_, unvouched) = read(&reader, Id(WEB), 1, 1);
    assert_eq!(unvouched.len(), 1);
    assert_eq!((unvouched[0].offset, unvouched[0].length), (0, crate::fixture::ONE));
    // Points 3 and 4: 1..3 tells six pages of disk 1 and all of disk 2; the
    // summary 0..4 still tells all of point 4.
    let (_, unvouched) = read(&reader, Id(WEB), 4, 1);
    assert_eq!(unvouched.len(), 1);
    named(&fixture, &reader);
}

#[test]
fn a_lost_block_costs_the_pages_between_its_ends() {
    let fixture = Fixture::new();
    let (path, ranges) = frames(&fixture, 3);
    // Frame 0 has the chunk; the blocks follow, two frames each.
    let _damaged = Damaged::new(&path, |bytes| bytes[ranges[3].start..ranges[4].end].fill(0));
    let reader = open(&fixture);
    let (_, unvouched) = read(&reader, Id(BIG), 1, 1);
    let ranges: Vec<(u64, u64)> = unvouched.iter().map(|range| (range.offset / 4096, range.length / 4096)).collect();
    assert_eq!(ranges, [(1500, 1500)]);
    named(&fixture, &reader);
}

#[test]
fn a_store_without_one_of_its_objects_says_which() {
    let fixture = Fixture::new();
    let entry = fixture.vault.file(&format!("vault/{NAME}/ledger/entry/0000000000000003"));
    let bytes = std::fs::read(&entry).expect("entry 3");
    std::fs::remove_file(&entry).expect("entry 3 goes");
    let report = open(&fixture).check();
    assert!(
        report.findings.iter().any(|found| found.kind == Kind::Ledger && found.place.ends_with("0000000000000003")),
        "{:?}",
        report.findings
    );
    std::fs::write(&entry, bytes).expect("entry 3 comes back");
    let header = fixture.vault.file("backstay.store");
    let _damaged = Damaged::new(&header, |bytes| bytes.fill(0));
    assert!(Reader::open(fixture.vault.path(), NAME, PASSPHRASE).is_err());
}

#[test]
fn parts_are_read_each_from_the_copy_in_which_it_is_whole() {
    let fixture = Fixture::new();
    let folder = fixture.vault.file(&format!("vault/{NAME}/ledger/parts"));
    let newest = files(&folder).pop().expect("a parts object");
    // The first part in the first copy and the last in the second.
    let _damaged = Damaged::new(&newest, |bytes| {
        bytes[72 + 20] ^= 1;
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
    });
    let reader = open(&fixture);
    assert_eq!(reader.opened().findings, []);
    assert_eq!(named(&fixture, &reader), 0);
    assert_eq!(reader.check().exit_status(), 3);
}

#[test]
fn an_entry_lost_in_both_copies_is_named_and_nothing_after_it_is_applied() {
    let fixture = Fixture::new();
    let newest = files(&fixture.vault.file(&format!("vault/{NAME}/ledger/entry"))).pop().expect("an entry");
    let _damaged = Damaged::new(&newest, |bytes| bytes.fill(0));
    let reader = open(&fixture);
    assert_eq!(reader.opened().findings.len(), 1);
    assert_eq!(reader.opened().findings[0].kind, Kind::Lost);
    // The newest entry is the one that commits the big machine's only point.
    assert_eq!(reader.points(Id(BIG)).count(), 0);
    assert_eq!(named_of(&fixture, &reader, &[WEB]), 0);
}

#[test]
fn another_object_written_over_a_copy_costs_nothing() {
    let fixture = Fixture::new();
    for (folder, one, other) in [("ledger/entry", 3, 4), ("ledger/state", 2, 4), ("keytable/entry", 2, 3)] {
        let name = |number: u64| fixture.vault.file(&format!("vault/{NAME}/{folder}/{number:016x}"));
        let foreign = std::fs::read(name(other)).expect("another object of the kind");
        for second in [false, true] {
            let path = name(one);
            let _damaged = Damaged::new(&path, |bytes| {
                let start = if second { start_of_second(bytes.len()) } else { 0 };
                let copy = &foreign[start_of_second(foreign.len())..];
                // As long as it fits: nothing else is overwritten.
                let room = bytes.len().min(start + copy.len());
                bytes[start..room].copy_from_slice(&copy[..room - start]);
            });
            let reader = open(&fixture);
            assert_eq!(reader.opened().findings, []);
            assert_eq!(named_of(&fixture, &reader, &[WEB]), 0);
            let report = reader.check();
            assert_eq!(report.exit_status(), 3);
            assert!(report.findings.iter().all(|finding| finding.kind == Kind::Copy), "{:?}", report.findings);
        }
    }
}
