//! How long file systems are held still, and how old the newest restorable data gets, while somebody writes steadily.
//!
//! Never knows: what points cost.

use super::disk::Disk;
use super::follow::{Point, Store};
use super::load::{Fio, Server};
use super::spread::Spread;
use super::{Found, Setting};
use crate::bench::targets::{Figure, Limit};
use crate::fail::Result;

/// Writes of fio in a second: 20 MiB/s of scattered pages.
const RATE: u32 = 5000;

/// fio at a steady rate, then pgbench; each with points every 10 s and every 3 s.
pub(super) fn loads(setting: &Setting) -> Result<Found> {
    let (long, short) = setting.lengths.steady;
    let mut found = with_fio(setting, &[("10s", long), ("3s", short)])?;
    let more = with_pgbench(setting, &[("10s", long), ("3s", short)])?;
    found.figures.extend(more.figures);
    found.details.extend(more.details);
    Ok(found)
}

fn with_fio(setting: &Setting, paces: &[(&str, u64)]) -> Result<Found> {
    let disk = Disk::fresh(&setting.dir, "steady", 4 << 30)?;
    let file = disk.fill(setting.lengths.file)?;
    let store = Store::create(&setting.program, &setting.dir.join("steady"))?;
    let fio = Fio { file: &file, rate: Some(RATE), distinct: false };
    let mut seen = Vec::new();
    for (every, seconds) in paces {
        let following = store.follow(disk.device(), every, &setting.interrupt)?;
        let wrote = fio.run(*seconds)?;
        seen.push((*every, following.so_far(), format!("{:.0} writes a second", wrote.rate)));
    }
    Ok(judged("fio", &seen))
}

fn with_pgbench(setting: &Setting, paces: &[(&str, u64)]) -> Result<Found> {
    let disk = Disk::fresh(&setting.dir, "pgbench", 4 << 30)?;
    let server = Server::create(disk.folder(), if setting.quick { 2 } else { 20 })?;
    let store = Store::create(&setting.program, &setting.dir.join("pgbench"))?;
    let mut seen = Vec::new();
    for (every, seconds) in paces {
        let words = ["--every", every, "--postgres", &server.connection()];
        let following = store.follow_with(disk.device(), &words, &setting.interrupt)?;
        let rate = server.start(*seconds)?.end()?;
        seen.push((*every, following.so_far(), format!("{rate:.0} transactions a second")));
    }
    Ok(judged("pgbench", &seen))
}

/// Points at some paces, and what the load did meanwhile.
type Seen<'s> = [(&'s str, Vec<Point>, String)];

fn judged(load: &str, seen: &Seen<'_>) -> Found {
    let frozen = Spread::of(seen.iter().flat_map(|(_, points, _)| points).map(|point| point.frozen));
    let mut figures = vec![
        figure(format!("freeze under {load}, p50"), &frozen, (50, "ms"), 50.0),
        figure(format!("freeze under {load}, p99"), &frozen, (99, "ms"), 250.0),
    ];
    let mut details = Vec::new();
    for (every, points, did) in seen {
        let ages = ages(points);
        let limit = if *every == "10s" { 15.0 } else { 6.0 };
        figures.push(figure(format!("oldest data, every {every}, {load}, p99"), &ages, (99, "s"), limit));
        details.push(format!(
            "{load}, points every {every}: {did}; age of the newest data right before the next point, s: {}; frozen ms {}; \
             a point took ms {}",
            ages.shown(2),
            Spread::of(points.iter().map(|point| point.frozen)).shown(1),
            Spread::of(points.iter().map(|point| point.took)).shown(0)
        ));
    }
    Found { figures, details }
}

/// How old what a point shows is when the next one is told: never is the newest restorable data older.
fn ages(points: &[Point]) -> Spread {
    Spread::of(points.windows(2).map(|pair| pair[1].told - pair[0].shows))
}

fn figure(figure: String, spread: &Spread, (hundredths, unit): (usize, &'static str), limit: f64) -> Figure {
    let value = spread.percentile(hundredths);
    let found = format!("{value:.1} {unit}, of {} points", spread.count());
    Figure { figure, found, value, unit, limit: Limit::AtMost(limit) }
}
