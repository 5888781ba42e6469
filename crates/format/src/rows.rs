//! Rows of a vault's ledger (`docs/format/rows.md`).
//!
//! Never knows: which rows belong together, or when one may go.

use crate::codec::{DecodeError, Input, Output};
use crate::names::is_machine_name;
use crate::units::{DiskNo, FrameNo, MachineId, ObjectId, PackId, PointNo, Timestamp};

pub mod gap;

const VERSION: u8 = 1;
/// Of points: 2 tells how long writers were held still.
const POINT_VERSION: u8 = 2;

/// What a row is, from its key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RowKey {
    /// A machine.
    Machine(MachineId),
    /// A machine by name.
    Name(String),
    /// A point.
    Point(MachineId, PointNo),
    /// A span.
    Span(SpanId),
    /// Where a pack lies.
    Pack(PackId),
    /// A span's run refers to a pack.
    Ref(PackId, SpanId),
    /// A pack that lost a reference.
    Suspect(PackId),
    /// An object that must never be committed.
    Banned(ObjectId),
    /// A setting.
    Setting(String),
    /// How often points of a machine were promised.
    Interval(MachineId),
    /// No points of a machine are wanted for a time.
    Suspension(MachineId),
    /// A gap, by the point that ended it.
    Gap(MachineId, PointNo),
}

/// A span of a machine's timeline: from one number to a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId {
    /// Whose timeline.
    pub machine: MachineId,
    /// Where it ends.
    pub to: PointNo,
    /// Where it begins: before `to`.
    pub from: PointNo,
}

impl RowKey {
    /// As a row's key.
    pub fn encode(&self) -> Vec<u8> {
        let span = |s: &SpanId| [&s.machine.0[..], &s.to.0.to_be_bytes(), &s.from.0.to_be_bytes()].concat();
        match self {
            RowKey::Machine(id) => [b"m", &id.0[..]].concat(),
            RowKey::Name(name) => [b"n", name.as_bytes()].concat(),
            RowKey::Point(id, no) => [b"p", &id.0[..], &no.0.to_be_bytes()].concat(),
            RowKey::Span(id) => [b"s", &span(id)[..]].concat(),
            RowKey::Pack(id) => [b"k", &id.0[..]].concat(),
            RowKey::Ref(pack, id) => [b"r", &pack.0[..], &span(id)].concat(),
            RowKey::Suspect(id) => [b"g", &id.0[..]].concat(),
            RowKey::Banned(id) => [b"x", &id.0[..]].concat(),
            RowKey::Setting(name) => [b"c", name.as_bytes()].concat(),
            RowKey::Interval(id) => [b"e", &id.0[..]].concat(),
            RowKey::Suspension(id) => [b"q", &id.0[..]].concat(),
            RowKey::Gap(id, no) => [b"a", &id.0[..], &no.0.to_be_bytes()].concat(),
        }
    }

    /// From a row's key.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`] for an unknown kind.
    pub fn decode(key: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Input(key);
        let row = match input.u8()? {
            b'm' => RowKey::Machine(MachineId(input.array()?)),
            b'n' => RowKey::Name(rest(&mut input)?),
            b'p' => RowKey::Point(MachineId(input.array()?), point_no(&mut input)?),
            b's' => RowKey::Span(span_id(&mut input)?),
            b'k' => RowKey::Pack(PackId(input.array()?)),
            b'r' => RowKey::Ref(PackId(input.array()?), span_id(&mut input)?),
            b'g' => RowKey::Suspect(PackId(input.array()?)),
            b'x' => RowKey::Banned(ObjectId(input.array()?)),
            b'c' => RowKey::Setting(rest(&mut input)?),
            b'e' => RowKey::Interval(MachineId(input.array()?)),
            b'q' => RowKey::Suspension(MachineId(input.array()?)),
            b'a' => RowKey::Gap(MachineId(input.array()?), point_no(&mut input)?),
            _ => return Err(DecodeError::Invalid("kind of row")),
        };
        input.end()?;
        Ok(row)
    }
}

fn rest(input: &mut Input<'_>) -> Result<String, DecodeError> {
    let bytes = input.take(input.0.len())?;
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| DecodeError::Invalid("name"))
}

fn point_no(input: &mut Input<'_>) -> Result<PointNo, DecodeError> {
    input.array().map(|b| PointNo(u64::from_be_bytes(b)))
}

fn span_id(input: &mut Input<'_>) -> Result<SpanId, DecodeError> {
    let id = SpanId { machine: MachineId(input.array()?), to: point_no(input)?, from: point_no(input)? };
    if id.from < id.to { Ok(id) } else { Err(DecodeError::Invalid("span")) }
}

/// A machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineRow {
    /// When it was first protected.
    pub created: Timestamp,
    /// Its name.
    pub name: String,
    /// The number the next new disk gets.
    pub next_disk: DiskNo,
    /// The number the next point gets.
    pub next_point: PointNo,
}

impl MachineRow {
    /// As a row's value.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.created.0.to_le_bytes());
        out.put_bytes(self.name.as_bytes());
        out.put_varint(self.next_disk.0.into());
        out.put_varint(self.next_point.0);
        out
    }

    /// From a row's value.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(value: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Input(value);
        input.version("machine", VERSION)?;
        let row = MachineRow {
            created: Timestamp(input.i64()?),
            name: name(&mut input)?,
            next_disk: DiskNo(input.varint32("disk")?),
            next_point: PointNo(input.varint()?),
        };
        input.end()?;
        Ok(row)
    }
}

fn name(input: &mut Input<'_>) -> Result<String, DecodeError> {
    let name = input.text("name")?;
    if is_machine_name(&name) { Ok(name) } else { Err(DecodeError::Invalid("name")) }
}

/// Whether a point shows its disks at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// Nothing could write while it was read.
    Still,
    /// Written to while it was read: parts of it may be of different times.
    Fuzzy,
}

/// What a choice left out of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exclusion {
    /// The choice, as it was written.
    pub rule: String,
    /// Bytes of content that it names.
    pub bytes: u64,
}

/// A disk at a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskAt {
    /// Its number in the machine.
    pub disk: DiskNo,
    /// Its name.
    pub name: String,
    /// Where it was read from.
    pub source: String,
    /// Bytes.
    pub size: u64,
    /// Bytes in a sector: 512 or 4096.
    pub sector: u32,
    /// Pages that could not be read.
    pub unreadable: u64,
    /// Pages left out because nothing uses them.
    pub absent: u64,
    /// Pages left out by choice.
    pub excluded: u64,
    /// What the source's file looked like, if nothing had changed it since; else empty.
    pub stamp: Vec<u8>,
    /// The choices that left something out.
    pub exclusions: Vec<Exclusion>,
}

/// Whose draft a pack is: the value of its suspect row until its capture ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DraftRow {
    /// Name of the machine that is captured.
    pub machine: String,
    /// The number that the point was to get when the capture began.
    pub point: PointNo,
}

impl DraftRow {
    /// As a row's value.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.put_bytes(self.machine.as_bytes());
        out.put_varint(self.point.0);
        out
    }

    /// From a row's value.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(value: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Input(value);
        input.version("draft", VERSION)?;
        let row = DraftRow { machine: name(&mut input)?, point: PointNo(input.varint()?) };
        input.end()?;
        Ok(row)
    }
}

/// A recovery point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PointRow {
    /// The moment it shows.
    pub time: Timestamp,
    /// When reading began.
    pub started: Timestamp,
    /// When it was committed, by the writer's clock.
    pub committed: Timestamp,
    /// What it can be trusted for.
    pub consistency: Consistency,
    /// For people.
    pub note: String,
    /// Its disks, in the order of their numbers.
    pub disks: Vec<DiskAt>,
    /// Bytes read from the source.
    pub read: u64,
    /// Pages found changed.
    pub changed: u64,
    /// Bytes added to packs.
    pub stored: u64,
    /// For how long those who write to the disks were held still for it, in nanoseconds; 0: nobody was, or nobody told.
    pub held: u64,
}

impl PointRow {
    /// As a row's value.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![POINT_VERSION];
        for time in [self.time, self.started, self.committed] {
            out.extend_from_slice(&time.0.to_le_bytes());
        }
        out.push(match self.consistency {
            Consistency::Still => 0,
            Consistency::Fuzzy => 1,
        });
        out.put_bytes(self.note.as_bytes());
        out.put_varint(self.disks.len() as u64);
        self.disks.iter().for_each(|d| put_disk(&mut out, d));
        [self.read, self.changed, self.stored, self.held].iter().for_each(|v| out.put_varint(*v));
        out
    }

    /// From a row's value, also of version 1: that told nothing of freezes.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(value: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Input(value);
        let version = input.version_up_to("point", POINT_VERSION)?;
        let mut times = [Timestamp(0); 3];
        for time in &mut times {
            *time = Timestamp(input.i64()?);
        }
        let consistency = match input.u8()? {
            0 => Consistency::Still,
            1 => Consistency::Fuzzy,
            _ => return Err(DecodeError::Invalid("consistency")),
        };
        let note = input.text("note")?;
        let count = input.count(11)?;
        let disks = (0..count).map(|_| disk(&mut input)).collect::<Result<Vec<_>, _>>()?;
        if !disks.is_sorted_by(|a, b| a.disk < b.disk) {
            return Err(DecodeError::Invalid("order of disks"));
        }
        let [time, started, committed] = times;
        let (read, changed, stored) = (input.varint()?, input.varint()?, input.varint()?);
        let held = if version == 1 { 0 } else { input.varint()? };
        input.end()?;
        Ok(PointRow { time, started, committed, consistency, note, disks, read, changed, stored, held })
    }
}

fn put_disk(out: &mut Vec<u8>, disk: &DiskAt) {
    out.put_varint(disk.disk.0.into());
    out.put_bytes(disk.name.as_bytes());
    out.put_bytes(disk.source.as_bytes());
    for value in [disk.size, disk.sector.into(), disk.unreadable, disk.absent, disk.excluded] {
        out.put_varint(value);
    }
    out.put_bytes(&disk.stamp);
    out.put_varint(disk.exclusions.len() as u64);
    for exclusion in &disk.exclusions {
        out.put_bytes(exclusion.rule.as_bytes());
        out.put_varint(exclusion.bytes);
    }
}

fn disk(input: &mut Input<'_>) -> Result<DiskAt, DecodeError> {
    let disk = DiskAt {
        disk: DiskNo(input.varint32("disk")?),
        name: name(input)?,
        source: input.text("source")?,
        size: input.varint()?,
        sector: input.varint32("sector size")?,
        unreadable: input.varint()?,
        absent: input.varint()?,
        excluded: input.varint()?,
        stamp: input.bytes()?.to_vec(),
        exclusions: exclusions(input)?,
    };
    match disk.sector {
        512 | 4096 if disk.size < 1 << 63 => Ok(disk),
        _ => Err(DecodeError::Invalid("geometry")),
    }
}

fn exclusions(input: &mut Input<'_>) -> Result<Vec<Exclusion>, DecodeError> {
    let count = input.count(2)?;
    (0..count).map(|_| Ok(Exclusion { rule: input.text("rule")?, bytes: input.varint()? })).collect()
}

/// Where a span's run is, and how much is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanRow {
    /// The pack with the run's root.
    pub pack: PackId,
    /// The first of the root's two frames.
    pub frame: FrameNo,
    /// Extents in the run.
    pub extents: u64,
    /// Pages in its data extents.
    pub pages: u64,
    /// 0: written by a capture or by thinning; else a summary of spans of the level below.
    pub level: u32,
}

impl SpanRow {
    /// As a row's value.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.pack.0);
        for value in [self.frame.0.into(), self.extents, self.pages, self.level.into()] {
            out.put_varint(value);
        }
        out
    }

    /// From a row's value.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(value: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Input(value);
        input.version("span", VERSION)?;
        let row = SpanRow {
            pack: PackId(input.array()?),
            frame: FrameNo(input.varint32("frame")?),
            extents: input.varint()?,
            pages: input.varint()?,
            level: input.varint32("level")?,
        };
        input.end()?;
        Ok(row)
    }
}

/// Where a pack lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackRow {
    /// The object that holds it.
    pub object: ObjectId,
    /// Bytes from the object's start.
    pub offset: u64,
    /// Bytes, header and trailer included.
    pub len: u64,
    /// Bytes of one footer.
    pub footer: u32,
    /// Frames, gone ones included.
    pub frames: u32,
    /// Chunks, gone ones included.
    pub chunks: u32,
}

impl PackRow {
    /// As a row's value.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.object.0);
        out.put_varint(self.offset);
        out.put_varint(self.len);
        [self.footer, self.frames, self.chunks].iter().for_each(|v| out.put_varint((*v).into()));
        out
    }

    /// From a row's value.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(value: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Input(value);
        input.version("pack", VERSION)?;
        let row = PackRow {
            object: ObjectId(input.array()?),
            offset: input.varint()?,
            len: input.varint()?,
            footer: input.varint32("length of a footer")?,
            frames: input.varint32("number of frames")?,
            chunks: input.varint32("number of chunks")?,
        };
        input.end()?;
        if row.offset.checked_add(row.len).is_none() {
            return Err(DecodeError::Invalid("place of a pack"));
        }
        Ok(row)
    }
}

#[cfg(test)]
mod tests;
