//! Images with a log to replay, compared with a mount of a copy, which replays it.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};

use backstay_items::tree::FileTree;
use backstay_items::xfs::{Xfs, allocated};

use crate::allocation::{believed, with_noise};
use crate::populate::everything;
use crate::support::{FileVolume, Image, Mount, Random, compare, content, run};

fn shut_down(mount: Mount, flush_log: bool) {
    let command = if flush_log { "shutdown -f" } else { "shutdown" };
    run("xfs_io", &["-x", "-c", command, mount.at.to_str().unwrap()]);
}

/// Compares our reading with the kernel's after its replay, on a copy with noise in all that we call unused;
/// gives the image as the kernel left it.
fn check(image: &Image, least: usize) -> Image {
    let tree = image.open();
    let found = believed(image);
    let noisy = with_noise(image, &found.used);
    let mount = noisy.mount("rw,noatime,nouuid");
    let nodes = compare(&tree, &mount.at);
    assert!(nodes >= least, "only {nodes} compared");
    drop(mount);
    run("xfs_repair", &["-n", noisy.path.to_str().unwrap()]);
    noisy
}

fn is_dirty(image: &Image) -> bool {
    let out = run("xfs_logprint", &["-t", image.path.to_str().unwrap()]);
    out.contains("<DIRTY>")
}

fn after_everything(options: &[&str], flush_log: bool, reflink: bool) {
    let image = Image::make(160, options);
    let mount = image.mount("rw");
    everything(&mount.at, 3_000, reflink);
    shut_down(mount, flush_log);
    assert!(is_dirty(&image));
    check(&image, 1);
}

#[test]
fn shut_down_with_its_log_written() {
    after_everything(&[], true, true);
}

#[test]
fn shut_down_without() {
    after_everything(&[], false, true);
}

#[test]
fn small_blocks_and_every_feature() {
    after_everything(&["-b", "size=1024", "-m", "rmapbt=1", "-i", "nrext64=1"], true, true);
}

#[test]
fn without_the_newer_features() {
    let options = ["-m", "bigtime=0,reflink=0,finobt=0,inobtcount=0", "-i", "sparse=0", "-n", "size=16384"];
    after_everything(&options, true, false);
}

#[test]
fn log_with_a_stripe_unit() {
    after_everything(&["-l", "version=2,su=65536"], true, true);
    after_everything(&["-l", "version=2,su=262144", "-s", "size=4096"], true, true);
}

#[test]
fn copied_while_mounted() {
    let image = Image::make(160, &[]);
    let mount = image.mount("rw");
    everything(&mount.at, 500, true);
    run("sync", &["-f", mount.at.to_str().unwrap()]);
    fs::remove_dir_all(mount.at.join("leaf")).unwrap();
    fs::rename(mount.at.join("block"), mount.at.join("short/block")).unwrap();
    File::open(mount.at.join("short")).unwrap().sync_all().unwrap();
    let copy = image.copy();
    assert!(is_dirty(&copy));
    check(&copy, 400);
}

#[test]
fn copied_while_frozen() {
    let image = Image::make(160, &[]);
    let mount = image.mount("rw");
    everything(&mount.at, 500, true);
    let at = mount.at.to_str().unwrap();
    run("fsfreeze", &["-f", at]);
    let copy = image.copy();
    run("fsfreeze", &["-u", at]);
    check(&copy, 600);
}

/// The kernel cannot be the judge here: Linux 6.18 itself refuses to replay directory blocks that lie in several
/// places ("Bad dir data magic"). All changes are in the log, so the names are known.
#[test]
fn fragmented_directory_blocks() {
    let image = Image::make(64, &["-b", "size=1024", "-n", "size=16384", "-d", "agcount=1"]);
    let mount = image.mount("rw");
    crate::clean::fragment_free_space(&mount.at);
    crate::clean::links(&mount.at, 0..6_000);
    drop(mount);
    let mount = image.mount("rw");
    crate::clean::links(&mount.at, 6_000..8_000);
    for i in (0..6_000).step_by(7) {
        fs::remove_file(mount.at.join(format!("large/another name of it, {i}"))).unwrap();
    }
    shut_down(mount, true);
    assert!(is_dirty(&image));
    let tree = image.open();
    let large = tree.lookup(tree.root(), "large".as_ref()).unwrap();
    let mut found: Vec<_> = tree.entries(large).unwrap().into_iter().map(|e| e.name).collect();
    found.sort();
    let kept = |i: &usize| *i >= 6_000 || !i.is_multiple_of(7);
    let mut expected: Vec<std::ffi::OsString> = vec!["file".into()];
    expected.extend((0..8_000).filter(kept).map(|i| format!("another name of it, {i}").into()));
    expected.sort();
    assert_eq!(found, expected);
    for name in &expected {
        tree.lookup(large, name).unwrap();
    }
}

#[test]
fn grown_with_the_growth_only_in_the_log() {
    let image = Image::make(64, &["-d", "agcount=2"]);
    File::options().write(true).open(&image.path).unwrap().set_len(160 << 20).unwrap();
    let mount = image.mount("rw");
    run("xfs_growfs", &[mount.at.to_str().unwrap()]);
    everything(&mount.at, 300, true);
    shut_down(mount, true);
    check(&image, 500);
}

/// Does `count` random things below `at`.
fn stir(at: &Path, random: &mut Random, count: usize) {
    for _ in 0..count {
        let name = |random: &mut Random| -> PathBuf {
            let dir = at.join(format!("dir {}", random.below(4)));
            fs::create_dir_all(&dir).unwrap();
            dir.join(format!("{} {}", "name".repeat(random.below(9) as usize + 1), random.below(60)))
        };
        let (a, b) = (name(random), name(random));
        // Many of these fail, for a name is taken or missing; that is as good.
        let (len, place) = (random.below(90_000) as usize, random.below(400_000));
        let _ = match random.below(13) {
            0..3 => fs::write(&a, random.bytes(len)),
            3 => fs::remove_file(&a),
            4 => fs::rename(&a, &b),
            5 => fs::hard_link(&a, &b),
            6 => symlink("x".repeat(len % 1000 + 1), &a),
            7 => File::options().write(true).open(&a).and_then(|f| f.write_all_at(&random.bytes(len), place)),
            8 => File::options().write(true).open(&a).and_then(|f| f.set_len(place)),
            9 => File::open(&a).and_then(|f| f.sync_all()),
            10 => fs::create_dir(&a).and_then(|()| fs::write(a.join("inside"), "x")),
            11 => fs::remove_dir_all(&b),
            _ => {
                let tool =
                    |program: &str, args: &[&str]| std::process::Command::new(program).args(args).output().map(drop);
                let (from, to) = (a.to_str().unwrap(), b.to_str().unwrap());
                match random.below(3) {
                    0 => tool("cp", &["--reflink=always", from, to]),
                    1 => tool("setfattr", &["-n", "user.x", "-v", &"v".repeat(len % 3000), from]),
                    _ => tool("fallocate", &["-p", "-o", &place.to_string(), "-l", "20000", from]),
                }
            }
        };
    }
}

/// Crashes over and over, each time from where the kernel's replay of the last crash ended.
pub(crate) fn crash_often(seed: u64, rounds: usize, options: &[&str]) {
    let mut random = Random(seed);
    let mut image = Image::make(160, options);
    for round in 0..rounds {
        let mount = image.mount("rw");
        let count = random.below(500) as usize + 1;
        stir(&mount.at, &mut random, count);
        println!("seed {seed}, round {round}, {count} changes");
        shut_down(mount, random.below(3) > 0);
        image = check(&image, 1);
    }
}

#[test]
fn crashes_on_the_default() {
    crash_often(1, 12, &[]);
}

#[test]
fn crashes_on_small_blocks() {
    crash_often(2, 12, &["-b", "size=1024", "-n", "size=4096", "-m", "rmapbt=1"]);
}

#[test]
fn crashes_with_wide_inodes_and_counts() {
    crash_often(3, 8, &["-i", "size=1024,nrext64=1", "-l", "su=32768"]);
}

/// Byte range of the log.
pub(crate) fn log_range(image: &Image) -> (u64, u64) {
    let path = image.path.to_str().unwrap();
    let out = run("xfs_db", &["-r", "-c", "sb 0", "-c", "p logstart logblocks blocksize agblocks agblklog", path]);
    let numbers: Vec<u64> = out.lines().map(|l| l.rsplit('=').next().unwrap().trim().parse().unwrap()).collect();
    let [start, blocks, block, per_group, shift] = numbers[..] else { panic!("{out}") };
    let linear = (start >> shift) * per_group + (start & ((1 << shift) - 1));
    (linear * block, blocks * block)
}

/// Bytes of record headers in the log, in the order of their numbers.
fn records(image: &Image) -> Vec<(u64, u64)> {
    let (start, len) = log_range(image);
    let mut log = vec![0; len as usize];
    File::open(&image.path).unwrap().read_exact_at(&mut log, start).unwrap();
    let header = |i: usize| {
        let block = &log[i * 512..][..512];
        let lsn = u64::from_be_bytes(block[16..24].try_into().unwrap());
        (block[..4] == [0xfe, 0xed, 0xba, 0xbe]).then_some((lsn, start + i as u64 * 512))
    };
    let mut found: Vec<_> = (0..log.len() / 512).filter_map(header).collect();
    found.sort();
    found
}

#[test]
fn a_torn_last_record_is_left_out_and_a_damaged_earlier_one_refused() {
    let image = Image::make(160, &[]);
    let mount = image.mount("rw");
    for i in 0..40 {
        let path = mount.at.join(format!("file {i}"));
        fs::write(&path, "x".repeat(i * 10)).unwrap();
        File::open(&path).unwrap().sync_all().unwrap();
    }
    shut_down(mount, true);
    let records = records(&image);
    let damage = |index: usize| {
        let copy = image.copy();
        let file = File::options().write(true).open(&copy.path).unwrap();
        file.write_all_at(&[0x55; 9], records[index].1 + 700).unwrap();
        copy
    };
    for back in 1..4 {
        let torn = damage(records.len() - back);
        let tree = torn.open();
        let names = tree.entries(tree.root()).unwrap().len();
        assert!((1..40).contains(&names), "{names} names survive");
        check(&torn, names);
    }
    let early = damage(records.len() - 20);
    let refused = Xfs::open(FileVolume::open(&early.path)).err().unwrap();
    assert!(refused.to_string().contains("checksum"), "{refused}");
    let found = allocated(&*FileVolume::open(&early.path));
    assert_eq!(found.used.total(), 160 << 20);
    assert!(found.doubt.unwrap().contains("checksum"));
}

/// Appends a record to the log: one committed transaction with `items`.
fn append_transaction(image: &Image, items: &[Vec<u8>]) {
    let (_, last) = *records(image).last().unwrap();
    let file = File::options().read(true).write(true).open(&image.path).unwrap();
    let mut header = [0; 512];
    file.read_exact_at(&mut header, last).unwrap();
    let number = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap());
    let (cycle, at) = (number(4), number(20));
    let headers = number(320).div_ceil(32768).max(1);
    let next = at + headers + number(12).div_ceil(512);
    let operation = |flags: u8, bytes: &[u8]| {
        let mut out = vec![0x77, 0x66, 0x55, 0x44];
        out.extend((bytes.len() as u32).to_be_bytes());
        out.extend([0x69, flags, 0, 0]);
        out.extend(bytes);
        out
    };
    let mut transaction = 0x5452_414e_u32.to_le_bytes().to_vec();
    transaction.extend([0, 0, 0, 0, 0x44, 0x55, 0x66, 0x77, items.len() as u8, 0, 0, 0]);
    let mut data = [operation(1, b""), operation(0, &transaction)].concat();
    items.iter().for_each(|item| data.extend(operation(0, item)));
    data.extend(operation(2, b""));
    data.resize(512, 0);
    header[12..16].copy_from_slice(&512u32.to_be_bytes());
    header[20..24].copy_from_slice(&next.to_be_bytes());
    header[36..40].copy_from_slice(&at.to_be_bytes());
    header[40..44].copy_from_slice(&(items.len() as u32 + 3).to_be_bytes());
    header[44..48].copy_from_slice(&data[..4]);
    data[..4].copy_from_slice(&cycle.to_be_bytes());
    header[32..36].fill(0);
    let sum = crc32c::crc32c_append(crc32c::crc32c(&header[..328]), &data);
    header[32..36].copy_from_slice(&sum.to_le_bytes());
    let place = last + u64::from(next - at) * 512;
    file.write_all_at(&header, place).unwrap();
    file.write_all_at(&data, place + u64::from(headers) * 512).unwrap();
}

/// An announcement that blocks of a file are to be mapped (1) or no longer (2).
fn map_announcement(id: u64, inode: u64, block: u64, file_block: u64, len: u32, kind: u32) -> Vec<u8> {
    let mut out = [0x44, 0x12, 1, 0, 1, 0, 0, 0].to_vec();
    [id, inode, block, file_block].iter().for_each(|word| out.extend(word.to_le_bytes()));
    out.extend(len.to_le_bytes());
    out.extend(kind.to_le_bytes());
    out
}

/// The kernel announces and does such changes so close together that crashes do not part them; so the announcement
/// is written here, and the kernel's recovery is the judge of what it means.
#[test]
fn an_unfinished_remap_reads_as_after_recovery() {
    let image = Image::make(64, &["-d", "agcount=1", "-l", "su=4096"]);
    let mount = image.mount("rw");
    let path = mount.at.join("file");
    fs::write(&path, Random(5).bytes(40_960)).unwrap();
    File::open(&path).unwrap().sync_all().unwrap();
    let inode = std::os::unix::fs::MetadataExt::ino(&fs::metadata(&path).unwrap());
    let map = run("xfs_bmap", &[path.to_str().unwrap()]);
    let first: u64 = map.rsplit(": ").next().unwrap().split("..").next().unwrap().parse().unwrap();
    shut_down(mount, true);
    let before = image.open();
    let block = first / 8;
    let (moved, gone) = (block + 3, block + 7);
    append_transaction(
        &image,
        &[
            map_announcement(1, inode, moved, 3, 2, 2),
            map_announcement(2, inode, gone, 7, 1, 2),
            map_announcement(3, inode, moved, 7, 1, 1),
        ],
    );
    let after = image.open();
    let file = after.lookup(after.root(), "file".as_ref()).unwrap();
    let (before, after) = (content(&before, file, 4096), content(&after, file, 4096));
    assert_eq!(after[3 * 4096..5 * 4096], [0; 8192]);
    assert_eq!(after[7 * 4096..8 * 4096], before[3 * 4096..4 * 4096]);
    check_content_only(&image, "file", &after);
}

/// Compares one file with what the kernel reads after its recovery of a copy.
fn check_content_only(image: &Image, name: &str, ours: &[u8]) {
    let copy = image.copy();
    let mount = copy.mount("rw,noatime,nouuid");
    assert!(fs::read(mount.at.join(name)).unwrap() == ours);
}
