//! A timeline with many points: what committing one costs at its beginning and at its end, how long any of them takes to
//! open, and how much a point with 100 scattered changed pages adds to the store.
//!
//! `timeline POINTS FOLDER` follows a disk of 16 MiB in memory, as a tracker of its changes would, into a store in an empty
//! folder. In most points eight pages changed, to something that compresses well; in the first and last hundreds 100
//! pages, to random bytes. It checks what it reads back, and prints `name value` lines for `cargo xtask bench timeline`.
//! Never knows: what is a good figure.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use backstay_bench::Random;
use backstay_env::real::folder::Folder;
use backstay_env::real::system::{SystemClock, SystemRandom};
use backstay_env::volume::Volume;
use backstay_format::keys::Argon2Cost;
use backstay_format::rows::Consistency;
use backstay_format::units::PointNo;
use backstay_vault::gap::Promise;
use backstay_vault::protect::{Boundary, Capture, Changed, Progress, Source, Told, Verdict};
use backstay_vault::{Seams, Vault};

type Outcome<T> = Result<T, Box<dyn Error>>;

const PAGE: usize = 4096;
const PAGES: usize = 4096;
const MACHINE: &str = "bench";
/// Points at either end that are looked at closely: twice as many as are summed up into one run of the second level, for the
/// cost of that comes all at once.
const CLOSELY: u64 = 512;
/// Points that are opened.
const OPENED: u64 = 500;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [points, folder] = arguments.as_slice() else {
        return Err("usage: timeline POINTS FOLDER".into());
    };
    let points: u64 = points.parse()?;
    if points < 3 * CLOSELY {
        return Err(format!("fewer than {} points show nothing", 3 * CLOSELY).into());
    }
    let mut world = World::create(Path::new(folder))?;
    let first = world.closely()?;
    for _ in CLOSELY..points - CLOSELY {
        let changed = world.change(8, |random, page| {
            let word = random.next().to_le_bytes();
            page.chunks_mut(word.len()).for_each(|part| part.copy_from_slice(&word));
        });
        world.point(&changed)?;
    }
    let last = world.closely()?;
    println!("points {points}");
    println!("commit_ms_empty {:.3}", first.commit_ms);
    println!("commit_ms_full {:.3}", last.commit_ms);
    println!("commit_own_ms_empty {:.3}", first.commit_own_ms);
    println!("commit_own_ms_full {:.3}", last.commit_own_ms);
    println!("mib_per_point_empty {:.4}", first.mib_per_point);
    println!("mib_per_point {:.4}", last.mib_per_point);
    world.open_any(points)
}

struct World {
    folder: std::path::PathBuf,
    seams: Seams,
    vault: Vault,
    disk: Vec<u8>,
    random: Random,
    /// Where the newest point ends.
    from: Option<Boundary>,
    /// The first page of the disk at each point so far.
    firsts: Vec<u64>,
}

/// What was seen of some hundred points.
struct Closely {
    commit_ms: f64,
    /// Of the program's own processor time, which says more on a busy machine.
    commit_own_ms: f64,
    mib_per_point: f64,
}

impl World {
    fn create(folder: &Path) -> Outcome<World> {
        let home = Arc::new(Folder::create(folder)?);
        let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
        let seams = Seams { home: home.clone(), index_home: home, clock, random };
        // Guessing the passphrase is not what is measured.
        let cheap = Argon2Cost { memory_kib: 32, passes: 1, lanes: 1 };
        Vault::create_with(&seams, "main", b"bench", cheap)?;
        let vault = Vault::open(seams.clone(), "main", b"bench")?;
        let mut random = Random::seeded(7);
        let mut disk = vec![0; PAGES * PAGE];
        random.fill(&mut disk);
        let folder = folder.to_path_buf();
        let mut world = World { folder, seams, vault, disk, random, from: None, firsts: Vec::new() };
        world.from = Some(world.protect()?);
        Ok(world)
    }

    /// Changes the first page and at most `count - 1` others; which.
    fn change(&mut self, count: usize, to: impl Fn(&mut Random, &mut [u8])) -> BTreeSet<u64> {
        let mut changed = BTreeSet::from([0]);
        changed.extend((1..count).map(|_| self.random.next() % PAGES as u64));
        for page in &changed {
            to(&mut self.random, &mut self.disk[*page as usize * PAGE..][..PAGE]);
        }
        changed
    }

    /// The first point, by a rescan.
    fn protect(&mut self) -> Outcome<Boundary> {
        let verdict = || Verdict { consistency: Consistency::Still, stamps: Vec::new() };
        let source = Source {
            name: "disk".into(),
            origin: "memory".into(),
            volume: &self.disk,
            used: vec![0..self.disk.len() as u64],
            excluded: Vec::new(),
            exclusions: Vec::new(),
        };
        let made = self.vault.protect(&Capture {
            machine: MACHINE,
            sources: vec![source],
            note: String::new(),
            verdict: &verdict,
            cancel: &AtomicBool::new(false),
            progress: &Progress::default(),
            promise: Promise::default(),
        })?;
        Ok(made.boundary())
    }

    /// A point of what changed.
    fn point(&mut self, changed: &BTreeSet<u64>) -> Outcome<Duration> {
        let from = self.from.take().ok_or("no point before")?;
        let start = Instant::now();
        let mut following = self.vault.follow(&from)?;
        let mut pages: Vec<Range<u64>> = Vec::new();
        for page in changed.iter().copied() {
            match pages.last_mut() {
                Some(last) if last.end == page => last.end += 1,
                _ => pages.push(page..page + 1),
            }
        }
        let changed = Changed { disk: 0, volume: &self.disk, pages, excluded: Vec::new() };
        following.pass(&[changed], &AtomicBool::new(false))?;
        let time = self.seams.clock.now();
        let (note, exclusions, promise) = (String::new(), Vec::new(), Promise::default());
        let told = Told { time, consistency: Consistency::Still, held: 0, note, exclusions, promise };
        let made = following.publish(told)?;
        // Summing up and bundling belong to a point, on average: they are timed with it.
        self.vault.settle(made.machine.id)?;
        let took = start.elapsed();
        self.from = Some(made.boundary());
        self.firsts.push(first_word(&self.disk));
        Ok(took)
    }

    /// The mean time of a point with 100 changed pages of random bytes, and what each of them added to the store.
    fn closely(&mut self) -> Outcome<Closely> {
        let before = stored(&self.folder)?;
        let mut times = Vec::new();
        let own = own_seconds()?;
        for _ in 0..CLOSELY {
            let changed = self.change(100, |random, page| random.fill(page));
            times.push(self.point(&changed)?);
        }
        let mean = times.iter().sum::<Duration>() / CLOSELY as u32;
        let own = own_seconds()? - own;
        let grown = stored(&self.folder)?.saturating_sub(before);
        Ok(Closely {
            commit_ms: mean.as_secs_f64() * 1e3,
            commit_own_ms: own / CLOSELY as f64 * 1e3,
            mib_per_point: grown as f64 / CLOSELY as f64 / f64::from(1 << 20),
        })
    }

    /// Opens points here and there, reading a page of each, in a vault that was opened anew.
    fn open_any(mut self, points: u64) -> Outcome<()> {
        let start = Instant::now();
        let vault = Vault::open(self.seams, "main", b"bench")?;
        println!("vault_open_ms {:.3}", start.elapsed().as_secs_f64() * 1e3);
        let machine = vault.machine(MACHINE)?;
        let mut times = Vec::new();
        for _ in 0..OPENED {
            let number = self.random.next() % points;
            let start = Instant::now();
            // The first point of all was made before the counting began.
            let point = vault.point(&machine, PointNo(number + 2))?;
            let disk = vault.disk(&machine, &point, None)?;
            let mut page = [0; PAGE];
            disk.read_at(0, &mut page)?;
            times.push(start.elapsed());
            if first_word(&page) != self.firsts[number as usize] {
                return Err(format!("point {} does not read as it was", number + 2).into());
            }
        }
        times.sort();
        println!("open_ms_median {:.3}", times[times.len() / 2].as_secs_f64() * 1e3);
        println!("open_ms_worst {:.3}", times[times.len() - 1].as_secs_f64() * 1e3);
        Ok(())
    }
}

fn first_word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[..8]);
    u64::from_le_bytes(word)
}

/// The lengths of all files below.
fn stored(path: &Path) -> Outcome<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let facts = entry.metadata()?;
        sum += if facts.is_dir() { stored(&entry.path())? } else { facts.len() };
    }
    Ok(sum)
}

/// Seconds of processor time that all threads took so far, the disk's content for the points included.
fn own_seconds() -> Outcome<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let (_, after_name) = stat.rsplit_once(") ").ok_or("an odd /proc/self/stat")?;
    let fields: Vec<&str> = after_name.split(' ').collect();
    let [user, system] = [11, 12].map(|at| fields.get(at).and_then(|ticks| ticks.parse::<f64>().ok()));
    Ok((user.ok_or("no user time")? + system.ok_or("no system time")?) / 100.0)
}
