//! Every span's run: root and blocks in both copies, every extent against
//! its disk and its chunk, and rows `r` against what the run refers to.
//!
//! Never knows: how spans follow each other.

use std::collections::{BTreeMap, BTreeSet};

use crate::PAGE;
use crate::bytes::Id;
use crate::map::{BLOCK_MOST, Content, Extent};
use crate::packs::Which;
use crate::reader::Reader;
use crate::report::{Kind, Report};
use crate::rows::{Span, SpanKey};
use crate::runs::{EITHER, Run, load};

pub(super) fn check(reader: &Reader, report: &mut Report) {
    let mut rows: BTreeMap<SpanKey, BTreeSet<Id>> = BTreeMap::new();
    for (pack, key) in &reader.catalog.refers {
        rows.entry(*key).or_default().insert(*pack);
    }
    for (key, span) in &reader.catalog.spans {
        report.seen.spans += 1;
        copies(reader, key, span, report);
        let Ok(run) = load(&reader.packs, span, EITHER) else {
            continue;
        }; // named by `copies`
        if run.lost.is_empty() {
            counts(key, span, &run, report);
            references(key, span, &run, &rows.remove(key).unwrap_or_default(), report);
        }
        let sizes = sizes(reader, key);
        let mut lost = BTreeSet::new();
        for extent in &run.extents {
            report.seen.extents += 1;
            inside_chunk(reader, key, &run, extent, &mut lost, report);
            if let Some(sizes) = &sizes {
                inside_disk(key, sizes, extent, report);
            }
        }
    }
}

fn copies(reader: &Reader, key: &SpanKey, span: &Span, report: &mut Report) {
    let first = load(&reader.packs, span, &[Which::First]);
    let second = load(&reader.packs, span, &[Which::Second]);
    for (which, run) in [("first", &first), ("second", &second)] {
        match run {
            Err(e) => report.find(Kind::Run, key, format!("{which} copies: {e}")),
            Ok(run) => {
                for lost in &run.lost {
                    report.find(Kind::Run, key, format!("{which} copies: {}", lost.why));
                }
            }
        }
    }
    if let (Ok(first), Ok(second)) = (&first, &second)
        && first.lost.is_empty()
        && second.lost.is_empty()
        && first != second
    {
        report.find(Kind::Run, key, "the two copies of its run differ");
    }
}

fn counts(key: &SpanKey, span: &Span, run: &Run, report: &mut Report) {
    let pages: u64 = run.extents.iter().filter(|extent| is_data(extent)).map(|extent| extent.pages).sum();
    let found = (run.extents.len() as u64, pages);
    if found != (span.extents, span.pages) {
        let row = (span.extents, span.pages);
        report.find(Kind::Row, key, format!("its row says {row:?} extents and pages with data, its run {found:?}"));
    }
    if run.in_blocks && run.extents.len() <= BLOCK_MOST {
        report.find(Kind::Run, key, "its extents fit in one block, but are not in the root");
    }
}

fn is_data(extent: &Extent) -> bool {
    matches!(extent.content, Content::Data { .. })
}

fn references(key: &SpanKey, span: &Span, run: &Run, rows: &BTreeSet<Id>, report: &mut Report) {
    let chunks = run.extents.iter().filter_map(|extent| run.pages(extent)).map(|at| at.pack);
    let used: BTreeSet<Id> = chunks.chain(run.block_packs.iter().copied()).collect();
    let table: BTreeSet<Id> = run.packs.iter().copied().collect();
    if used != table {
        report.find(Kind::Run, key, "its table of packs is not those that its extents and blocks refer to");
    }
    let mut due = used;
    due.insert(span.pack);
    for pack in due.difference(rows) {
        report.find(Kind::Reference, key, format!("no row says that it refers to pack {pack}"));
    }
    for pack in rows.difference(&due) {
        report.find(Kind::Reference, key, format!("a row says that it refers to pack {pack}, but it does not"));
    }
}

/// An extent leads to a chunk that has its pages. A pack of which nothing can
/// be read is named once a run.
fn inside_chunk(
    reader: &Reader,
    key: &SpanKey,
    run: &Run,
    extent: &Extent,
    lost: &mut BTreeSet<Id>,
    report: &mut Report,
) {
    let Some(at) = run.pages(extent) else { return };
    if let Err(e) = reader.packs.table(at.pack) {
        if lost.insert(at.pack) {
            report.find(Kind::Run, key, format!("from disk {}, page {}: {e}", extent.disk, extent.page));
        }
    } else if let Err(e) = reader.packs.identity(&at) {
        report.find(Kind::Run, key, format!("disk {}, page {}: {e}", extent.disk, extent.page));
    }
}

/// For how many pages a span may speak of each disk: those of the largest of
/// the points that it goes through, its start left out. `None` if one of them
/// is gone, and with it the sizes of its disks.
fn sizes(reader: &Reader, key: &SpanKey) -> Option<BTreeMap<u64, u64>> {
    let points = || reader.catalog.points.range((key.machine, key.from + 1)..=(key.machine, key.to));
    if (points().count() as u64) < key.to - key.from {
        return None;
    }
    let mut sizes = BTreeMap::new();
    for disk in points().flat_map(|(_, point)| &point.disks) {
        let size: &mut u64 = sizes.entry(disk.number).or_default();
        *size = disk.size.div_ceil(PAGE).max(*size);
    }
    Some(sizes)
}

fn inside_disk(key: &SpanKey, sizes: &BTreeMap<u64, u64>, extent: &Extent, report: &mut Report) {
    match sizes.get(&extent.disk) {
        None => report.find(Kind::Run, key, format!("no point that it goes through has a disk {}", extent.disk)),
        Some(size) if extent.end() > *size => {
            let text = format!("disk {}, page {}: the extent passes the disk's end", extent.disk, extent.page);
            report.find(Kind::Run, key, text);
        }
        Some(_) => {}
    }
}
