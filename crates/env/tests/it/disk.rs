//! Real disks: loop devices with both sector sizes, image files, and file systems on them.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use backstay_env::real::disk::{self, AlignedBuf, BlockDevice, Disk, DiskError, FileVolume};
use backstay_env::sim::random::Dice;
use backstay_env::sim::volume::SimVolume;
use backstay_env::volume::{Content, Volume, VolumeMut};

use crate::tools::{Loop, Mount, run, sparse};

const MIB: u64 = 1 << 20;

fn content(volume: &dyn Volume) -> Vec<u8> {
    let mut bytes = vec![0; volume.size() as usize];
    volume.read_at(0, &mut bytes).unwrap();
    bytes
}

/// Writes a partition table, as sfdisk understands it.
fn partition(image: &Path, table: &str) {
    let script = format!("sfdisk -q {} <<'END'\n{table}END\n", image.display());
    run("sh", ["-c", &script]);
}

/// Writes, zeroes and reads at random places of a disk and of a simulated one; both must be the same in the end.
fn do_at_random(disk: &dyn VolumeMut, seed: u64) {
    let model = SimVolume::new(disk.size());
    let mut dice = Dice::seeded(seed);
    for _ in 0..150 {
        let offset = dice.below(disk.size());
        let len = dice.below((disk.size() - offset).min(3 * MIB)) + 1;
        let (offset, len) = match dice.below(3) {
            0 => (offset, len.min(700)),
            1 => (offset, len),
            _ => (offset - offset % 4096, len - len % 4096),
        };
        let mut bytes = AlignedBuf::new(len as usize);
        match dice.below(3) {
            0 => {
                disk.zero(offset, len).unwrap();
                model.zero(offset, len).unwrap();
            }
            1 => {
                dice.fill(&mut bytes);
                disk.write_at(offset, &bytes).unwrap();
                model.write_at(offset, &bytes).unwrap();
            }
            _ => {
                let mut expected = vec![0; len as usize];
                disk.read_at(offset, &mut bytes).unwrap();
                model.read_at(offset, &mut expected).unwrap();
                assert!(*bytes == *expected, "seed {seed}: {len} bytes at {offset}");
            }
        }
    }
    disk.flush().unwrap();
    assert!(content(disk) == content(&model), "seed {seed}");
    for span in disk.spans(0, disk.size()).unwrap() {
        let mut bytes = vec![1; span.len as usize];
        model.read_at(span.offset, &mut bytes).unwrap();
        assert!(span.content == Content::Data || bytes.iter().all(|byte| *byte == 0), "{span:?}");
    }
}

#[test]
fn a_block_device_is_an_array_of_bytes_with_either_sector_size() {
    for (sector_size, size) in [(512, 8 * MIB + 512), (4096, 8 * MIB + 4096)] {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image");
        sparse(&image, size);
        let device = Loop::new(&image, sector_size);
        let disk = disk::open_for_writing(device.path()).unwrap();
        assert!(matches!(disk, Disk::Device(_)));
        assert_eq!((disk.size(), disk.sector_size()), (size, sector_size));
        do_at_random(&disk, u64::from(sector_size));
        let bytes = content(&disk);
        drop((disk, device));
        assert!(fs::read(&image).unwrap() == bytes, "the file behind the device has what the device had");
    }
}

#[test]
fn the_rest_after_the_last_whole_sector_does_not_count() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    fs::write(&image, vec![7; 10_000]).unwrap();
    for (sector_size, size) in [(512, 9728), (4096, 8192)] {
        let device = Loop::new(&image, sector_size);
        let disk = BlockDevice::open(device.path()).unwrap();
        assert_eq!(disk.size(), size);
        assert!(content(&disk).iter().all(|byte| *byte == 7));
        let past = disk.read_at(size - 1, &mut [0; 2]).unwrap_err();
        assert_eq!(past.kind(), io::ErrorKind::UnexpectedEof);
    }
}

#[test]
fn a_whole_disk_read_sees_what_was_written_through_a_partition() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    sparse(&image, 8 * MIB);
    partition(&image, "label: gpt\nsize=4MiB\n");
    let device = Loop::with_partitions(&image);
    let partition = fs::File::options().read(true).write(true).open(device.partition(1)).unwrap();
    // Fill the page cache of the whole disk.
    fs::read(device.path()).unwrap();
    partition.write_all_at(&[9; 65536], 0).unwrap();
    partition.sync_all().unwrap();
    let disk = disk::open(device.path()).unwrap();
    let mut bytes = vec![0; 65536];
    disk.read_at(MIB, &mut bytes).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 9));
    let mut stale = vec![0; 65536];
    fs::File::open(device.path()).unwrap().read_exact_at(&mut stale, MIB).unwrap();
    assert!(stale.iter().all(|byte| *byte == 0), "this test proves nothing: the page cache was not stale");
}

#[test]
fn a_device_that_shrinks_ends_earlier() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    sparse(&image, 4 * MIB);
    let device = Loop::new(&image, 512);
    let disk = disk::open(device.path()).unwrap();
    let before = disk.identity().unwrap();
    assert_eq!(before, disk.identity().unwrap());
    fs::File::options().write(true).open(&image).unwrap().set_len(MIB).unwrap();
    run("losetup", ["--set-capacity".as_ref(), device.path().as_os_str()]);
    let gone = disk.read_at(2 * MIB, &mut [0; 4096]).unwrap_err();
    assert_eq!(gone.kind(), io::ErrorKind::UnexpectedEof);
    disk.read_at(MIB - 4096, &mut [0; 4096]).unwrap();
    let after = disk.identity().unwrap();
    assert!(before != after && before.is_same(&after));
}

#[test]
fn an_image_file_of_any_size_is_an_array_of_bytes() {
    for (seed, size) in [(1, 4 * MIB), (2, 4 * MIB + 1), (3, 3 * MIB - 511), (4, 100)] {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image");
        let created = FileVolume::create(&image, size).unwrap();
        assert_eq!(created.size(), size);
        do_at_random(&created, seed);
        assert!(matches!(FileVolume::create(&image, 1), Err(DiskError::Exists(_))));
        let disk = disk::open(&image).unwrap();
        assert!(fs::read(&image).unwrap() == content(&disk));
        assert!(disk.write_at(0, b"x").is_err(), "opened for reading");
    }
}

#[test]
fn holes_of_a_file_are_found_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    sparse(&image, 64 * MIB);
    let file = fs::File::options().write(true).open(&image).unwrap();
    for at in [3 * MIB, 10 * MIB, 63 * MIB] {
        file.write_all_at(&[1; 8192], at).unwrap();
    }
    let disk = disk::open(&image).unwrap();
    let spans = disk.spans(MIB, 62 * MIB + 4096).unwrap();
    let found: Vec<_> = spans.iter().map(|span| (span.offset, span.len, span.content)).collect();
    let expected = [
        (MIB, 2 * MIB, Content::Hole),
        (3 * MIB, 8192, Content::Data),
        (3 * MIB + 8192, 7 * MIB - 8192, Content::Hole),
        (10 * MIB, 8192, Content::Data),
        (10 * MIB + 8192, 53 * MIB - 8192, Content::Hole),
        (63 * MIB, 4096, Content::Data),
    ];
    assert_eq!(found, expected);
    let many = 3000;
    (0..many).for_each(|n| file.write_all_at(b"x", n * 16384).unwrap());
    let (mut at, mut data) = (0, 0);
    while at < disk.size() {
        for span in disk.spans(at, disk.size() - at).unwrap() {
            assert_eq!(span.offset, at, "without gaps, also when the answer stops early");
            at += span.len;
            data += u64::from(span.content == Content::Data);
        }
    }
    assert!(data >= many);
}

#[test]
fn a_file_that_shrinks_or_changes_shows() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    sparse(&image, MIB);
    let disk = disk::open(&image).unwrap();
    let before = disk.identity().unwrap();
    assert_eq!(before, disk.identity().unwrap());
    fs::File::options().write(true).open(&image).unwrap().set_len(4096).unwrap();
    assert_eq!(disk.read_at(0, &mut [0; 8192]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    let after = disk.identity().unwrap();
    assert!(before != after && before.is_same(&after));
    assert_eq!(disk.spans(0, MIB).unwrap_err().kind(), io::ErrorKind::UnexpectedEof, "what is lost is no hole");
    assert_eq!(disk.spans(0, 4096).unwrap().iter().map(|span| span.len).sum::<u64>(), 4096);
}

#[test]
fn what_is_no_disk_is_refused_in_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let said = |path: &Path| disk::open(path).unwrap_err().to_string();
    let what = |what: &str, path: &Path| format!("{} is {what}: name a block device or an image file", path.display());
    assert_eq!(said(dir.path()), what("a folder", dir.path()));
    assert_eq!(said(Path::new("/dev/null")), what("a character device", Path::new("/dev/null")));
    let pipe = dir.path().join("pipe");
    run("mkfifo", [&pipe]);
    assert_eq!(said(&pipe), what("a pipe", &pipe));
    let missing = dir.path().join("missing");
    assert_eq!(said(&missing), format!("there is no {}", missing.display()));
}

#[test]
fn a_mounted_disk_is_never_opened_for_writing() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    sparse(&image, 16 * MIB);
    let device = Loop::new(&image, 512);
    run("mkfs.ext4", ["-q".as_ref(), device.path().as_os_str()]);
    assert!(!disk::is_mounted(device.path()).unwrap());
    drop(disk::open_for_writing(device.path()).unwrap());
    let mount = Mount::new(&[], device.path(), &dir.path().join("a mount"));
    let refused = disk::open_for_writing(device.path()).unwrap_err();
    assert!(matches!(refused, DiskError::InUse(_)), "{refused:?}");
    disk::open(device.path()).unwrap();
    let point = fs::canonicalize(mount.path()).unwrap();
    assert_eq!(disk::mounts(device.path()).unwrap(), std::slice::from_ref(&point));
    assert_eq!(disk::mounts(&image).unwrap(), [point], "through the file behind the device too");
    assert!(disk::holds_path(device.path(), mount.path()).unwrap());
    assert!(disk::holds_path(&image, mount.path()).unwrap());
    assert!(!disk::holds_path(device.path(), dir.path()).unwrap());
    assert!(!disk::holds_path(&image, dir.path()).unwrap());
}

#[test]
fn disks_hold_what_lies_on_their_partitions_and_on_files_in_those() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    sparse(&image, 160 * MIB);
    partition(&image, "label: gpt\nsize=16MiB\nsize=130MiB\n");
    let device = Loop::with_partitions(&image);
    let (first, second) = (device.partition(1), device.partition(2));
    run("mkfs.ext4", ["-q".as_ref(), first.as_os_str()]);
    run("mkfs.btrfs", ["-q".as_ref(), second.as_os_str()]);
    let ext4 = Mount::new(&[], &first, &dir.path().join("ext4"));
    let btrfs = Mount::new(&[], &second, &dir.path().join("btrfs"));
    let inner_image = btrfs.path().join("inner");
    sparse(&inner_image, 8 * MIB);
    let inner = Loop::new(&inner_image, 4096);
    run("mkfs.ext4", ["-q".as_ref(), inner.path().as_os_str()]);
    let inside = Mount::new(&[], inner.path(), &dir.path().join("inside"));
    let holds = |disk: &Path, dir: &Path| disk::holds_path(disk, dir).unwrap();
    for path in [ext4.path(), btrfs.path(), inside.path()] {
        assert!(holds(device.path(), path) && holds(&image, path), "{}", path.display());
    }
    assert!(holds(&first, ext4.path()) && !holds(&first, btrfs.path()) && !holds(&first, inside.path()));
    assert!(holds(&second, btrfs.path()) && holds(&second, inside.path()) && !holds(&second, ext4.path()));
    assert!(holds(inner.path(), inside.path()) && !holds(inner.path(), btrfs.path()));
    assert!(holds(&inner_image, inside.path()) && !holds(&inner_image, btrfs.path()));
    assert_eq!(disk::mounts(device.path()).unwrap().len(), 3);
    assert_eq!(disk::mounts(&second).unwrap().len(), 2);
    assert!(matches!(disk::open_for_writing(device.path()), Err(DiskError::InUse(_))), "a partition is mounted");
    assert!(disk::holds_path(device.path(), dir.path().join("missing")).is_err());
}

#[test]
fn the_same_disk_is_known_by_any_name() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other, link) = (dir.path().join("one"), dir.path().join("other"), dir.path().join("link"));
    sparse(&one, MIB);
    sparse(&other, MIB);
    std::os::unix::fs::symlink(&one, &link).unwrap();
    assert!(disk::is_same(&one, &link).unwrap());
    assert!(!disk::is_same(&one, &other).unwrap());
    assert!(!disk::is_same(&one, dir.path().join("missing")).unwrap());
    let device = Loop::new(&one, 512);
    let node = dir.path().join("node");
    std::os::unix::fs::symlink(device.path(), &node).unwrap();
    assert!(disk::is_same(device.path(), &node).unwrap());
    assert!(!disk::is_same(device.path(), &one).unwrap(), "the device is not the file");
}
