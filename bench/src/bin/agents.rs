//! Many machines that stream to one server, as their agents do: how long a point takes to be safe, while all of them make theirs.
//!
//! `agents FOLDER SECONDS` takes each folder in `FOLDER` that `backstay enroll` made as a machine with a disk of 64 MiB, on which 50
//! pages a second change, to something of which a sixteenth is random. Points are due every 10 s, machines one after the
//! other. Prints `name value` lines for `cargo xtask bench agents`.
//! Never knows: what is a good figure, or how the server fares.

use std::error::Error;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use backstay_agent::{AgentError, Enrolled, Reading, Session};
use backstay_bench::Random;
use backstay_env::real::link::Identity;
use backstay_env::volume::{Volume, check_range};
use backstay_format::wire::v1::{BoundaryTold, DiskTold, Task, Told};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const PAGE: usize = 4096;
/// Of each disk.
const PAGES: usize = 16_384;
/// That change in a second.
const CHANGING: u64 = 50;
/// From one point to the next.
const EVERY: Duration = Duration::from_secs(10);
/// Random bytes in a page.
const RANDOM: usize = 256;
/// After a failure.
const PAUSE: Duration = Duration::from_secs(1);

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, seconds] = arguments.as_slice() else {
        return Err("usage: agents FOLDER SECONDS".into());
    };
    let seconds = Duration::from_secs(seconds.parse()?);
    let mut folders: Vec<PathBuf> = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    folders.sort();
    let count = folders.len() as u32;
    let seen = Mutex::new(Seen::default());
    let machines: Vec<Machine> = std::thread::scope(|scope| {
        let begun: Vec<_> =
            folders.iter().enumerate().map(|(n, dir)| scope.spawn(move || Machine::begin(n, dir))).collect();
        begun.into_iter().map(|machine| machine.join().expect("no panic")).collect::<Outcome<_>>()
    })?;
    let start = Instant::now();
    std::thread::scope(|scope| {
        for (number, machine) in machines.into_iter().enumerate() {
            let (seen, first) = (&seen, start + EVERY * number as u32 / count.max(1));
            scope.spawn(move || machine.go_on((first, start + seconds), seen));
        }
    });
    seen.into_inner().unwrap_or_else(PoisonError::into_inner).print();
    Ok(())
}

/// What all machines saw.
#[derive(Default)]
struct Seen {
    commits: Vec<Duration>,
    points: Vec<Duration>,
    pages: u64,
    failures: u64,
}

impl Seen {
    fn print(mut self) {
        println!("points {}", self.points.len());
        println!("pages {}", self.pages);
        println!("failures {}", self.failures);
        for (name, times) in [("commit", &mut self.commits), ("point", &mut self.points)] {
            times.sort();
            for (part, per_mille) in [("p50", 500), ("p99", 990), ("most", 1000)] {
                let at = (times.len() * per_mille / 1000).min(times.len().saturating_sub(1));
                let milliseconds = times.get(at).map_or(0.0, |time| time.as_secs_f64() * 1e3);
                println!("{name}_ms_{part} {milliseconds:.1}");
            }
        }
    }
}

/// A machine, its disk, and its session with the server.
struct Machine {
    enrolled: Enrolled,
    disk: Disk,
    random: Random,
    session: Arc<Session>,
    at: BoundaryTold,
}

impl Machine {
    /// Has its whole disk shown.
    fn begin(number: usize, dir: &Path) -> Outcome<Machine> {
        let text = |name: &str| fs::read_to_string(dir.join(name));
        let about = text("server.json")?;
        let address = about.split("\"address\":\"").nth(1).and_then(|rest| rest.split('"').next());
        let identity = Identity { certificate: text("machine.pem")?, key: text("machine.key")? };
        let address = address.ok_or("an odd server.json")?.to_owned();
        let enrolled = Enrolled { address, authority: text("authority.pem")?, identity };
        let disk = Disk { seed: number as u64, versions: vec![0; PAGES] };
        let (session, at) = show(&enrolled, &disk)?;
        Ok(Machine { enrolled, disk, random: Random::seeded(number as u64), session, at })
    }

    /// Makes points until the end.
    fn go_on(mut self, (mut due, end): (Instant, Instant), seen: &Mutex<Seen>) {
        let mut changed_until = Instant::now();
        while due < end {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let now = Instant::now();
            let count = ((now - changed_until).as_millis() as u64 * CHANGING / 1000).max(1);
            changed_until = now;
            let changed = self.change(count);
            match self.point(&changed) {
                Ok(commit) => {
                    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                    seen.commits.push(commit);
                    seen.points.push(now.elapsed());
                    seen.pages += count;
                }
                Err(error) => {
                    eprintln!("machine {}: {error}", self.disk.seed);
                    seen.lock().unwrap_or_else(PoisonError::into_inner).failures += 1;
                    std::thread::sleep(PAUSE);
                    match show(&self.enrolled, &self.disk) {
                        Ok((session, at)) => (self.session, self.at) = (session, at),
                        Err(error) => eprintln!("machine {}: {error}", self.disk.seed),
                    }
                }
            }
            while due <= Instant::now() {
                due += EVERY;
            }
        }
    }

    /// Pages, as ranges in order.
    fn change(&mut self, count: u64) -> Vec<(u64, u64)> {
        let mut pages: Vec<u64> = (0..count).map(|_| self.random.next() % PAGES as u64).collect();
        pages.sort_unstable();
        pages.dedup();
        pages.iter().for_each(|page| self.disk.versions[*page as usize] += 1);
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for page in pages {
            match ranges.last_mut() {
                Some((_, end)) if *end == page => *end += 1,
                _ => ranges.push((page, page + 1)),
            }
        }
        ranges
    }

    /// A point; how long it took from being asked for until it was safe.
    fn point(&mut self, changed: &[(u64, u64)]) -> Result<Duration, AgentError> {
        let numbers = self.at.disks.iter().map(|disk| disk.disk).collect();
        let mut following = self.session.follow(self.at.number, numbers)?;
        let reading = reading(&self.disk);
        let calm = (&AtomicBool::new(false), &|_, _| {});
        following.pass((vec![(0, changed.to_vec())], &[reading]), (calm.0, &calm.1))?;
        let now = now();
        let told = Told {
            now,
            time: now,
            still: true,
            held: 0,
            note: String::new(),
            stamps: vec![Vec::new()],
            every: EVERY.as_nanos() as u64,
            causes: Vec::new(),
        };
        let start = Instant::now();
        self.at = following.publish(told)?.at;
        Ok(start.elapsed())
    }
}

/// Opens a session, and has the whole disk compared.
fn show(enrolled: &Enrolled, disk: &Disk) -> Result<(Arc<Session>, BoundaryTold), AgentError> {
    let session = Arc::new(Session::open(enrolled, "bench".into(), 1)?);
    let told = DiskTold {
        name: "sda".into(),
        origin: "memory".into(),
        size: disk.size(),
        sector: 512,
        used: disk.size(),
        exclusions: Vec::new(),
    };
    let every = EVERY.as_nanos() as u64;
    let task = Task { disks: vec![told], note: String::new(), now: now(), every, causes: Vec::new() };
    let (reading, calm) = (reading(disk), (&AtomicBool::new(false), &|_, _| {}));
    let made = session.protect((task, &[reading], &|| (true, vec![Vec::new()])), (calm.0, &calm.1))?;
    Ok((session, made.at))
}

fn reading(disk: &Disk) -> Reading<'_> {
    let whole: Range<u64> = 0..disk.size();
    Reading { disk: 0, volume: disk, used: vec![whole], excluded: Vec::new() }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// A disk whose pages follow from how often they were written.
struct Disk {
    seed: u64,
    versions: Vec<u32>,
}

impl Disk {
    fn page(&self, page: usize, bytes: &mut [u8]) {
        let seed = self.seed << 48 ^ (page as u64) << 24 ^ u64::from(self.versions[page]);
        let mut random = Random::seeded(seed);
        random.fill(&mut bytes[..RANDOM]);
        let word = random.next().to_le_bytes();
        bytes[RANDOM..].chunks_mut(word.len()).for_each(|part| part.copy_from_slice(&word[..part.len()]));
    }
}

impl Volume for Disk {
    fn size(&self) -> u64 {
        (PAGES * PAGE) as u64
    }

    /// Whole pages only, which is how agents read.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        check_range(self.size(), offset, buf.len() as u64)?;
        let first = offset as usize / PAGE;
        buf.chunks_mut(PAGE).enumerate().for_each(|(at, bytes)| self.page(first + at, bytes));
        Ok(())
    }
}
