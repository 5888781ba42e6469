//! `backstay-sim --seeds N --from S [--jobs J] [--witness K] [--world vault|server] [--trace]`: runs seeds and tells of those that are red.
//!
//! Never knows: what a run does.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use backstay_sim::{Options, Report, Tally, run, server};

struct Arguments {
    seeds: u64,
    from: u64,
    jobs: usize,
    witness: u64,
    trace: bool,
    /// What a seed is run in.
    world: fn(u64, &Options) -> Report,
}

fn parse() -> Result<Arguments, String> {
    let jobs = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut parsed = Arguments { seeds: 10_000, from: 0, jobs, witness: 16, trace: false, world: run };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        if name == "--trace" {
            parsed.trace = true;
            continue;
        }
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
        if name == "--world" {
            parsed.world = match value.as_str() {
                "vault" => run,
                "server" => server::run,
                _ => return Err(format!("{value} is no world; there are vault and server")),
            };
            continue;
        }
        let number: u64 = value.parse().map_err(|_| format!("{name}: {value} is no number"))?;
        match name.as_str() {
            "--seeds" => parsed.seeds = number,
            "--from" => parsed.from = number,
            "--witness" => parsed.witness = number,
            "--jobs" => parsed.jobs = usize::try_from(number.max(1)).map_err(|_| "too many jobs".to_owned())?,
            _ => {
                return Err(format!(
                    "{name} is not known; known are --seeds, --from, --jobs, --witness, --world, --trace"
                ));
            }
        }
    }
    Ok(parsed)
}

/// Red seeds whose trace is printed without `--trace`.
const TRACED: u64 = 3;
/// Between two lines that say how far it is.
const TELL: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let arguments = match parse() {
        Ok(arguments) => arguments,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    let options = Options { witness: arguments.witness, bug: None };
    let next = AtomicU64::new(arguments.from);
    let end = arguments.from.saturating_add(arguments.seeds);
    let results = Mutex::new(Results::new(&arguments));
    std::thread::scope(|scope| {
        for _ in 0..arguments.jobs {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let report = (arguments.world)(seed, &options);
                    results.lock().unwrap_or_else(std::sync::PoisonError::into_inner).add(report);
                }
            });
        }
    });
    let Results { tally, red, start, .. } = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    print!("{tally}");
    println!("{} seeds from {} in {:.1} s: {red} red", arguments.seeds, arguments.from, start.elapsed().as_secs_f64());
    if red == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What came of the seeds so far.
struct Results<'a> {
    arguments: &'a Arguments,
    tally: Tally,
    done: u64,
    red: u64,
    start: Instant,
    told: Instant,
}

impl<'a> Results<'a> {
    fn new(arguments: &'a Arguments) -> Self {
        let start = Instant::now();
        Results { arguments, tally: Tally::default(), done: 0, red: 0, start, told: start }
    }

    /// Counts a seed, and tells of it if it is red; now and then says how far it is.
    fn add(&mut self, report: Report) {
        self.done += 1;
        self.red += u64::from(report.failure.is_some());
        if self.arguments.trace || report.failure.is_some() {
            println!("seed {}: {}", report.seed, report.failure.as_deref().unwrap_or("green"));
            if self.arguments.trace || self.red <= TRACED {
                report.trace.iter().for_each(|line| println!("    {line}"));
            }
        }
        self.tally += report.tally;
        if self.told.elapsed() >= TELL {
            self.told = Instant::now();
            let (done, all, seconds) = (self.done, self.arguments.seeds, self.start.elapsed().as_secs_f64());
            let left = all.saturating_sub(done) as f64 * seconds / done as f64;
            println!("{done} of {all} seeds, {} red, {seconds:.0} s, about {left:.0} s to go", self.red);
        }
    }
}
