//! The dedup index with many chunks: how fast it takes them, how fast it finds them again, and what it holds in memory.
//!
//! `index CHUNKS FOLDER [FAN_OUT]` fills an index in an empty folder, with ids that depend on their number alone, opens it
//! anew, looks up random ones, checks every answer, and prints `name value` lines for `cargo xtask bench index`, which also
//! takes the memory. Rates are of wall time; those called `own` of the program's own processor time, which says more on a
//! machine that others use. Never knows: what is a good figure.

use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use backstay_bench::Random;
use backstay_env::objects::{Key, Objects};
use backstay_env::real::folder::Folder;
use backstay_env::real::system::SystemRandom;
use backstay_format::units::{ChunkId, ChunkNo, PackId, StoreId};
use backstay_store::index::{Index, Limits, Writing};

/// Chunks of 64 KiB that fill a pack of 32 MiB.
const IN_A_PACK: u64 = 512;
/// Lookups of each kind.
const LOOKUPS: u64 = 2_000_000;
const BATCH: usize = 1024;
/// Ids that are made at once, before the time is taken.
const PREPARED: u64 = 64 * BATCH as u64;
const BLOCK: u64 = 4096;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (chunks, folder, fan_out) = match arguments.as_slice() {
        [chunks, folder] => (chunks, folder, Limits::default().fan_out),
        [chunks, folder, fan_out] => (chunks, folder, fan_out.parse()?),
        _ => return Err("usage: index CHUNKS FOLDER [FAN_OUT]".into()),
    };
    let packs = chunks.parse::<u64>()?.div_ceil(IN_A_PACK).max(1);
    let folder = Path::new(folder);
    fill(folder, packs, fan_out)?;
    let start = Instant::now();
    let index = open(folder, fan_out)?;
    println!("open_seconds {:.3}", start.elapsed().as_secs_f64());
    // Filters are loaded when first asked, and what other programs pushed out of the page cache comes back.
    ask("first_lookups", &index, packs, Asked::HalfHits, 1)?;
    yardstick(folder)?;
    ask("hits", &index, packs, Asked::Hits, 1)?;
    ask("misses", &index, packs, Asked::Misses, 1)?;
    ask("lookups", &index, packs, Asked::HalfHits, 1)?;
    ask("hits_in_batches", &index, packs, Asked::Hits, BATCH)?;
    ask("misses_in_batches", &index, packs, Asked::Misses, BATCH)?;
    ask("lookups_in_batches", &index, packs, Asked::HalfHits, BATCH)?;
    println!("resident_mib {:.1}", mib(index.stats().resident));
    Ok(())
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Wall time and processor time, while it runs.
#[derive(Default)]
struct Stopwatch {
    wall: f64,
    own: f64,
}

impl Stopwatch {
    fn time<T>(&mut self, work: impl FnOnce() -> T) -> Outcome<T> {
        let (start, before) = (Instant::now(), own_seconds()?);
        let result = work();
        self.wall += start.elapsed().as_secs_f64();
        self.own += own_seconds()? - before;
        Ok(result)
    }

    fn rates(&self, name: &str, count: u64) {
        println!("{name}_per_second {:.0}", count as f64 / self.wall);
        println!("{name}_per_own_second {:.0}", count as f64 / self.own);
    }
}

/// Processor time of this thread, which is the only one.
fn own_seconds() -> Outcome<f64> {
    let stat = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: u64 = stat.split(' ').next().ok_or("an empty schedstat")?.parse()?;
    Ok(nanoseconds as f64 / 1e9)
}

fn open(folder: &Path, fan_out: u64) -> Outcome<Index> {
    let home = Arc::new(Folder::open(folder)?);
    let limits = Limits { fan_out, ..Limits::default() };
    Ok(Index::open(home, prefix()?, StoreId([1; 16]), limits, Arc::new(SystemRandom))?)
}

fn prefix() -> Outcome<Key> {
    Ok(Key::new("index").ok_or("not a key")?)
}

/// Inserts and merges as the owner of an index does in a long ingest: a step of merging after each pack, and all that is left
/// at the end. All of it counts.
fn fill(folder: &Path, packs: u64, fan_out: u64) -> Outcome<()> {
    drop(Folder::create(folder)?);
    let mut index = open(folder, fan_out)?;
    let (mut watch, mut slowest) = (Stopwatch::default(), 0.0f64);
    for pack in 0..packs {
        let chunks: Vec<(ChunkNo, ChunkId)> =
            (0..IN_A_PACK).map(|chunk| (ChunkNo(chunk as u32), id(pack * IN_A_PACK + chunk))).collect();
        let before = watch.wall;
        watch.time(|| index.insert_pack(writing(pack), chunks).and_then(|()| index.merge_step()))??;
        slowest = slowest.max(watch.wall - before);
    }
    watch.time(|| -> Outcome<()> {
        index.flush()?;
        while index.merge_step()? {}
        Ok(())
    })??;
    watch.rates("inserts", packs * IN_A_PACK);
    println!("slowest_pack_seconds {slowest:.3}");
    let stats = index.stats();
    if !stats.dropped.is_empty() {
        return Err(format!("runs were dropped: {:?}", stats.dropped).into());
    }
    println!("runs {}", stats.runs);
    println!("stored_mib {:.1}", mib(stats.stored));
    Ok(())
}

fn writing(pack: u64) -> Writing {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&pack.to_le_bytes());
    Writing { pack: PackId(id), stamp: 0 }
}

/// The id of a chunk: random, but the same for the same number.
fn id(number: u64) -> ChunkId {
    let mut id = [0; 32];
    Random::seeded(number.wrapping_mul(4)).fill(&mut id);
    ChunkId(id)
}

/// What the home and the machine can do: reading random blocks of the same objects, and nothing else.
fn yardstick(folder: &Path) -> Outcome<()> {
    let home = Folder::open(folder)?;
    let listed = home.list(&prefix()?)?;
    let objects = listed.iter().map(|object| home.open(&object.key)).collect::<Result<Vec<_>, _>>()?;
    let blocks: Vec<u64> = objects.iter().map(|object| object.size() / BLOCK).collect();
    let (mut random, mut block, mut watch) = (Random::seeded(3), [0; BLOCK as usize], Stopwatch::default());
    watch.time(|| -> Outcome<()> {
        for _ in 0..LOOKUPS {
            // Objects differ in size only where there is little in them.
            let object = random.next() as usize % objects.len();
            let offset = random.next() % blocks[object].max(1) * BLOCK;
            objects[object].read_at(offset, &mut block)?;
            black_box(&block);
        }
        Ok(())
    })??;
    watch.rates("block_reads", LOOKUPS);
    Ok(())
}

/// Which chunks are looked up.
#[derive(Clone, Copy)]
enum Asked {
    Hits,
    Misses,
    HalfHits,
}

impl Asked {
    fn number(self, random: &mut Random, chunks: u64) -> u64 {
        match self {
            Asked::Hits => random.next() % chunks,
            Asked::Misses => chunks + random.next() % chunks,
            Asked::HalfHits => random.next() % (2 * chunks),
        }
    }
}

/// Looks chunks up, so many at once; every answer must be right.
fn ask(name: &str, index: &Index, packs: u64, asked: Asked, at_once: usize) -> Outcome<()> {
    let (mut random, mut watch) = (Random::seeded(0x00c0_ffee), Stopwatch::default());
    let mut done = 0;
    while done < LOOKUPS {
        let numbers: Vec<u64> = (0..PREPARED).map(|_| asked.number(&mut random, packs * IN_A_PACK)).collect();
        let ids: Vec<ChunkId> = numbers.iter().map(|number| id(*number)).collect();
        let found = watch.time(|| match at_once {
            1 => ids.iter().map(|id| index.lookup(id)).collect::<Vec<_>>(),
            many => ids.chunks(many).flat_map(|ids| index.lookup_many(ids)).collect(),
        })?;
        for (number, found) in numbers.into_iter().zip(found) {
            right(number, packs, found.map(|place| (place.pack, place.chunk)))?;
        }
        done += PREPARED;
    }
    watch.rates(name, done);
    Ok(())
}

fn right(number: u64, packs: u64, found: Option<(PackId, ChunkNo)>) -> Outcome<()> {
    let (pack, chunk) = (number / IN_A_PACK, number % IN_A_PACK);
    let wanted = (pack < packs).then(|| (writing(pack).pack, ChunkNo(chunk as u32)));
    if found == wanted { Ok(()) } else { Err(format!("chunk {number}: found {found:?}, not {wanted:?}").into()) }
}
