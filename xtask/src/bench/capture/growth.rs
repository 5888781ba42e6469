//! What is sent and stored for what changed.
//!
//! Never knows: how long it takes.

use super::disk::Disk;
use super::follow::{Point, Store};
use super::load::Fio;
use super::{Found, MIB, Setting};
use crate::bench::targets::{Figure, Limit};
use crate::fail::Result;

const RATE: u32 = 2500;

/// Random writes of bytes that do not compress, each page once, with a point every 3 s: the growth of the store for each byte
/// written, with all that the file system writes beside, and all that the store keeps beside.
pub(super) fn random_writes(setting: &Setting) -> Result<Found> {
    let disk = Disk::fresh(&setting.dir, "growth", 4 << 30)?;
    let file = disk.fill(setting.lengths.file)?;
    let store = Store::create(&setting.program, &setting.dir.join("growth"))?;
    let mut following = store.follow(disk.device(), "3s", &setting.interrupt)?;
    let before = store.bytes()?;
    let wrote = Fio { file: &file, rate: Some(RATE), distinct: true }.run(setting.lengths.growth)?;
    let mut points = following.so_far();
    // One may have been under way when the last write was done; the next cannot.
    points.extend([following.next(&setting.interrupt)?, following.next(&setting.interrupt)?]);
    let grown = store.bytes()?.saturating_sub(before) as f64;
    let sent: u64 = points.iter().map(|point: &Point| point.sent).sum();
    let written = wrote.bytes as f64;
    let stored = Figure {
        figure: "stored for each byte changed".into(),
        found: format!("{:.1} MiB for {:.1} MiB", grown / MIB, written / MIB),
        value: grown / written,
        unit: "bytes",
        limit: Limit::AtMost(1.3),
    };
    let sent = Figure {
        figure: "sent for each byte changed".into(),
        found: format!("{:.1} MiB for {:.1} MiB", sent as f64 / MIB, written / MIB),
        value: sent as f64 / written,
        unit: "bytes",
        limit: Limit::AtMost(1.3),
    };
    let details = vec![format!("random writes, each page once: {:.0} a second, {} points", wrote.rate, points.len())];
    Ok(Found { figures: vec![stored, sent], details })
}
