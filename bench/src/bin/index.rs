//! The dedup index with many chunks: how fast it takes them, and how fast it finds them again.
//!
//! `index CHUNKS FOLDER` fills an index in an empty folder, with ids that depend on their number alone, opens it anew,
//! looks up random ones of which half are there, checks every answer, and prints `name value` lines for
//! `cargo xtask bench index`, which also takes the memory. Never knows: what is a good figure.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backstay_bench::Random;
use backstay_env::objects::Key;
use backstay_env::real::folder::Folder;
use backstay_env::real::system::SystemRandom;
use backstay_format::units::{ChunkId, ChunkNo, PackId, StoreId};
use backstay_store::index::{Index, Limits, Writing};

/// Chunks of 64 KiB that fill a pack of 32 MiB.
const IN_A_PACK: u64 = 512;
const LOOKUPS: u64 = 2_000_000;
const BATCH: u64 = 1024;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [chunks, folder] = arguments.as_slice() else {
        return Err("usage: index CHUNKS FOLDER".into());
    };
    let packs = chunks.parse::<u64>()?.div_ceil(IN_A_PACK).max(1);
    let folder = Path::new(folder);
    let inserting = fill(folder, packs)?;
    println!("inserts_per_second {:.0}", rate(packs * IN_A_PACK, inserting));
    let start = Instant::now();
    let index = open(folder)?;
    println!("open_seconds {:.3}", start.elapsed().as_secs_f64());
    // Filters are loaded when first asked, and what other programs pushed out of the page cache comes back.
    println!("first_lookups_per_second {:.0}", rate(LOOKUPS, single(&index, packs)?));
    println!("lookups_per_second {:.0}", rate(LOOKUPS, single(&index, packs)?));
    println!("lookups_in_batches_per_second {:.0}", rate(LOOKUPS, batches(&index, packs)?));
    Ok(())
}

fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

fn open(folder: &Path) -> Outcome<Index> {
    let home = Arc::new(Folder::open(folder)?);
    let prefix = Key::new("index").ok_or("not a key")?;
    Ok(Index::open(home, prefix, StoreId([1; 16]), Limits::default(), Arc::new(SystemRandom))?)
}

/// Inserts and merges as the owner of an index does in a long ingest: a few steps of merging after each pack, and all
/// that is left at the end. All of it counts.
fn fill(folder: &Path, packs: u64) -> Outcome<Duration> {
    drop(Folder::create(folder)?);
    let mut index = open(folder)?;
    let start = Instant::now();
    for pack in 0..packs {
        let chunks = (0..IN_A_PACK).map(|chunk| (ChunkNo(chunk as u32), id(pack * IN_A_PACK + chunk)));
        index.insert_pack(writing(pack), chunks)?;
        index.merge_step()?;
    }
    index.flush()?;
    while index.merge_step()? {}
    Ok(start.elapsed())
}

fn writing(pack: u64) -> Writing {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&pack.to_le_bytes());
    Writing { pack: PackId(id), stamp: 0 }
}

/// The id of a chunk: random, but the same for the same number.
fn id(number: u64) -> ChunkId {
    let mut random = Random::seeded(number.wrapping_mul(4));
    let mut id = [0; 32];
    for word in id.chunks_exact_mut(8) {
        word.copy_from_slice(&random.next().to_le_bytes());
    }
    ChunkId(id)
}

/// Random numbers of chunks, of which about half were inserted.
fn asked(packs: u64) -> impl Iterator<Item = u64> {
    let mut random = Random::seeded(0x00c0_ffee);
    (0..LOOKUPS).map(move |_| random.next() % (2 * packs * IN_A_PACK))
}

fn single(index: &Index, packs: u64) -> Outcome<Duration> {
    let start = Instant::now();
    for number in asked(packs) {
        let found = index.lookup(&id(number));
        right(number, packs, found.map(|place| (place.pack, place.chunk)))?;
    }
    Ok(start.elapsed())
}

fn batches(index: &Index, packs: u64) -> Outcome<Duration> {
    let start = Instant::now();
    let numbers: Vec<u64> = asked(packs).collect();
    for batch in numbers.chunks(BATCH as usize) {
        let ids: Vec<ChunkId> = batch.iter().map(|&number| id(number)).collect();
        for (&number, found) in batch.iter().zip(index.lookup_many(&ids)) {
            right(number, packs, found.map(|place| (place.pack, place.chunk)))?;
        }
    }
    Ok(start.elapsed())
}

fn right(number: u64, packs: u64, found: Option<(PackId, ChunkNo)>) -> Outcome<()> {
    let (pack, chunk) = (number / IN_A_PACK, number % IN_A_PACK);
    let wanted = (pack < packs).then(|| (writing(pack).pack, ChunkNo(chunk as u32)));
    if found == wanted { Ok(()) } else { Err(format!("chunk {number}: found {found:?}, not {wanted:?}").into()) }
}
