//! What the tracker costs: nanoseconds in each program a write, a bit a page beside a byte for 64 KiB, and looking
//! through the marks of a disk of a TiB. `cargo run --release -p backstay-capture --example tracker_cost`, as root.
//!
//! Never knows: what is good enough.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use aya::programs::ProgramInfo;
use aya::sys::{Stats, enable_stats};
use backstay_capture::marks::Pass;
use backstay_capture::tracker::{Disk, Tracker};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const VARIANTS: [(&str, &[u8]); 3] = [
    ("bit a page", include_bytes!("../bpf/track.bpf.o")),
    ("byte for 64 KiB", include_bytes!("../tests/objects/bytes.bpf.o")),
    ("called, idle", include_bytes!("../tests/objects/idle.bpf.o")),
];
const PROGRAMS: [&str; 4] = ["issue", "complete_a", "complete_b", "complete_c"];
const DISK: u64 = 4 << 30;
const ROUNDS: usize = 3;

fn main() -> Result<()> {
    let folder = tempfile::tempdir_in("/dev/shm")?;
    let device = Loop::over(&folder.path().join("disk"), DISK, &["--direct-io=on"])?;
    println!(
        "ns a write in each program: 4 KiB random, queue depth 32, loop with direct I/O in memory; median of {ROUNDS}"
    );
    let mut rounds = vec![Vec::new(); VARIANTS.len()];
    for _ in 0..ROUNDS {
        for (at, (_, object)) in VARIANTS.iter().enumerate() {
            rounds[at].push(cost(&folder.path().join("pins"), object, &device.0)?);
        }
    }
    for ((name, _), rounds) in VARIANTS.iter().zip(&mut rounds) {
        rounds.sort_by(|a, b| a.iter().sum::<f64>().total_cmp(&b.iter().sum()));
        let median = &rounds[ROUNDS / 2];
        let each: Vec<String> = PROGRAMS.iter().zip(median).map(|(program, ns)| format!("{program} {ns:.0}")).collect();
        println!("  {name:<16} {:>5.0}   ({})", median.iter().sum::<f64>(), each.join(", "));
    }
    drop(device);
    looking(folder.path())
}

/// Nanoseconds a run of each program, the kernel's own measuring included.
fn cost(pins: &Path, object: &[u8], device: &Path) -> Result<Vec<f64>> {
    let mut tracker = Tracker::open_with(pins, object)?;
    tracker.add(device)?;
    let measuring = enable_stats(Stats::RunTime)?;
    let file = format!("--filename={}", device.display());
    let how = ["--name=cost", "--rw=randwrite", "--bs=4k", "--iodepth=32", "--ioengine=libaio", "--direct=1"];
    run(Command::new("fio").args(how).args([&file, "--time_based", "--runtime=4", "--norandommap", "--randrepeat=0"]))?;
    drop(measuring);
    let mut all = Vec::new();
    for program in PROGRAMS {
        let info = ProgramInfo::from_pin(pins.join(format!("program-1-{program}")))?;
        all.push(info.run_time().as_nanos() as f64 / info.run_count().max(1) as f64);
    }
    tracker.detach()?;
    Ok(all)
}

/// How long it takes to look through the marks of a TiB, and to take some.
fn looking(folder: &Path) -> Result<()> {
    let device = Loop::over(&folder.join("large"), 1 << 40, &[])?;
    let mut tracker = Tracker::open(&folder.join("pins"))?;
    let begun = Instant::now();
    let disk = tracker.add(&device.0)?;
    println!("1 TiB, {} pages: marks made in {:.1?}", disk.pages(), begun.elapsed());
    println!("  none marked, looked through in {:.1?}", time(|| assert_eq!(disk.count(), 0)));
    let begun = Instant::now();
    disk.prepare(PASS)?;
    println!("  room for a pass made in {:.1?}", begun.elapsed());
    for pages in [1, 100, 6400] {
        let spread = disk.pages() / pages;
        (0..pages).for_each(|at| disk.mark(at * spread..at * spread + 1));
        println!("  {pages:>6} pages far apart, taken in {:.1?}", taken(&disk, pages)?);
    }
    disk.mark(0..disk.pages());
    println!("     all pages, taken in {:.1?}", taken(&disk, disk.pages())?);
    let begun = Instant::now();
    disk.committed(PASS)?;
    println!("  the pass forgotten in {:.1?}", begun.elapsed());
    drop(disk);
    Ok(tracker.detach()?)
}

const PASS: Pass = Pass(std::num::NonZeroU64::MIN);

fn taken(disk: &Disk, pages: u64) -> Result<Duration> {
    let begun = Instant::now();
    let count: u64 = disk.collect(PASS)?.map(|run| run.end - run.start).sum();
    let took = begun.elapsed();
    assert_eq!(count, pages);
    Ok(took)
}

/// The best of some.
fn time(work: impl Fn()) -> Duration {
    let once = || {
        let begun = Instant::now();
        work();
        begun.elapsed()
    };
    (0..9).map(|_| once()).min().unwrap_or_default()
}

/// A loop device, detached on drop.
struct Loop(PathBuf);

impl Loop {
    fn over(file: &Path, size: u64, options: &[&str]) -> Result<Loop> {
        File::create(file)?.set_len(size)?;
        let said = run(Command::new("losetup").args(["--find", "--show"]).args(options).arg(file))?;
        Ok(Loop(PathBuf::from(said.trim())))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.0).status();
    }
}

fn run(command: &mut Command) -> Result<String> {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let said = command.env("PATH", path).output()?;
    match said.status.success() {
        true => Ok(String::from_utf8(said.stdout)?),
        false => Err(format!("{command:?}: {}", String::from_utf8_lossy(&said.stderr)).into()),
    }
}
