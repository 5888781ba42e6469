//! `backstay-flip [--seed S] [--every N] [--from K] [--jobs J]`: harms a small store in every way, one after the other, and
//! tells of what is not right. `--every N --from K`: only harm number K and every Nth after it.
//!
//! Never knows: what is right.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use backstay_sim::flip::{Book, Table, Verdict};

/// Between two lines that say how far it is.
const TELL: Duration = Duration::from_secs(20);
/// One harm takes some milliseconds. Whatever takes so long hangs.
const HANGS: Duration = Duration::from_secs(300);
/// Failures that are printed.
const SHOWN: usize = 40;

struct Arguments {
    seed: u64,
    every: u64,
    from: u64,
    jobs: u64,
}

fn parse() -> Result<Arguments, String> {
    let jobs = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let mut parsed = Arguments { seed: 1, every: 1, from: 0, jobs };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let field = match name.as_str() {
            "--seed" => &mut parsed.seed,
            "--every" => &mut parsed.every,
            "--from" => &mut parsed.from,
            "--jobs" => &mut parsed.jobs,
            _ => return Err(format!("{name} is not known; known are --seed, --every, --from, --jobs")),
        };
        let value = arguments.next().ok_or_else(|| format!("{name} needs a number"))?;
        *field = value.parse().map_err(|_| format!("{name}: {value} is no number"))?;
    }
    (parsed.every, parsed.jobs) = (parsed.every.max(1), parsed.jobs.max(1));
    Ok(parsed)
}

/// What each thread is at: the number of the harm, and since when.
type Under = Mutex<Option<(u64, Instant)>>;

fn main() -> ExitCode {
    let made = parse().and_then(|arguments| Ok((Book::new(arguments.seed).map_err(|e| e.to_string())?, arguments)));
    let (book, arguments) = match made {
        Ok(made) => made,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    if let Err(why) = book.is_whole() {
        eprintln!("{why}");
        return ExitCode::FAILURE;
    }
    println!("a store of {} objects, {} bytes: {} harms", book.objects(), book.bits() / 8, book.count());
    let start = Instant::now();
    let (table, mut failures) = judge_all(&book, &arguments, start);
    failures.sort_by_key(|verdict| verdict.number);
    for Verdict { number, failure, .. } in failures.iter().take(SHOWN) {
        println!("{number}: {}: {}", book.describe(*number), failure.as_deref().unwrap_or_default());
    }
    print!("{table}");
    let (done, failed) = (table.done(), table.failed());
    println!("{done} harms of seed {} in {:.0} s: {failed} wrong", arguments.seed, start.elapsed().as_secs_f64());
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn judge_all(book: &Book, arguments: &Arguments, start: Instant) -> (Table, Vec<Verdict>) {
    let (next, (tell, told)) = (AtomicU64::new(arguments.from), channel());
    let under: Vec<Under> = (0..arguments.jobs).map(|_| Mutex::new(None)).collect();
    let (mut table, mut failures, mut last) = (Table::default(), Vec::new(), start);
    std::thread::scope(|scope| {
        for mine in &under {
            let (tell, next) = (tell.clone(), &next);
            scope.spawn(move || {
                loop {
                    let number = next.fetch_add(arguments.every, Ordering::Relaxed);
                    let is_there = number < book.count();
                    set(mine, is_there.then(|| (number, Instant::now())));
                    if !is_there || tell.send(book.judge(number, None)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(tell);
        loop {
            match told.recv_timeout(TELL) {
                Ok(verdict) => {
                    table.add(book, &verdict);
                    failures.extend(verdict.failure.is_some().then_some(verdict));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if last.elapsed() >= TELL {
                last = Instant::now();
                progress(book, arguments, &table, start);
                stop_if_hanging(book, &under);
            }
        }
    });
    (table, failures)
}

fn set(mine: &Under, what: Option<(u64, Instant)>) {
    *mine.lock().unwrap_or_else(PoisonError::into_inner) = what;
}

fn progress(book: &Book, arguments: &Arguments, table: &Table, start: Instant) {
    let all = book.count().saturating_sub(arguments.from).div_ceil(arguments.every);
    let (done, seconds) = (table.done(), start.elapsed().as_secs_f64());
    let left = all.saturating_sub(done) as f64 * seconds / done.max(1) as f64;
    println!("{done} of {all} harms, {} wrong, {seconds:.0} s, about {left:.0} s to go", table.failed());
}

/// A thread cannot be stopped from outside: the whole program ends.
fn stop_if_hanging(book: &Book, under: &[Under]) {
    for mine in under {
        let at = *mine.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((number, since)) = at
            && since.elapsed() > HANGS
        {
            println!("{number}: {}: hangs", book.describe(number));
            std::process::exit(1);
        }
    }
}
