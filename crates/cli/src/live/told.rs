//! What a point says of itself: its moment, what was not held still, what applications said.
//!
//! Never knows: how points are made.

use std::ops::Range;
use std::time::{Duration, SystemTime};

use backstay_capture::freeze::mounts::UnseenWhy;
use backstay_capture::hooks::{Outcome, Report};
use backstay_capture::point::Stillness;
use backstay_format::rows::Consistency;
use backstay_format::units::Timestamp;
use backstay_timeline::pages::outside;
use backstay_vault::gap::Promise;
use backstay_vault::protect::Told;

/// What was written to swap meanwhile is nobody's concern.
pub(super) fn without_swap(mut still: Stillness, without: &[Vec<Range<u64>>]) -> Stillness {
    let left = |(disk, pages): (usize, Range<u64>)| {
        let left = outside(std::slice::from_ref(&pages), &without[disk]);
        left.into_iter().map(move |pages| (disk, pages))
    };
    still.moving = still.moving.into_iter().flat_map(left).collect();
    still
}

/// What the point says of itself.
pub(super) fn told(note: &str, still: &Stillness, promise: Promise) -> Told {
    let mut notes: Vec<String> = Some(note.to_owned()).filter(|note| !note.is_empty()).into_iter().collect();
    if let Some((_, pages)) = still.moving.first() {
        let more = if still.moving.len() > 1 { " and elsewhere" } else { "" };
        notes.push(format!("written while held still: bytes from {}{more}", pages.start * 4096));
    }
    if !still.unfrozen.is_empty() {
        notes.push(format!("could not be held still: {}", still.unfrozen.join(", ")));
    }
    let hidden = still.unseen.iter().filter(|unseen| unseen.why == UnseenWhy::NoMount);
    notes.extend(hidden.map(|unseen| format!("in use, and out of sight: {} on {}", unseen.kind, unseen.device)));
    notes.extend(still.elsewhere.iter().map(|folder| format!("not on these disks: {}", folder.display())));
    notes.extend(still.reports.iter().filter_map(of_application));
    let moved = !still.moving.is_empty();
    let since = still.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Told {
        time: Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)),
        consistency: if moved { Consistency::Fuzzy } else { Consistency::Still },
        held: nanos(still.held),
        note: notes.join("; "),
        exclusions: Vec::new(),
        promise,
    }
}

/// As points say it.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// What a point says of an application.
fn of_application(report: &Report) -> Option<String> {
    match &report.outcome {
        Outcome::Done if report.what.is_empty() => None,
        Outcome::Done => Some(format!("{}: {}", report.application, report.what)),
        Outcome::Failed(why) => Some(format!("{} failed: {why}", report.application)),
        Outcome::Late => Some(format!("{} was not done in time", report.application)),
    }
}
