//! Damaged images: any answer is right but a panic, a hang, or memory out of proportion.

use std::collections::{HashMap, VecDeque};
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use backstay_env::volume::{Volume, check_range};
use backstay_items::tree::{FileTree, NodeKind};
use backstay_items::xfs::{Xfs, allocated};

use crate::populate::everything;
use crate::support::{Image, Random, run};

const PAGE: u64 = 4096;

/// An image in memory without its zeros, and bytes changed in it.
struct Damaged {
    pages: Arc<HashMap<u64, Vec<u8>>>,
    changed: HashMap<u64, Vec<u8>>,
    size: u64,
}

impl Damaged {
    fn load(image: &Image) -> Damaged {
        let file = File::open(&image.path).unwrap();
        let size = file.metadata().unwrap().len();
        let mut pages = HashMap::new();
        for index in 0..size / PAGE {
            let mut page = vec![0; PAGE as usize];
            file.read_exact_at(&mut page, index * PAGE).unwrap();
            if page.iter().any(|b| *b != 0) {
                pages.insert(index, page);
            }
        }
        Damaged { pages: Arc::new(pages), changed: HashMap::new(), size }
    }

    /// The same image with some bytes of some pages changed.
    fn damage(&self, places: &[u64], random: &mut Random) -> Damaged {
        let mut changed: HashMap<u64, Vec<u8>> = HashMap::new();
        for _ in 0..random.below(6) + 1 {
            let index = places[random.below(places.len() as u64) as usize];
            let page = changed.entry(index).or_insert_with(|| self.pages[&index].clone());
            // Structures begin at multiples of 512 bytes: most of what matters is near.
            let near = random.below(8) * 512 + random.below(128);
            let at = if random.below(3) > 0 { near } else { random.below(PAGE) } as usize;
            match random.below(4) {
                0 => page[at] ^= 1 << random.below(8),
                1 => page[at] = random.next() as u8,
                2 => page[at] = 0xff,
                _ => page[at..(at + 4).min(PAGE as usize)].fill(0),
            }
        }
        Damaged { pages: self.pages.clone(), changed, size: self.size }
    }
}

impl Volume for Damaged {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        check_range(self.size, offset, buf.len() as u64)?;
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            let (index, inside) = (at / PAGE, (at % PAGE) as usize);
            let len = (PAGE as usize - inside).min(buf.len() - done);
            let part = &mut buf[done..done + len];
            match self.changed.get(&index).or_else(|| self.pages.get(&index)) {
                Some(page) => part.copy_from_slice(&page[inside..inside + len]),
                None => part.fill(0),
            }
            done += len;
        }
        Ok(())
    }
}

/// Asks everything of an image; counts what was answered.
fn explore(volume: Arc<dyn Volume>) -> usize {
    let Ok(tree) = Xfs::open(volume) else {
        return 0;
    };
    let mut answers = 0;
    let mut todo = VecDeque::from([tree.root()]);
    let mut buf = vec![0; 20_000];
    // A damaged tree may be a graph with rings.
    while answers < 1_000 {
        let Some(node) = todo.pop_front() else {
            break;
        };
        let Ok(metadata) = tree.metadata(node) else {
            continue;
        };
        answers += 1;
        match metadata.kind {
            NodeKind::Directory => {
                let entries = tree.entries(node).unwrap_or_default();
                assert!(entries.len() < 100_000);
                for entry in entries.iter().take(3) {
                    answers += usize::from(tree.lookup(node, &entry.name).is_ok());
                }
                todo.extend(entries.iter().map(|e| e.node));
            }
            NodeKind::File => {
                answers += usize::from(tree.own_content(node).is_ok());
                for offset in [0, metadata.size / 2, metadata.size.saturating_sub(5), 1 << 40] {
                    answers += usize::from(tree.read(node, offset, &mut buf).is_ok());
                }
            }
            NodeKind::Symlink => answers += usize::from(tree.link_target(node).is_ok()),
            _ => {}
        }
    }
    answers
}

/// Damages `places` of an image `times` times; on many the reader must still find its way for the test to mean
/// anything. With a `log` (its bytes on the volume) the checksums of its records are made to fit the damage.
fn fuzz(base: &Damaged, places: &[u64], log: Option<Range<u64>>, seed: u64, times: usize) {
    let mut random = Random(seed);
    let mut answers = 0;
    for _ in 0..times {
        let mut damaged = base.damage(places, &mut random);
        if let Some(log) = &log {
            reseal(&mut damaged, log.clone());
        }
        let damaged = Arc::new(damaged);
        let found = allocated(&*damaged);
        assert!(found.used.total() <= base.size);
        assert!(found.doubt.is_none() || found.used.total() == base.size);
        answers += explore(damaged);
    }
    assert!(answers > times * 20, "only {answers} answers");
}

/// Gives the records of a log the checksums of what is in them now, as one who means harm would.
fn reseal(damaged: &mut Damaged, log: Range<u64>) {
    let mut data = vec![0; (log.end - log.start) as usize];
    damaged.read_at(log.start, &mut data).unwrap();
    for block in 0..data.len() / 512 {
        let rest = &data[block * 512..];
        if rest[..4] != [0xfe, 0xed, 0xba, 0xbe] {
            continue;
        }
        let number = |at: usize| u32::from_be_bytes(rest[at..at + 4].try_into().unwrap()) as usize;
        let (len, headers) = (number(12), number(320).div_ceil(32768).clamp(1, 8));
        let Some(content) = rest.get(headers * 512..headers * 512 + len) else {
            continue;
        };
        let mut crc = crc32c::crc32c(&rest[..32]);
        crc = crc32c::crc32c_append(crc, &[0; 4]);
        crc = crc32c::crc32c_append(crc, &rest[36..328]);
        for i in 1..len.div_ceil(32768).min(headers) {
            crc = crc32c::crc32c_append(crc, &rest[i * 512..i * 512 + 260]);
        }
        let crc = crc32c::crc32c_append(crc, content).to_le_bytes();
        let at = log.start + block as u64 * 512;
        let page = damaged.changed.entry(at / PAGE);
        let page = page.or_insert_with(|| damaged.pages[&(at / PAGE)].clone());
        page[(at % PAGE) as usize + 32..][..4].copy_from_slice(&crc);
    }
}

/// Pages with metadata: those with files' content cannot mislead.
fn metadata_pages(base: &Damaged) -> Vec<u64> {
    let magics: [&[u8]; 13] =
        [b"XFSB", b"XAGF", b"XAGI", b"XAFL", b"AB", b"IAB", b"BMA", b"XD", b"XSLM", b"IN", b"FIB", &[0xd2], &[0x3d]];
    let is_metadata = |page: &[u8]| {
        let begins = |s: &[u8]| magics.iter().any(|m| s.starts_with(m) || s[8..].starts_with(m));
        page.chunks(512).any(begins)
    };
    let mut places: Vec<u64> =
        base.pages.iter().filter(|(_, page)| is_metadata(page)).map(|(index, _)| *index).collect();
    places.sort_unstable();
    places
}

fn populated(options: &[&str], crash: bool) -> Image {
    let image = Image::make(64, options);
    let mount = image.mount("rw");
    everything(&mount.at, 600, true);
    if crash {
        run("sync", &["-f", mount.at.to_str().unwrap()]);
        for i in 0..20 {
            fs::write(mount.at.join(format!("late {i}")), vec![7; i * 100]).unwrap();
            fs::remove_file(mount.at.join(format!("leaf/entry number {} of leaf", i * 3 + 1))).unwrap();
        }
        run("xfs_io", &["-x", "-c", "shutdown -f", mount.at.to_str().unwrap()]);
    }
    drop(mount);
    image
}

#[test]
fn damaged_anywhere() {
    let base = Damaged::load(&populated(&[], false));
    fuzz(&base, &metadata_pages(&base), None, 21, 400);
}

#[test]
fn damaged_in_a_log_to_replay() {
    let image = populated(&["-b", "size=1024"], true);
    let base = Damaged::load(&image);
    let (start, len) = crate::log::log_range(&image);
    let log = start..start + len;
    let mut places: Vec<u64> = (log.start / PAGE..log.end / PAGE).collect();
    places.retain(|index| base.pages.contains_key(index));
    fuzz(&base, &places, Some(log), 22, 600);
}

#[test]
fn damaged_version_4_where_no_checksum_helps() {
    let dir = tempfile::tempdir().unwrap();
    let list = dir.path().join("list");
    fs::write(&list, crate::version4::source(dir.path(), 2_000)).unwrap();
    for (seed, block) in [(23, "size=4096"), (24, "size=512")] {
        let options = ["-m", "crc=0", "-b", block, "-p", list.to_str().unwrap()];
        let base = Damaged::load(&Image::make(64, &options));
        fuzz(&base, &metadata_pages(&base), None, seed, 1_500);
    }
}
