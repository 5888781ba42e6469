//! A store without damage: everything comes out, and nothing is found.

use backstay_verify::{FileSink, Id, OpenError, ReadError, Reader, SeqSink, Unvouched};

use crate::fixture::{Fixture, TWO, WEB};
use crate::vault::{NAME, PASSPHRASE};

pub(crate) fn open(fixture: &Fixture) -> Reader {
    Reader::open(fixture.vault.path(), NAME, PASSPHRASE).expect("the vault opens")
}

/// A disk's bytes, with zeros where they cannot be vouched for.
pub(crate) fn read(reader: &Reader, machine: Id, number: u64, disk: u64) -> (Vec<u8>, Vec<Unvouched>) {
    let mut bytes = Vec::new();
    let unvouched = reader.read_disk(machine, number, disk, &mut SeqSink::new(&mut bytes)).expect("the disk is there");
    (bytes, unvouched)
}

#[test]
fn nothing_is_found_in_a_whole_store() {
    let fixture = Fixture::new();
    let report = open(&fixture).check();
    assert_eq!(report.findings, []);
    assert_eq!(report.notes, Vec::<String>::new());
    assert_eq!(report.exit_status(), 0);
    let seen = report.seen;
    assert_eq!((seen.packs, seen.spans, seen.levels), (4, 7, 2));
    assert_eq!((seen.chunks, seen.extents), (6, 7 + 3 + 2 + 5 + 14 + 4500));
}

#[test]
fn every_disk_at_every_point_is_what_it_was() {
    let fixture = Fixture::new();
    let reader = open(&fixture);
    for (&(machine, number, disk), due) in &fixture.disks {
        let (bytes, unvouched) = read(&reader, Id(machine), number, disk);
        assert!(bytes == *due, "disk {disk} at {number} of {}", Id(machine));
        let named: Vec<(u64, u64)> = unvouched.iter().map(|range| (range.offset, range.length)).collect();
        let unreadable = if (machine, disk) == (WEB, 1) { vec![(14 * 4096, 4096)] } else { vec![] };
        assert_eq!(named, unreadable);
    }
}

#[test]
fn a_file_and_a_stream_get_the_same_bytes() {
    let fixture = Fixture::new();
    let path = fixture.vault.file("out");
    let mut sink = FileSink::create(&path).expect("a file");
    open(&fixture).read_disk(Id(WEB), 3, 1, &mut sink).expect("the disk is there");
    assert!(std::fs::read(&path).expect("the file") == fixture.disks[&(WEB, 3, 1)]);
}

#[test]
fn machines_and_points_are_listed_with_their_fields() {
    let fixture = Fixture::new();
    let reader = open(&fixture);
    let names: Vec<&str> = reader.machines().map(|(_, machine)| machine.name.as_str()).collect();
    assert_eq!(names, ["web", "größe"]);
    assert_eq!(reader.find("web"), Some(Id(WEB)));
    assert_eq!(reader.find(&Id(WEB).to_string()), Some(Id(WEB)));
    assert_eq!(reader.find("nothing"), None);
    let numbers: Vec<u64> = reader.points(Id(WEB)).map(|(number, _)| number).collect();
    assert_eq!(numbers, [1, 3, 4]);
    let point = reader.point(Id(WEB), 3).expect("point 3");
    assert_eq!((point.time, point.started, point.committed), (3_000_000_010, 3_000_000_020, 3_000_000_030));
    assert_eq!((point.note.as_str(), point.read, point.changed, point.stored), ("a note, größer", 7, 8, 9));
    assert_eq!(point.held, 0, "a row of version 1 does not tell it");
    assert_eq!(reader.point(Id(WEB), 4).expect("point 4").held, 3_000_000);
    let disk = &point.disks[1];
    assert_eq!((disk.number, disk.name.as_str(), disk.source.as_str()), (2, "sd2", "/dev/disk"));
    assert_eq!((disk.size, disk.sector, disk.unreadable, disk.absent, disk.excluded), (TWO, 512, 1, 3, 2));
    assert_eq!(disk.stamp, b"stamp");
    let left_out: Vec<_> = disk.exclusions.iter().map(|e| (e.rule.as_str(), e.bytes)).collect();
    assert_eq!(left_out, [("/var/cache", 9000)]);
}

#[test]
fn what_is_not_there_is_an_error() {
    let fixture = Fixture::new();
    let open = |vault: &str, passphrase: &[u8]| Reader::open(fixture.vault.path(), vault, passphrase).err();
    assert!(matches!(open(NAME, b"another"), Some(OpenError::Passphrase(_))));
    assert!(matches!(open("other", PASSPHRASE), Some(OpenError::NoVault(_))));
    let nowhere = Reader::open(&fixture.vault.file("vault"), NAME, PASSPHRASE);
    assert!(matches!(nowhere.err(), Some(OpenError::NoStore(..))));
    let reader = self::open(&fixture);
    let read = |number, disk| reader.read_disk(Id(WEB), number, disk, &mut SeqSink::new(Vec::new())).err();
    assert!(matches!(read(2, 1), Some(ReadError::NoPoint { number: 2, .. })));
    assert!(matches!(read(1, 2), Some(ReadError::NoDisk { disk: 2, .. })));
}

#[test]
fn either_passphrase_opens() {
    let fixture = Fixture::new();
    let reader = Reader::open(fixture.vault.path(), NAME, b"the passphrase of someone else");
    assert_eq!(reader.map(|reader| reader.machines().count()).ok(), Some(2));
}
