//! Timelines: spans of level 0 tile each stretch; spans of higher levels say
//! the same as those of level 0 that they cover.
//!
//! Never knows: bytes of pages. Two extents are the same if they are of one
//! kind, and those with data are the same pages of chunks of one id.

use std::collections::{BTreeMap, BTreeSet};

use crate::bytes::Id;
use crate::overlay::{Fill, Overlay, fill, lay_run};
use crate::reader::Reader;
use crate::report::{Kind, Report};
use crate::rows::{Span, SpanKey};
use crate::runs::{EITHER, Run, load};

pub(super) fn check(reader: &Reader, report: &mut Report) {
    for (machine, _) in reader.machines() {
        let spans: Vec<(&SpanKey, &Span)> = reader.catalog.spans_of(machine).collect();
        let tiles = tiles(&spans, report);
        points(reader, machine, &tiles, report);
        for (key, span) in spans.iter().filter(|(_, span)| span.level > 0) {
            summary(reader, key, span, &tiles, report);
        }
    }
}

/// The spans of level 0, by where they end.
type Tiles = BTreeMap<u64, SpanKey>;

fn tiles(spans: &[(&SpanKey, &Span)], report: &mut Report) -> Tiles {
    let mut tiles = Tiles::new();
    for (key, _) in spans.iter().filter(|(_, span)| span.level == 0) {
        if let Some(other) = tiles.insert(key.to, **key) {
            report.find(Kind::Timeline, key, format!("{other} ends at the same number"));
        }
    }
    let mut at = 0;
    for key in tiles.values() {
        // One that begins at 0 begins a stretch.
        if key.from != at && key.from != 0 {
            report.find(Kind::Timeline, key, format!("spans of level 0 before it end at {at}"));
        }
        at = key.to;
    }
    tiles
}

/// Each point lies where a span of level 0 ends.
fn points(reader: &Reader, machine: Id, tiles: &Tiles, report: &mut Report) {
    for (number, _) in reader.points(machine).filter(|(number, _)| !tiles.contains_key(number)) {
        report.find(Kind::Timeline, format!("point {number} of machine {machine}"), "no span of level 0 ends there");
    }
}

/// The spans of level 0 that a span covers, in order; `None` if it does not
/// begin and end where they do, or leads from one stretch into another.
fn covered<'t>(key: &SpanKey, tiles: &'t Tiles) -> Option<Vec<&'t SpanKey>> {
    let mut covered = Vec::new();
    let mut at = key.to;
    while at > key.from {
        let tile = tiles.get(&at)?;
        covered.push(tile);
        at = tile.from;
    }
    covered.reverse();
    (at == key.from).then_some(covered)
}

fn summary(reader: &Reader, key: &SpanKey, span: &Span, tiles: &Tiles, report: &mut Report) {
    let Some(covered) = covered(key, tiles) else {
        return report.find(Kind::Timeline, key, "it does not begin and end where spans of level 0 do");
    };
    let Some(own) = whole(reader, span) else {
        return;
    }; // damage has been named
    let mut runs = Vec::new();
    for tile in covered.iter().rev() {
        match reader.catalog.spans.get(tile).and_then(|span| whole(reader, span)) {
            Some(run) => runs.push(run),
            None => return,
        }
    }
    report.seen.levels += 1;
    let disks: BTreeSet<u64> =
        runs.iter().chain([&own]).flat_map(|run| &run.extents).map(|extent| extent.disk).collect();
    for disk in disks {
        if let Some(page) = differ(reader, &runs, &own, disk) {
            let text = format!("disk {disk}, page {page}: it says something else than the spans of level 0");
            report.find(Kind::Level, key, text);
        }
    }
}

fn whole(reader: &Reader, span: &Span) -> Option<Run> {
    load(&reader.packs, span, EITHER).ok().filter(|run| run.lost.is_empty())
}

/// The first page of which the runs, the newest first, say something else
/// than their summary.
fn differ(reader: &Reader, runs: &[Run], own: &Run, disk: u64) -> Option<u64> {
    let mut overlay = Overlay::default();
    for run in runs {
        lay_run(&mut overlay, run, disk, u64::MAX);
    }
    let mut due = overlay.pieces().map(|(start, end, fill)| (start, end, fill.clone()));
    let extents = own.extents.iter().filter(|extent| extent.disk == disk);
    let mut said = extents.map(|extent| (extent.page, extent.end(), fill(own, extent)));
    let (mut one, mut two) = (due.next(), said.next());
    loop {
        match (&one, &two) {
            (None, None) => return None,
            (Some((start, ..)), None) | (None, Some((start, ..))) => return Some(*start),
            (Some((a, a_end, a_fill)), Some((b, b_end, b_fill))) => {
                let until = *a_end.min(b_end);
                if a != b || !same(reader, a_fill, b_fill, until - a) {
                    return Some(*a.min(b));
                }
                (one, two) = (after(one, until).or_else(|| due.next()), after(two, until).or_else(|| said.next()));
            }
        }
    }
}

type Piece = (u64, u64, Fill);

/// What of a piece is left from page `from` on.
fn after(piece: Option<Piece>, from: u64) -> Option<Piece> {
    let (start, end, fill) = piece?;
    if from < end { Some((from, end, fill.part(from - start, end - from))) } else { None }
}

fn same(reader: &Reader, one: &Fill, two: &Fill, pages: u64) -> bool {
    match (one, two) {
        (Fill::Data(one), Fill::Data(two)) => {
            let (mut one, mut two) = (*one, *two);
            (one.pages, two.pages) = (pages, pages);
            one.inside == two.inside
                && match (reader.packs.identity(&one), reader.packs.identity(&two)) {
                    (Ok(one), Ok(two)) => one == two,
                    _ => true, // an extent that leads nowhere has been named
                }
        }
        _ => one == two,
    }
}
