//! Measures the dedup index: `cargo run --release -p backstay-store --example index_bench -- --chunks 100000000`.
//!
//! Builds an index of so many chunks with seeded ids, in packs of 1000, in a temporary folder (some 25 bytes a chunk
//! while it lasts, twice that during a merge), and prints rates, memory and size.
//!
//! Options: `--chunks N`, `--fan-out N`, `--lookups N`, `--folder DIR` (where the temporary folder goes).

use std::error::Error;
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use backstay_env::objects::{Key, Objects};
use backstay_env::real::folder::Folder;
use backstay_env::sim::random::{Dice, SimRandom};
use backstay_format::units::{ChunkId, ChunkNo, PackId, StoreId};
use backstay_store::index::{Index, Limits, Writing};

const PACK: u64 = 1000;
const STORE: StoreId = StoreId([1; 16]);

struct Options {
    chunks: u64,
    lookups: u64,
    fan_out: u64,
    folder: PathBuf,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = options()?;
    let folder = tempfile::tempdir_in(&options.folder)?;
    let mut index = open(folder.path(), options.fan_out)?;
    println!("chunks                {:>12}", options.chunks);
    build(&mut index, options.chunks)?;
    println!("peak memory           {:>12} KiB while building", peak()?);
    println!("processor time        {:>12.1} s while building", processor_seconds()?);
    stats(&index);
    drop(index);

    let start = Instant::now();
    let index = open(folder.path(), options.fan_out)?;
    println!("opened in             {:>12.1} ms", start.elapsed().as_secs_f64() * 1e3);
    let start = Instant::now();
    warm(&index, options.chunks, options.lookups);
    println!(
        "first lookups         {:>12.1} s (until filters are loaded and files in the page cache)",
        start.elapsed().as_secs_f64()
    );
    yardstick(folder.path(), options.lookups)?;
    lookups(&index, options.chunks, options.lookups)?;
    stats(&index);
    println!("peak memory           {:>12} KiB in all", peak()?);
    Ok(())
}

fn options() -> Result<Options, Box<dyn Error>> {
    let mut options = Options {
        chunks: 10_000_000,
        lookups: 1_000_000,
        fan_out: Limits::default().fan_out,
        folder: std::env::temp_dir(),
    };
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let value = args.next().ok_or_else(|| format!("{name} wants a value"))?;
        match name.as_str() {
            "--chunks" => options.chunks = value.parse()?,
            "--lookups" => options.lookups = value.parse()?,
            "--fan-out" => options.fan_out = value.parse()?,
            "--folder" => options.folder = value.into(),
            _ => return Err(format!("there is no option {name}").into()),
        }
    }
    Ok(options)
}

fn open(folder: &std::path::Path, fan_out: u64) -> Result<Index, Box<dyn Error>> {
    let home = Arc::new(Folder::open(folder)?);
    let prefix = Key::new("index").ok_or("not a key")?;
    let limits = Limits { fan_out, ..Limits::default() };
    Ok(Index::open(home, prefix, STORE, limits, Arc::new(SimRandom::seeded(1)))?)
}

/// The id of chunk `n`; those from `chunks` on are in no pack.
fn id(n: u64) -> ChunkId {
    let mut id = [0; 32];
    Dice::seeded(n.wrapping_mul(0xd134_2543_de82_ef95)).fill(&mut id);
    ChunkId(id)
}

fn pack_id(n: u64) -> PackId {
    let mut id = [0; 16];
    Dice::seeded(!n).fill(&mut id);
    PackId(id)
}

/// As an owner does in a long ingest: a step of upkeep after each pack, should there be any to do.
fn build(index: &mut Index, chunks: u64) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let mut slowest = 0.0f64;
    for pack in 0..chunks.div_ceil(PACK) {
        let one = Instant::now();
        let numbers = pack * PACK..chunks.min((pack + 1) * PACK);
        let entries = (0..).map(ChunkNo).zip(numbers.map(id));
        let writing = Writing { pack: pack_id(pack), stamp: 0 };
        index.insert_pack(writing, entries)?;
        index.merge_step()?;
        slowest = slowest.max(one.elapsed().as_secs_f64());
    }
    index.flush()?;
    let inserted = start.elapsed().as_secs_f64();
    while index.merge_step()? {}
    let seconds = start.elapsed().as_secs_f64();
    println!("inserted in           {inserted:>12.1} s: {:.0}/s, merges on the way included", chunks as f64 / inserted);
    println!("and merged to the end {seconds:>12.1} s: {:.0}/s", chunks as f64 / seconds);
    println!("slowest pack          {:>12.1} ms", slowest * 1e3);
    Ok(())
}

fn warm(index: &Index, chunks: u64, lookups: u64) {
    let mut dice = Dice::seeded(5);
    for _ in 0..lookups {
        black_box(index.lookup(&id(dice.below(chunks))));
    }
}

/// What the home and the machine can do: reading random blocks of the same objects, and nothing else.
fn yardstick(folder: &std::path::Path, reads: u64) -> Result<(), Box<dyn Error>> {
    let home = Folder::open(folder)?;
    let prefix = Key::new("index").ok_or("not a key")?;
    let listed = home.list(&prefix)?;
    let objects = listed.iter().map(|object| home.open(&object.key));
    let objects = objects.collect::<Result<Vec<_>, _>>()?;
    let blocks: Vec<u64> = objects.iter().map(|object| object.size() / 4096).collect();
    let (mut dice, mut block) = (Dice::seeded(3), [0; 4096]);
    let (start, before) = (Instant::now(), processor_seconds()?);
    for _ in 0..reads {
        // Objects differ in size only where there is little in them.
        let object = dice.below(objects.len() as u64) as usize;
        let offset = dice.below(blocks[object].max(1)) * 4096;
        objects[object].read_at(offset, &mut block)?;
        black_box(&block);
    }
    let wall = reads as f64 / start.elapsed().as_secs_f64();
    let own = reads as f64 / (processor_seconds()? - before);
    println!("yardstick: block reads   {wall:>9.0} reads/s,   {own:>9.0} a second of processor time");
    Ok(())
}

fn lookups(index: &Index, chunks: u64, lookups: u64) -> Result<(), Box<dyn Error>> {
    let mut dice = Dice::seeded(9);
    let mut hit = || id(dice.below(chunks));
    let hits: Vec<ChunkId> = (0..lookups).map(|_| hit()).collect();
    each("hits", index, &hits, lookups)?;
    drop(hits);
    let misses: Vec<ChunkId> = (1 << 40..).map(id).take(lookups as usize).collect();
    each("misses", index, &misses, 0)?;
    drop(misses);
    let other = |n: u64| {
        if n.is_multiple_of(2) { hit() } else { id(n + (1 << 41)) }
    };
    let mixed: Vec<ChunkId> = (0..lookups).map(other).collect();
    each("half hits", index, &mixed, lookups.div_ceil(2))
}

/// One by one, and many at once.
fn each(name: &str, index: &Index, ids: &[ChunkId], found: u64) -> Result<(), Box<dyn Error>> {
    let single = || ids.iter().filter(|id| index.lookup(id).is_some()).count();
    rate(name, ids.len(), found, single)?;
    for size in [1000, 10_000] {
        let batch = |ids: &[ChunkId]| index.lookup_many(ids).iter().flatten().count();
        let name = format!("{name}, {size} at once");
        rate(&name, ids.len(), found, || ids.chunks(size).map(batch).sum())?;
    }
    Ok(())
}

fn rate(name: &str, lookups: usize, expected: u64, run: impl Fn() -> usize) -> Result<(), Box<dyn Error>> {
    let (start, before) = (Instant::now(), processor_seconds()?);
    let found = run() as u64;
    let (seconds, processor) = (start.elapsed().as_secs_f64(), processor_seconds()? - before);
    assert_eq!(found, expected, "{name}: the index is wrong");
    let (wall, own) = (lookups as f64 / seconds, lookups as f64 / processor);
    println!("{name:<24} {wall:>9.0} lookups/s, {own:>9.0} a second of processor time");
    Ok(())
}

fn stats(index: &Index) {
    let stats = index.stats();
    assert!(stats.dropped.is_empty(), "{:?}", stats.dropped);
    println!("runs                  {:>12}", stats.runs);
    println!("entries               {:>12}", stats.entries);
    println!("stored                {:>12} KiB", stats.stored / 1024);
    println!("resident, as counted  {:>12} KiB", stats.resident / 1024);
}

/// KiB of memory at most so far.
fn peak() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// Seconds of processor time so far, by the kernel's clock of 100 ticks a second.
fn processor_seconds() -> Result<f64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').ok_or("no name in stat")?;
    let ticks = |at: usize| fields.split_whitespace().nth(at).ok_or("a short stat");
    let (user, system): (u64, u64) = (ticks(11)?.parse()?, ticks(12)?.parse()?);
    Ok((user + system) as f64 / 100.0)
}
