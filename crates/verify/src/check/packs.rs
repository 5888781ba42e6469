//! Every pack: header, trailer, both footers, every frame, every chunk.
//!
//! Never knows: machines or disks.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::bytes::Id;
use crate::pack::{EDGE, Table, header, trailer};
use crate::packs::{Packs, Which};
use crate::reader::Reader;
use crate::report::{Kind, Report};
use crate::rows::PackPlace;

pub(super) fn check(reader: &Reader, report: &mut Report) {
    let all: Vec<(&Id, &PackPlace)> = reader.packs.places.iter().collect();
    let next = AtomicUsize::new(0);
    let reports = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(all.len());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some((pack, place)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut own = Report::default();
                    One { packs: &reader.packs, store: reader.store, pack: **pack, place }.check(&mut own);
                    reports.lock().unwrap_or_else(PoisonError::into_inner).push((**pack, own));
                }
            });
        }
    });
    let mut reports = reports.into_inner().unwrap_or_else(PoisonError::into_inner);
    reports.sort_by_key(|(pack, _)| *pack);
    for (_, own) in reports {
        report.findings.extend(own.findings);
        report.seen.packs += 1;
        report.seen.frames += own.seen.frames;
        report.seen.chunks += own.seen.chunks;
    }
}

struct One<'a> {
    packs: &'a Packs,
    store: Id,
    pack: Id,
    place: &'a PackPlace,
}

impl One<'_> {
    fn find(&self, report: &mut Report, kind: Kind, text: impl std::fmt::Display) {
        report.find(kind, format!("pack {}", self.pack), text);
    }

    fn check(&self, report: &mut Report) {
        self.edges(report);
        if let Some(table) = self.footers(report) {
            self.row(&table, report);
            self.frames(&table, report);
        }
    }

    fn edges(&self, report: &mut Report) {
        let read = self.packs.bytes(self.pack, 0, EDGE).map_err(|e| e.to_string());
        if let Err(e) = read.and_then(|bytes| header(&bytes, self.store, self.pack).map_err(|e| e.to_string())) {
            self.find(report, Kind::Pack, format!("header: {e}"));
        }
        let Some(at) = self.place.length.checked_sub(EDGE) else {
            return self.find(report, Kind::Pack, "it is shorter than a trailer");
        };
        let read = self.packs.bytes(self.pack, at, EDGE).map_err(|e| e.to_string());
        match read.and_then(|bytes| trailer(&bytes).map_err(|e| e.to_string())) {
            Err(e) => self.find(report, Kind::Pack, format!("trailer: {e}")),
            Ok(found) => {
                let due = (u64::from(found.footer), found.length, found.pack);
                if due != (self.place.footer, self.place.length, self.pack) {
                    self.find(report, Kind::Pack, format!("the trailer says {due:?}, the row something else"));
                }
            }
        }
    }

    /// Both footers; the table, if one can be read.
    fn footers(&self, report: &mut Report) -> Option<Table> {
        let first = self.packs.footer(self.pack, Which::First);
        let second = self.packs.footer(self.pack, Which::Second);
        for (which, footer) in [("first", &first), ("second", &second)] {
            if let Err(e) = footer {
                self.find(report, Kind::Pack, format!("{which} footer: {e}"));
            }
        }
        if let (Ok(first), Ok(second)) = (&first, &second)
            && first != second
        {
            self.find(report, Kind::Pack, "its two footers differ");
        }
        first.or(second).ok()
    }

    fn row(&self, table: &Table, report: &mut Report) {
        let due = table.end.checked_add(2 * self.place.footer + EDGE);
        if due != Some(self.place.length) {
            let text = format!("frames end at {}, so it has not {} bytes", table.end, self.place.length);
            self.find(report, Kind::Pack, text);
        }
        let counts = (table.frames.len() as u64, table.numbered);
        if counts != (self.place.frames, self.place.chunks) {
            let row = (self.place.frames, self.place.chunks);
            self.find(report, Kind::Row, format!("its row says {row:?} frames and chunks, its table {counts:?}"));
        }
    }

    fn frames(&self, table: &Table, report: &mut Report) {
        let mut twin: Option<Option<Vec<u8>>> = None;
        for (number, frame) in table.frames.iter().enumerate() {
            if let Some(first) = twin.take() {
                let second = if frame.blob { self.plain(table, number, report) } else { None };
                if !frame.blob || (first.is_some() && second.is_some() && first != second) {
                    self.find(report, Kind::Data, format!("frame {number} does not hold the blob of the one before"));
                }
                if frame.blob {
                    continue;
                }
            }
            let plain = self.plain(table, number, report);
            if frame.blob {
                twin = Some(plain);
            } else if let Some(plain) = plain {
                self.chunks(table, number, &plain, report);
            }
        }
        if twin.is_some() {
            self.find(report, Kind::Data, "its last frame holds a blob of which there is no second copy");
        }
    }

    fn plain(&self, table: &Table, number: usize, report: &mut Report) -> Option<Vec<u8>> {
        if table.frames[number].gone {
            return None;
        }
        report.seen.frames += 1;
        match self.packs.frame(self.pack, table, number as u64) {
            Ok(plain) => Some(plain),
            Err(e) => {
                self.find(report, Kind::Data, e);
                None
            }
        }
    }

    fn chunks(&self, table: &Table, number: usize, plain: &[u8], report: &mut Report) {
        let frame = &table.frames[number];
        for (inside, good) in self.packs.hashes(table, frame, plain).into_iter().enumerate() {
            report.seen.chunks += 1;
            if !good {
                let chunk = frame.first + inside as u64;
                self.find(report, Kind::Data, format!("chunk {chunk} does not hash to its id"));
            }
        }
    }
}
