//! Damaged and malicious images: never a panic, a hang, a large allocation, or a wrong answer that looks right.

use super::machine::{Image, Nest, Random, run, shell};
use super::populate::text;
use backstay_env::volume::{Volume, check_range};
use backstay_items::btrfs::{Btrfs, allocated};
use backstay_items::tree::{FileTree, Metadata, NodeId, NodeKind};
use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Address space that the process of the attacks may take, in KiB: the image, and little more.
const MEMORY_KIB: u64 = 600 << 10;
/// Nodes that one look at a file system visits at most: a damaged one may lead in circles.
const MAX_NODES: usize = 300;

/// An image in memory with some bytes replaced; counts what is read from it.
struct Patched {
    base: Arc<Vec<u8>>,
    patches: BTreeMap<u64, Vec<u8>>,
    read: AtomicU64,
}

impl Volume for Patched {
    fn size(&self) -> u64 {
        self.base.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        check_range(self.size(), offset, buf.len() as u64)?;
        let read = self.read.fetch_add(buf.len() as u64, Ordering::Relaxed);
        assert!(read < 64 * self.size(), "it reads for ever");
        buf.copy_from_slice(&self.base[offset as usize..][..buf.len()]);
        for (at, bytes) in self.patches.range(..offset + buf.len() as u64) {
            for (i, byte) in bytes.iter().enumerate() {
                let place = (at + i as u64).checked_sub(offset);
                if let Some(slot) = place.and_then(|p| buf.get_mut(p as usize)) {
                    *slot = *byte;
                }
            }
        }
        Ok(())
    }
}

/// A small file system with some of everything, and a log.
fn small(mkfs: &str, mount: &str) -> Image {
    let mib = match mkfs {
        _ if mkfs.contains("mixed") => 40,
        _ if mkfs.contains("-d dup") => 240,
        _ => 128,
    };
    let image = Nest::make(mib, mkfs);
    let mounted = image.mount(&format!("noatime,commit=3000,{mount}"));
    let dir = mounted.path();
    shell(
        dir,
        "mkdir -p a/b many; for i in $(seq 60); do echo $i > many/file$i; done; ln -s ../x a/link
         seq 30000 > a/seq; head -c 300000 /dev/urandom > a/random; cp --reflink=always a/seq a/b/clone
         truncate -s 1M a/hole; echo x >> a/hole; fallocate -l 50000 a/set-aside; mkfifo a/fifo
         ln a/seq a/b/hard; btrfs -q subvolume create sub; echo in > sub/in
         btrfs -q subvolume snapshot sub snap",
    );
    run("sync", &["-f".as_ref(), dir.as_os_str()]);
    for name in ["new", "a/seq", "sub/new"] {
        fs::write(dir.join(name), text(20_000)).unwrap();
        File::open(dir.join(name)).unwrap().sync_all().unwrap();
    }
    for i in 1..20 {
        fs::remove_file(dir.join(format!("many/file{i}"))).unwrap();
    }
    fs::rename(dir.join("many/file33"), dir.join("many/moved")).unwrap();
    File::open(dir.join("many")).unwrap().sync_all().unwrap();
    let copy = image.copy();
    drop(mounted);
    assert!(super::log::has_log(&copy));
    copy
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// Offsets of everything with a checksum at its head: superblocks, and tree blocks of any age.
fn blocks(image: &[u8], node: usize) -> Vec<(usize, usize)> {
    let fsid = &image[65536 + 0x20..65536 + 0x30];
    let mut found = vec![(65536, 4096); 4];
    for at in (65536 + 4096..image.len() - node).step_by(4096) {
        let sum = crc32c::crc32c(&image[at + 32..at + node]).to_le_bytes();
        if &image[at + 0x20..at + 0x30] == fsid && image[at..at + 4] == sum {
            found.push((at, node));
        }
    }
    found
}

/// Overwrites a few fields of a block with bits flipped, extremes, or bytes from elsewhere in it.
fn deface(block: &mut [u8], random: &mut Random) {
    for _ in 0..1 + random.below(4) {
        // Headers, tables of items and the first items are where the structure is.
        let reach = [block.len(), block.len(), 0x65 + 500, 0x65][random.below(4) as usize];
        let at = 32 + random.below(reach as u64 - 32) as usize;
        let len = [1, 1, 2, 4, 8][random.below(5) as usize].min(block.len() - at);
        let value = match random.below(6) {
            0 => 0,
            1 => u64::MAX,
            2 => u64::MAX >> 1,
            3 => random.next(),
            4 => number(block, at.min(block.len() - 8)).wrapping_add(1),
            _ => number(block, at.min(block.len() - 8)) ^ 1 << random.below(64),
        };
        block[at..at + len].copy_from_slice(&value.to_le_bytes()[..len]);
    }
}

/// Blocks with the same content lie in both copies of DUP: both are replaced, sums made to fit.
fn attack(base: &Arc<Vec<u8>>, places: &[(usize, usize)], random: &mut Random) -> Patched {
    let mut patches = BTreeMap::new();
    for _ in 0..1 + random.below(2) {
        let (at, len) = places[random.below(places.len() as u64) as usize];
        let original = &base[at..at + len];
        let mut block = original.to_vec();
        deface(&mut block, random);
        let sum = crc32c::crc32c(&block[32..]).to_le_bytes();
        block[..4].copy_from_slice(&sum);
        for (twin, twin_len) in places {
            if *twin_len == len && &base[*twin..twin + len] == original {
                patches.insert(*twin as u64, block.clone());
            }
        }
    }
    Patched { base: base.clone(), patches, read: AtomicU64::new(0) }
}

/// What one node looks like from outside.
type Look = (Metadata, Vec<(OsString, NodeId)>, Vec<u8>);

/// Looks at all that can be reached, in a fixed order; `Err` stands for nodes that answer with an error.
fn look(tree: &Btrfs) -> BTreeMap<NodeId, Result<Look, String>> {
    let mut seen = BTreeMap::new();
    let mut queued = HashSet::from([tree.root()]);
    let mut queue = vec![tree.root()];
    while let Some(node) = queue.pop().filter(|_| seen.len() < MAX_NODES) {
        let looked = look_at(tree, node);
        if let Ok((_, entries, _)) = &looked {
            let new = entries.iter().filter(|(_, child)| queued.insert(*child));
            queue.extend(new.map(|(_, child)| *child));
        }
        seen.insert(node, looked);
    }
    seen
}

fn look_at(tree: &Btrfs, node: NodeId) -> Result<Look, String> {
    let told = |e: backstay_items::tree::TreeError| e.to_string();
    let meta = tree.metadata(node).map_err(told)?;
    let mut entries = Vec::new();
    let mut bytes = Vec::new();
    match meta.kind {
        NodeKind::Directory => {
            for entry in tree.entries(node).map_err(told)? {
                let found = tree.lookup(node, &entry.name).map_err(told)?;
                entries.push((entry.name, found));
            }
        }
        NodeKind::Symlink => bytes = tree.link_target(node).map_err(told)?.into_encoded_bytes(),
        NodeKind::File => {
            tree.own_content(node).map_err(told)?;
            for offset in [0, 131_000, meta.size.saturating_sub(5000)] {
                let mut piece = vec![0; 70_000];
                let n = tree.read(node, offset, &mut piece).map_err(told)?;
                bytes.extend(&piece[..n]);
            }
        }
        _ => {}
    }
    Ok((meta, entries, bytes))
}

fn check_ranges(volume: &dyn Volume) {
    let allocation = allocated(volume);
    assert!(allocation.used.iter().all(|r| r.end <= volume.size()));
    if allocation.doubt.is_some() {
        assert_eq!(allocation.used.total(), volume.size());
    }
}

fn count() -> u64 {
    std::env::var("BTRFS_ATTACKS").map_or(2000, |s| s.parse().unwrap())
}

/// Runs in a process of its own with little memory, started by [`attacks_with_right_checksums`].
#[test]
#[ignore = "run by attacks_with_right_checksums, in a process with little memory"]
fn attacks() {
    let path = std::env::var("BTRFS_IMAGE").unwrap();
    let base = Arc::new(fs::read(path).unwrap());
    let node = u32::from_le_bytes(base[65536 + 0x94..][..4].try_into().unwrap());
    let places = blocks(&base, node as usize);
    assert!(places.len() > 20);
    let (mut opened, mut believed) = (0, 0);
    for seed in 0..count() {
        eprintln!("seed {seed}");
        let volume = Arc::new(attack(&base, &places, &mut Random(seed)));
        check_ranges(&*volume);
        believed += u64::from(allocated(&*volume).doubt.is_none());
        let replayed = Btrfs::open(volume.clone());
        for tree in [replayed, Btrfs::open_committed(volume)].iter().flatten() {
            opened += 1;
            look(tree);
        }
    }
    // Most attacks must get past the first look, or they try nothing.
    assert!(opened > count() / 4 && believed > 0, "{opened} opened, {believed} believed");
}

#[test]
fn attacks_with_right_checksums() {
    for (mkfs, mount) in [("--mixed -n 4096", "compress=lzo"), ("", "compress=zstd"), ("-m single", "compress=zlib")] {
        let image = small(mkfs, mount);
        let exe = std::env::current_exe().unwrap();
        let line = format!(
            "ulimit -v {MEMORY_KIB}; BTRFS_IMAGE='{}' timeout 3000 '{}' --ignored --exact hostile::attacks",
            image.path.display(),
            exe.display()
        );
        run("bash", &["-c", &line]);
    }
}

/// Bits flipped in what is used, sums left alone: every answer is right, or an error.
fn flips(mkfs: &str, mount: &str, healed: bool) {
    let image = small(mkfs, mount);
    let base = Arc::new(fs::read(&image.path).unwrap());
    let patched = |patches| Patched { base: base.clone(), patches, read: AtomicU64::new(0) };
    let whole = Arc::new(patched(BTreeMap::new()));
    let used = allocated(&*whole).used;
    let truth = look(&Btrfs::open(whole.clone()).unwrap());
    assert!(truth.len() > 50 && truth.values().all(Result::is_ok));
    let areas: Vec<_> = used.iter().filter(|r| r.start >= 1 << 20).collect();
    let mut random = Random(7);
    let mut noticed = 0;
    for _ in 0..count() / 2 {
        let area = &areas[random.below(areas.len() as u64) as usize];
        let at = area.start + random.below(area.end - area.start);
        let byte = base[at as usize] ^ 1 << random.below(8);
        let volume = Arc::new(patched(BTreeMap::from([(at, vec![byte])])));
        check_ranges(&*volume);
        match Btrfs::open(volume) {
            Ok(tree) => noticed += same_or_error(&truth, &look(&tree)),
            Err(_) => noticed += 1,
        }
    }
    match healed {
        true => assert_eq!(noticed, 0, "the other copy should have been used"),
        false => assert!(noticed > 0, "no flip hit anything"),
    }
}

fn same_or_error(truth: &BTreeMap<NodeId, Result<Look, String>>, seen: &BTreeMap<NodeId, Result<Look, String>>) -> u64 {
    let mut errors = 0;
    for (node, look) in seen {
        match look {
            Ok(look) => assert_eq!(Ok(look), truth[node].as_ref(), "wrong, and no error"),
            Err(_) => errors += 1,
        }
    }
    errors
}

#[test]
fn a_flipped_bit_is_an_error() {
    flips("-m single", "compress=zlib", false);
}

#[test]
fn a_flipped_bit_is_healed_by_the_other_copy() {
    flips("-d dup", "", true);
}

#[test]
fn a_flipped_bit_in_the_superblock_is_healed_by_a_mirror() {
    let image = Image::make(128, "");
    let mounted = image.mount("noatime");
    shell(mounted.path(), "echo x > file");
    drop(mounted);
    let mut bytes = fs::read(&image.path).unwrap();
    bytes[65536 + 0x50] ^= 1;
    assert_eq!(Btrfs::open(Arc::new(bytes.clone())).unwrap().entries(NodeId(256)).unwrap().len(), 1);
    assert!(allocated(&bytes).doubt.is_some(), "the kernel would not mount it");
    bytes[(64 << 20) + 0x50] ^= 1;
    let Err(error) = Btrfs::open(Arc::new(bytes)) else {
        panic!("opened without a superblock");
    };
    assert!(error.to_string().contains("superblock"), "{error}");
}

/// Data that rotted is told in words, and only by the reads that want it.
#[test]
fn rotten_data_is_told_in_words() {
    let image = Image::make(128, "");
    let mounted = image.mount("noatime");
    let content = Random(3).bytes(200_000);
    fs::write(mounted.path().join("file"), &content).unwrap();
    drop(mounted);
    let mut bytes = fs::read(&image.path).unwrap();
    let sector = &content[90_112..94_208];
    let at = bytes.chunks(4096).position(|c| c == sector).unwrap() * 4096;
    bytes[at + 17] ^= 4;
    let tree = Btrfs::open(Arc::new(bytes)).unwrap();
    let file = tree.lookup(tree.root(), "file".as_ref()).unwrap();
    let mut buf = vec![0; 50_000];
    assert_eq!(tree.read(file, 0, &mut buf).unwrap(), 50_000);
    assert!(buf == content[..50_000]);
    let error = tree.read(file, 60_000, &mut buf).unwrap_err().to_string();
    assert!(error.contains("damaged") && error.contains("checksum"), "{error}");
    assert_eq!(tree.read(file, 94_208, &mut buf).unwrap(), 50_000);
}
