//! Whole disks: tables by sgdisk and sfdisk, partitions with file systems in them.

use crate::tools::{Image, output, run, text};
use backstay_env::volume::{Slice, Volume};
use backstay_items::allocation::Ranges;
use backstay_items::detect::{Kind, detect, open};
use backstay_items::disk::allocated;
use backstay_items::partition::{PartitionType, Table, TableKind, guid, partitions};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

const MIB: u64 = 1 << 20;

fn sfdisk(image: &Image, script: &str) {
    let file = image.path().with_extension("sfdisk");
    std::fs::write(&file, script).expect("a script");
    let command = format!("sfdisk -q {} < {}", text(&image.path()), text(&file));
    run("sh", &["-c", &command]);
}

/// What sfdisk itself lists: number, first sector, sectors.
fn listed(image: &Image) -> Vec<(u32, u64, u64)> {
    let dump = run("sfdisk", &["-d", text(&image.path())]);
    let prefix = text(&image.path()).to_owned();
    let number = |line: &str, key: &str| {
        let at = line.find(key).expect(key) + key.len();
        let digits = line[at..].trim_start().split(',').next().expect("a number");
        digits.trim().parse::<u64>().expect("a number")
    };
    let lines = dump.lines().filter(|l| l.starts_with(&prefix));
    lines
        .map(|line| {
            let index = line[prefix.len()..].split(' ').next().expect("a number");
            let index = index.trim_start_matches('p').parse().expect("a number");
            (index, number(line, "start="), number(line, "size="))
        })
        .collect()
}

fn ours(table: &Table, unit: u64) -> Vec<(u32, u64, u64)> {
    let parts = table.partitions.iter();
    parts.map(|p| (p.index, p.start / unit, p.len / unit)).collect()
}

#[test]
fn mbr_with_logical_partitions() {
    let image = Image::new(64 * MIB);
    sfdisk(&image, "label: dos\nlabel-id: 0x1234abcd\n,8M,L,*\n,8M,S\n,,E\n,10M,L\n,5M,7\n,,L\n");
    let table = partitions(&*image.volume()).expect("a table");
    assert_eq!(table.kind, TableKind::Mbr);
    assert_eq!(ours(&table, 512), listed(&image));
    let kinds: Vec<_> = table.partitions.iter().map(|p| p.kind).collect();
    let expected = [0x83, 0x82, 0x05, 0x83, 0x07, 0x83].map(PartitionType::Mbr);
    assert_eq!(kinds, expected);
    assert_eq!(table.partitions[4].id, "1234abcd-06");
    let containers = table.partitions.iter().filter(|p| p.container);
    assert_eq!(containers.map(|p| p.index).collect::<Vec<_>>(), [3]);
}

fn make_gpt(image: &Image) {
    let path = image.path();
    let args = ["-n", "1:0:+8M", "-c", "1:EFI päth", "-t", "1:ef00", "-n", "4:0:0"];
    run("sgdisk", &[&args[..], &["-u", "4:11223344-5566-7788-99AA-BBCCDDEEFF00", text(&path)]].concat());
}

#[test]
fn gpt_by_its_first_copy() {
    let image = Image::new(64 * MIB);
    make_gpt(&image);
    let table = partitions(&*image.volume()).expect("a table");
    assert_eq!(table.kind, TableKind::Gpt { from_backup: None });
    assert_eq!(ours(&table, 512), listed(&image));
    assert_eq!(table.partitions[0].name, "EFI päth");
    assert_eq!(table.partitions[1].id, "11223344-5566-7788-99aa-bbccddeeff00");
    let PartitionType::Gpt(kind) = table.partitions[0].kind else {
        panic!("a type of the wrong table");
    };
    assert_eq!(guid(&kind), "c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
}

/// Every damage to the first copy is found, and the second one answers the same.
#[test]
fn gpt_by_its_backup() {
    let image = Image::new(64 * MIB);
    make_gpt(&image);
    let whole = partitions(&*image.volume()).expect("a table");
    let file = File::options().write(true).open(image.path()).expect("image");
    let original = image.bytes();
    for at in [512, 520, 512 + 24, 512 + 72, 512 + 88, 1024 + 20, 1024 + 16_000] {
        file.write_all_at(&[original[at] ^ 0x40], at as u64).expect("room");
        let table = partitions(&*image.volume()).expect("a table");
        assert!(matches!(table.kind, TableKind::Gpt { from_backup: Some(_) }), "{at}");
        assert_eq!(table.partitions, whole.partitions);
        file.write_all_at(&original[at..at + 1], at as u64).expect("room");
    }
    let last = original.len() as u64 - 512;
    file.write_all_at(&[0; 8], last).expect("room");
    assert_eq!(partitions(&*image.volume()).expect("a table"), whole);
    file.write_all_at(&[0; 8], 512).expect("room");
    let why = partitions(&*image.volume()).expect_err("no copy is left").to_string();
    assert!(why.contains("neither copy"), "{why}");
    assert_eq!(allocated(&*image.volume()).used, Ranges::all(64 * MIB));
}

/// A loop device with sectors of 4096 bytes.
struct Loop(String);

impl Loop {
    fn new(image: &Image) -> Self {
        let out = run("losetup", &["-f", "--show", "-b", "4096", text(&image.path())]);
        Loop(out.trim().to_owned())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let out = output("losetup", &["-d", &self.0]);
        assert!(out.status.success() || std::thread::panicking(), "losetup -d");
    }
}

#[test]
fn gpt_in_sectors_of_4096_bytes() {
    let image = Image::new(64 * MIB);
    {
        let device = Loop::new(&image);
        run("sgdisk", &["-n", "1:0:+8M", "-n", "2:0:0", &device.0]);
        run("sync", &[]);
    }
    let table = partitions(&*image.volume()).expect("a table");
    assert_eq!(table.sector_size, 4096);
    let places: Vec<_> = table.partitions.iter().map(|p| (p.start, p.len)).collect();
    assert_eq!(places[0], (MIB, 8 * MIB));
    assert_eq!(places[1].0, 9 * MIB);
}

#[test]
fn no_table_and_no_file_system() {
    for image in [Image::new(8 * MIB), Image::new(0), Image::new(100), Image::new(511)] {
        let table = partitions(&*image.volume()).expect("an answer");
        assert_eq!((table.kind, table.partitions.len()), (TableKind::None, 0));
        let found = allocated(&*image.volume());
        assert_eq!(found.used, Ranges::all(image.volume().size()));
        assert_eq!(found.parts[0].kind, "unknown");
        assert!(open(image.volume()).is_err());
    }
}

/// Makes a file system inside the image, at a place.
fn make_inside(image: &Image, at: u64, len: u64, program: &str, args: &[&str]) {
    let part = Image::new(len);
    run(program, &[args, &[text(&part.path())]].concat());
    let file = File::options().write(true).open(image.path()).expect("image");
    file.write_all_at(&part.bytes(), at).expect("room");
}

#[test]
fn each_partition_is_asked() {
    let image = Image::new(400 * MIB);
    sfdisk(
        &image,
        "label: gpt\nstart=1M,size=64M\nstart=70M,size=16M,type=S\nstart=90M,size=40M\nstart=130M,size=128M\nstart=260M,size=20M\nstart=285M,size=110M\n",
    );
    make_inside(&image, MIB, 64 * MIB, "mke2fs", &["-q", "-t", "ext4"]);
    make_inside(&image, 70 * MIB, 16 * MIB, "mkswap", &[]);
    make_inside(&image, 90 * MIB, 40 * MIB, "mkntfs", &["-q", "-F", "-f"]);
    make_inside(&image, 130 * MIB, 128 * MIB, "mkfs.btrfs", &["-q"]);
    make_inside(&image, 285 * MIB, 110 * MIB, "mkfs.vfat", &["-F", "32"]);
    let found = allocated(&*image.volume());
    let kinds: Vec<_> = found.parts.iter().map(|p| (p.index, p.kind)).collect();
    let expected = ["ext4", "swap", "ntfs", "btrfs", "unknown", "vfat"];
    let expected: Vec<_> = (1..).map(Some).zip(expected).collect();
    assert_eq!(kinds, expected, "{:#?}", found.parts);
    for part in &found.parts {
        assert_eq!(part.doubt, None, "{part:?}");
        let len = part.place.end - part.place.start;
        assert_eq!(part.used == len, part.kind == "unknown", "{part:?}");
    }
    assert_eq!(found.parts[1].used, 4096);
    for gap in [0..MIB, 65 * MIB..70 * MIB, 258 * MIB..285 * MIB, 395 * MIB..400 * MIB] {
        assert!(found.used.covers(&gap), "{gap:?}");
    }
    assert!(found.used.total() < 100 * MIB);
    for part in &found.parts {
        let slice = Slice::new(image.volume(), part.place.start, part.place.end - part.place.start);
        let slice: Arc<dyn Volume> = Arc::new(slice.expect("inside"));
        assert_eq!(detect(&*slice).expect("an answer").name(), part.kind);
        let readable = !["swap", "unknown"].contains(&part.kind);
        assert_eq!(open(slice).is_ok(), readable, "{part:?}");
    }
}

#[test]
fn a_file_system_on_the_whole_disk() {
    let image = Image::new(320 * MIB);
    run("mkfs.xfs", &["-q", text(&image.path())]);
    let found = allocated(&*image.volume());
    assert_eq!((found.parts.len(), found.parts[0].kind), (1, "xfs"));
    assert_eq!(found.parts[0].doubt, None);
    assert!(found.used.total() < 200 * MIB);
}

#[test]
fn hibernation_and_contradictions_leave_nothing_out() {
    let image = Image::new(16 * MIB);
    run("mkswap", &[text(&image.path())]);
    assert_eq!(allocated(&*image.volume()).used.total(), 4096);
    let file = File::options().write(true).open(image.path()).expect("image");
    file.write_all_at(b"S1SUSPEND\0", 4086).expect("room");
    let found = allocated(&*image.volume());
    assert_eq!(found.parts[0].kind, "hibernated swap");
    assert_eq!(found.used, Ranges::all(16 * MIB));

    // Swap space that was made over ext4 without wiping: both answers are possible.
    let image = Image::new(16 * MIB);
    run("mke2fs", &["-q", "-t", "ext4", text(&image.path())]);
    let file = File::options().write(true).open(image.path()).expect("image");
    file.write_all_at(b"SWAPSPACE2", 4086).expect("room");
    assert_eq!(detect(&*image.volume()).expect("an answer"), Kind::Ambiguous);
    let found = allocated(&*image.volume());
    assert!(found.parts[0].doubt.as_ref().is_some_and(|d| d.contains("ext4 and swap")));
    assert_eq!(found.used, Ranges::all(16 * MIB));

    // A partition table over an older file system on the whole disk.
    let image = Image::new(64 * MIB);
    run("mke2fs", &["-q", "-t", "ext4", text(&image.path())]);
    let command = format!("echo ',,L' | sfdisk -q --wipe never {}", text(&image.path()));
    run("sh", &["-c", &command]);
    assert_eq!(allocated(&*image.volume()).used, Ranges::all(64 * MIB));
}

#[test]
fn a_read_error_is_told() {
    struct Broken;
    impl Volume for Broken {
        fn size(&self) -> u64 {
            1 << 30
        }
        fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<()> {
            Err(io::Error::other("the platter cracked"))
        }
    }
    let found = allocated(&Broken);
    assert_eq!(found.used, Ranges::all(1 << 30));
    assert!(found.parts[0].doubt.as_ref().is_some_and(|d| d.contains("platter")));
}
