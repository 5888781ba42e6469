//! An opened NTFS volume: records by number, and the attributes of a file wherever its records are.
//!
//! Never knows: names.

use super::boot::Boot;
use super::record::{Attribute, Record, kind, reference};
use super::runs::{self, Run};
use super::stream::{Place, Stream, read_runs};
use crate::bytes::{damaged, le16, le64, read_vec, unsupported};
use crate::cache::CachedVolume;
use crate::tree::TreeError;
use backstay_env::volume::Volume;
use std::collections::BTreeSet;

/// Windows keeps lists of attributes below 256 KiB.
const MAX_LIST: u64 = 1 << 20;
const MAX_UNIT: u64 = 1 << 20;

pub(super) struct Ntfs<V> {
    pub(super) volume: CachedVolume<V>,
    pub(super) boot: Boot,
    mft: Stream,
}

/// A file: its record, and those that extend it.
pub(super) struct File {
    records: Vec<Record>,
}

impl File {
    pub(super) fn base(&self) -> &Record {
        &self.records[0]
    }

    pub(super) fn attributes(&self) -> impl Iterator<Item = Attribute<'_>> {
        self.records.iter().flat_map(Record::attributes)
    }

    /// The value of the first resident attribute of a kind.
    pub(super) fn value(&self, kind: u32) -> Option<&[u8]> {
        let mut all = self.attributes().filter(|a| a.kind() == kind);
        all.find_map(|a| a.value())
    }
}

impl<V: Volume> Ntfs<V> {
    pub(super) fn open(volume: V) -> Result<Self, TreeError> {
        let volume = CachedVolume::new(volume);
        let boot = Boot::parse(&read_vec(&volume, 0, 512)?, volume.size())?;
        let at = boot.mft.checked_mul(boot.cluster_size);
        let at = at.ok_or_else(|| damaged("its file table is outside the volume"))?;
        let first = Record::parse(0, read_vec(&volume, at, boot.record_size)?)?;
        let mft = stream(&boot, first.attributes(), kind::DATA, "", true)?;
        let mft = mft.ok_or_else(|| damaged("its file table has no content"))?;
        let mut ntfs = Ntfs { volume, boot, mft };
        ntfs.complete_mft(first)?;
        Ok(ntfs)
    }

    /// A file table in many pieces lists them in records of its own, which earlier pieces hold.
    fn complete_mft(&mut self, first: Record) -> Result<(), TreeError> {
        let mut records = vec![first];
        let list = match self.list(&records[0])? {
            Some(list) => list,
            None => return Ok(()),
        };
        for number in extensions(&list, 0, Some(kind::DATA)) {
            let record = self.raw_record(number)?;
            if record.base() != 0 {
                return Err(damaged("its file table is extended by another file"));
            }
            records.push(record);
            let all = records.iter().flat_map(Record::attributes);
            if let Some(mft) = stream(&self.boot, all, kind::DATA, "", true)? {
                self.mft = mft;
            }
        }
        Ok(())
    }

    pub(super) fn mft_runs(&self) -> &[Run] {
        match &self.mft.place {
            Place::Runs(runs) => runs,
            Place::Resident(_) => &[],
        }
    }

    fn raw_record(&self, number: u64) -> Result<Record, TreeError> {
        let size = self.boot.record_size;
        let at = number.checked_mul(size as u64);
        let inside = |at: &u64| at.checked_add(size as u64).is_some_and(|e| e <= self.mft.size);
        let at = at.filter(inside).ok_or(TreeError::NotFound)?;
        let mut bytes = vec![0; size];
        read_runs(&self.volume, &self.boot, self.mft_runs(), at, &mut bytes)?;
        let record = Record::parse(number, bytes)?;
        match record.in_use() {
            true => Ok(record),
            false => Err(TreeError::NotFound),
        }
    }

    /// The file with this record number, with all its attributes.
    pub(super) fn file(&self, number: u64) -> Result<File, TreeError> {
        let base = self.raw_record(number)?;
        if base.base() != 0 {
            return Err(TreeError::NotFound);
        }
        let list = self.list(&base)?;
        let mut records = vec![base];
        for extension in extensions(&list.unwrap_or_default(), number, None) {
            let record = self.raw_record(extension)?;
            if record.base() != number {
                let what = format!("record {extension} does not extend record {number}");
                return Err(damaged(what));
            }
            records.push(record);
        }
        Ok(File { records })
    }

    fn list(&self, record: &Record) -> Result<Option<Vec<u8>>, TreeError> {
        let list = stream(&self.boot, record.attributes(), kind::ATTRIBUTE_LIST, "", false)?;
        let list = list.map(|list| list.read_all(&self.volume, &self.boot, MAX_LIST));
        list.transpose()
    }

    /// The content of an attribute of a file; `None` when it has no such attribute.
    pub(super) fn stream(&self, file: &File, kind: u32, name: &str) -> Result<Option<Stream>, TreeError> {
        stream(&self.boot, file.attributes(), kind, name, false)
    }
}

/// The records other than `base` that a list of attributes names, in its order of kinds and clusters.
fn extensions(list: &[u8], base: u64, only: Option<u32>) -> Vec<u64> {
    let (mut seen, mut out) = (BTreeSet::from([base]), Vec::new());
    let mut rest = list;
    while rest.len() >= 0x1A {
        let number = reference(le64(rest, 0x10));
        let wanted = only.is_none_or(|kind| crate::bytes::le32(rest, 0) == kind);
        if wanted && seen.insert(number) {
            out.push(number);
        }
        let len = usize::from(le16(rest, 4));
        match rest.get(len..) {
            Some(next) if len >= 0x1A => rest = next,
            _ => break,
        }
    }
    out
}

/// Puts the pieces of an attribute together. With `partial` what is missing at the end may be in records that were
/// not read yet.
fn stream<'a>(
    boot: &Boot,
    attributes: impl Iterator<Item = Attribute<'a>>,
    kind: u32,
    name: &str,
    partial: bool,
) -> Result<Option<Stream>, TreeError> {
    let is = |a: &Attribute| a.kind() == kind && a.is_named(name);
    let mut pieces: Vec<_> = attributes.filter(is).collect();
    let Some(first) = pieces.first() else {
        return Ok(None);
    };
    if first.is_resident() {
        return resident(first).map(Some);
    }
    pieces.sort_by_key(Attribute::first_vcn);
    let mut runs: Vec<Run> = Vec::new();
    for piece in &pieces {
        let end = runs.last().map_or(0, Run::end);
        if piece.is_resident() || piece.first_vcn() != end {
            return Err(damaged("a piece of an attribute is missing"));
        }
        runs::decode(piece.runs(), end, boot.clusters, &mut runs)?;
        let now = runs.last().map_or(0, Run::end);
        if now != piece.last_vcn().wrapping_add(1) {
            return Err(damaged("a run list is not as long as it says"));
        }
    }
    let held = runs.last().map_or(0, Run::end).checked_mul(boot.cluster_size);
    let first = pieces[0];
    let fits = held.is_some_and(|held| partial || first.size() <= held);
    if !fits || first.initialized() > first.size() {
        return Err(damaged("an attribute is longer than its clusters"));
    }
    Ok(Some(Stream {
        place: Place::Runs(runs),
        size: first.size(),
        initialized: first.initialized(),
        unit: unit(boot, &first)?,
        encrypted: first.flags() & 0x4000 != 0,
    }))
}

fn resident(attribute: &Attribute<'_>) -> Result<Stream, TreeError> {
    let value = attribute.value();
    let value = value.ok_or_else(|| damaged("an attribute is not inside its record"))?;
    Ok(Stream {
        place: Place::Resident(value.to_vec()),
        size: value.len() as u64,
        initialized: value.len() as u64,
        unit: None,
        encrypted: attribute.flags() & 0x4000 != 0,
    })
}

fn unit(boot: &Boot, attribute: &Attribute<'_>) -> Result<Option<u64>, TreeError> {
    match attribute.flags() & 0xFF {
        0 => Ok(None),
        1 => {
            let power = u32::from(attribute.compression_unit());
            let unit = 1_u64.checked_shl(power).filter(|_| power > 0);
            let fits = |unit: &u64| unit.saturating_mul(boot.cluster_size) <= MAX_UNIT;
            let unit = unit.filter(fits);
            unit.map(Some).ok_or_else(|| damaged("impossible compression unit"))
        }
        other => Err(unsupported(format!("compression of kind {other}"))),
    }
}
