//! Checking maps: every run of a machine in order, and what its points lose by runs and chunks that are damaged.
//!
//! Never knows: how packs are checked.

use std::collections::{BTreeMap, BTreeSet};

use backstay_format::rows::{RowKey, SpanId, SpanRow};
use backstay_format::units::{DiskNo, PageNo, PointNo, pages_in};
use backstay_store::ledger::View;
use backstay_timeline::extent::{Content, Extent};

use super::packs::Bad;
use super::{Findings, Loss};
use crate::map::{Lost, Run};
use crate::rows::{Machine, Point, points_in, spans_of};
use crate::{Vault, VaultError};

/// Pages of a disk that cannot be given back, from some point on.
#[derive(Clone, Copy)]
struct Damage {
    extent: Extent,
    since: PointNo,
    /// Where the span begins whose run is lost, if the pages are unknown for that reason: a summary may still know them.
    unknown_from: Option<PointNo>,
}

/// A walk along a machine's timeline.
struct Walk<'a> {
    vault: &'a Vault,
    view: &'a View,
    machine: &'a Machine,
    points: Vec<Point>,
    bad: &'a Bad,
    open: Vec<Damage>,
    /// Where the last span of level 0 ended.
    boundary: PointNo,
    findings: &'a mut Findings,
}

impl Vault {
    pub(super) fn check_machine(
        &self,
        view: &View,
        machine: &Machine,
        bad: &Bad,
        findings: &mut Findings,
    ) -> Result<(), VaultError> {
        let points = points_in(view, machine.id)?;
        let mut ends: BTreeMap<PointNo, Vec<(SpanId, SpanRow)>> = BTreeMap::new();
        for (id, row) in spans_of(view, machine.id)? {
            ends.entry(id.to).or_default().push((id, row));
        }
        let (open, boundary) = (Vec::new(), PointNo::BEGINNING);
        let mut walk = Walk { vault: self, view, machine, points, bad, open, boundary, findings };
        for spans in ends.values() {
            let (tiles, summaries): (Vec<_>, Vec<_>) = spans.iter().partition(|(_, row)| row.level == 0);
            tiles.iter().try_for_each(|(id, _)| walk.tile(*id))?;
            summaries.iter().try_for_each(|(id, _)| walk.summary(*id))?;
        }
        let has_tile = |(number, spans): (PointNo, Vec<(SpanId, SpanRow)>)| {
            spans.iter().any(|(_, row)| row.level == 0).then_some(number)
        };
        walk.end(&ends.into_iter().filter_map(has_tile).collect());
        Ok(())
    }

    /// Whether a span is still there: of one that others replaced meanwhile nothing needs to be readable.
    fn is_there(&self, id: SpanId) -> Result<bool, VaultError> {
        Ok(self.newest_readable()?.get(&RowKey::Span(id).encode())?.is_some())
    }
}

impl Walk<'_> {
    /// Goes on along a span of level 0.
    fn tile(&mut self, id: SpanId) -> Result<(), VaultError> {
        if id.from == PointNo::BEGINNING {
            // A stretch begins: nothing of the one before shows through.
            self.close(|_| true);
        } else if id.from != self.boundary {
            self.defect(format!("no span leads from {} on", self.boundary.0));
        }
        self.boundary = id.to;
        let run = match Run::open(self.view, &self.vault.packs, id) {
            Ok(run) => run,
            Err(error) if error.is_damage() => {
                if self.vault.is_there(id)? {
                    self.defect(format!("{} cannot be read: {error}", self.map_of(id)));
                    self.open_all(id);
                }
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let (vault, mut lost) = (self.vault, Vec::new());
        run.for_each_readable(&vault.packs, &mut lost, |extents| {
            extents.iter().for_each(|extent| self.cover(extent, id));
        })?;
        if !lost.is_empty() && self.vault.is_there(id)? {
            self.defect(format!("part of {} cannot be read: {}", self.map_of(id), lost[0].why));
            let unknown = lost.iter().flat_map(|lost| self.pages_of(lost, id.to)).collect::<Vec<_>>();
            self.open_unknown(&unknown, id);
        }
        Ok(())
    }

    /// Looks at a summary. Where runs that it sums up are lost, it knows what they said, from its end on.
    fn summary(&mut self, id: SpanId) -> Result<(), VaultError> {
        let mut lost = Vec::new();
        let mut known: Vec<Extent> = Vec::new();
        let needed = self.open.iter().any(|d| d.unknown_from.is_some_and(|from| from >= id.from));
        let outcome = Run::open(self.view, &self.vault.packs, id).and_then(|run| {
            run.for_each_readable(&self.vault.packs, &mut lost, |extents| {
                known.extend(extents.iter().filter(|e| needed && self.bad.has(&e.content)));
            })
        });
        let why = match outcome {
            Ok(()) => lost.first().map(|lost| lost.why.clone()),
            Err(error) if error.is_damage() => Some(error.to_string()),
            Err(error) => return Err(error),
        };
        match why {
            Some(why) if self.vault.is_there(id)? => {
                self.defect(format!("{} cannot be read in its summary, which is for speed: {why}", self.map_of(id)));
            }
            None if needed => self.made_good(id, &known),
            _ => {}
        }
        Ok(())
    }

    /// From the end of a summary on, what it sums up is known. `bad`: what it refers to that cannot be had.
    fn made_good(&mut self, id: SpanId, bad: &[Extent]) {
        let is_known = |damage: &Damage| damage.unknown_from.is_some_and(|from| from >= id.from);
        let unknown: Vec<Extent> = self.open.iter().filter(|d| is_known(d)).map(|d| d.extent).collect();
        let before = self.points.iter().map(|p| p.number).rfind(|n| *n < id.to).unwrap_or(PointNo::BEGINNING);
        self.close_at(before, is_known);
        for range in &unknown {
            let inside = bad.iter().filter(|e| e.disk == range.disk);
            let parts = inside.filter_map(|e| e.clip(&(range.page.0..range.end().0)));
            self.open.extend(parts.map(|extent| Damage { extent, since: id.to, unknown_from: None }));
        }
    }

    /// Damage opens where an extent refers to a bad chunk, and ends where a later span says something else.
    fn cover(&mut self, extent: &Extent, id: SpanId) {
        let mut still_open = Vec::new();
        for damage in self.open.drain(..) {
            for (part, ended) in split(&damage.extent, extent) {
                match ended {
                    true => self.findings.losses.push(loss(self.machine, &part, damage.since, Some(id.from))),
                    false => still_open.push(Damage { extent: part, ..damage }),
                }
            }
        }
        self.open = still_open;
        if self.bad.has(&extent.content) {
            self.open.push(Damage { extent: *extent, since: id.to, unknown_from: None });
        }
    }

    /// A whole run is lost: all pages of all disks are unknown, until later spans say something of them.
    fn open_all(&mut self, id: SpanId) {
        let sizes = self.sizes(id.to);
        let all: Vec<Extent> = sizes.iter().filter_map(|(disk, pages)| unknown(*disk, 0, *pages)).collect();
        self.open_unknown(&all, id);
    }

    /// Pages of each disk at the points from `to` on.
    fn sizes(&self, to: PointNo) -> BTreeMap<DiskNo, u64> {
        let mut sizes: BTreeMap<DiskNo, u64> = BTreeMap::new();
        for disk in self.points.iter().filter(|p| p.number >= to).flat_map(|p| &p.row.disks) {
            let pages = sizes.entry(disk.disk).or_default();
            *pages = pages_in(disk.size).max(*pages);
        }
        sizes
    }

    fn open_unknown(&mut self, extents: &[Extent], id: SpanId) {
        let damage = |extent: &Extent| Damage { extent: *extent, since: id.to, unknown_from: Some(id.from) };
        self.open.extend(extents.iter().map(damage));
    }

    /// The pages that a lost block may have said something of, at points from `to` on.
    fn pages_of(&self, lost: &Lost, to: PointNo) -> Vec<Extent> {
        let of_disk = |(disk, pages): (&DiskNo, &u64)| {
            let start = if *disk == lost.first.0 { lost.first.1.0 } else { 0 };
            let end = if *disk == lost.last.0 { lost.last.1.0 + 1 } else { u64::MAX };
            unknown(*disk, start, end.min(*pages))
        };
        self.sizes(to).range(lost.first.0..=lost.last.0).filter_map(of_disk).collect()
    }

    /// Damage that is chosen ends with the last number before.
    fn close(&mut self, chosen: impl Fn(&Damage) -> bool) {
        self.close_at(self.boundary, chosen);
    }

    fn close_at(&mut self, until: PointNo, chosen: impl Fn(&Damage) -> bool) {
        for damage in self.open.extract_if(.., |damage| chosen(damage)) {
            if damage.since <= until {
                self.findings.losses.push(loss(self.machine, &damage.extent, damage.since, Some(until)));
            }
        }
    }

    /// The end of the timeline. `ends`: where spans of level 0 end.
    fn end(mut self, ends: &BTreeSet<PointNo>) {
        for damage in std::mem::take(&mut self.open) {
            self.findings.losses.push(loss(self.machine, &damage.extent, damage.since, None));
        }
        let without: Vec<PointNo> =
            self.points.iter().map(|p| p.number).filter(|number| !ends.contains(number)).collect();
        without.iter().for_each(|number| self.defect(format!("point {} has no map", number.0)));
        let existing: BTreeSet<PointNo> = self.points.iter().map(|p| p.number).collect();
        let name = &self.machine.row.name;
        self.findings.losses.retain(|l| l.machine != *name || concerns(l, &existing));
    }

    fn map_of(&self, id: SpanId) -> String {
        format!("the map of what changed between points {} and {}", id.from.0, id.to.0)
    }

    fn defect(&mut self, what: String) {
        self.findings.defects.push(format!("machine {}: {what}", self.machine.row.name));
    }
}

/// Pages of which nothing is known.
fn unknown(disk: DiskNo, start: u64, end: u64) -> Option<Extent> {
    let pages = end.checked_sub(start).filter(|pages| *pages > 0)?;
    Some(Extent { disk, page: PageNo(start), pages, content: Content::Unreadable })
}

/// Parts of a damaged extent that a newer one covers (true) and leaves (false).
fn split(damage: &Extent, newer: &Extent) -> Vec<(Extent, bool)> {
    if damage.disk != newer.disk {
        return vec![(*damage, false)];
    }
    let (start, end) = (newer.page.0, newer.end().0);
    let before = damage.clip(&(0..start)).map(|e| (e, false));
    let inside = damage.clip(&(start..end)).map(|e| (e, true));
    let after = damage.clip(&(end..u64::MAX)).map(|e| (e, false));
    before.into_iter().chain(inside).chain(after).collect()
}

fn loss(machine: &Machine, extent: &Extent, from: PointNo, until: Option<PointNo>) -> Loss {
    let bytes = extent.page.offset()..extent.end().offset();
    Loss { machine: machine.row.name.clone(), disk: extent.disk, bytes, from, until }
}

/// Whether a point exists that has the damage.
fn concerns(loss: &Loss, points: &BTreeSet<PointNo>) -> bool {
    points.range(loss.from..=loss.until.unwrap_or(PointNo(u64::MAX))).next().is_some()
}
