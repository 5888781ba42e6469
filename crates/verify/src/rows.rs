//! Rows of a vault's ledger (rows.md).
//!
//! Never knows: whether what a row points to is there.

use crate::bytes::{Id, Input, Malformed};

mod gap;

pub use gap::{Cause, Gap, Suspension};

/// A protected machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Nanoseconds since 1970.
    pub created: i64,
    /// Its name.
    pub name: String,
    /// The number that the next new disk gets.
    pub next_disk: u64,
    /// The number that the next point gets.
    pub next_point: u64,
}

/// How a point was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// Nothing could write to the source.
    Still,
    /// It was written while it was read.
    Fuzzy,
}

/// A disk at a point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Number in the machine, from 1.
    pub number: u64,
    /// As the user sees it.
    pub name: String,
    /// Where it was read from.
    pub source: String,
    /// Bytes.
    pub size: u64,
    /// Bytes of a sector: 512 or 4096.
    pub sector: u64,
    /// Pages that the source could not read.
    pub unreadable: u64,
    /// Pages left out because nothing uses them.
    pub absent: u64,
    /// Pages left out by choice.
    pub excluded: u64,
    /// For the program that wrote it.
    pub stamp: Vec<u8>,
    /// The choices that left something out.
    pub exclusions: Vec<Exclusion>,
}

/// What a choice left out of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exclusion {
    /// As it was written.
    pub rule: String,
    /// Bytes of content that it names.
    pub bytes: u64,
}

/// A point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// The moment shown: nanoseconds since 1970.
    pub time: i64,
    /// When its capture started.
    pub started: i64,
    /// When it was committed.
    pub committed: i64,
    /// How it was taken.
    pub consistency: Consistency,
    /// A note for people.
    pub note: String,
    /// Its disks.
    pub disks: Vec<Disk>,
    /// Bytes read from the source.
    pub read: u64,
    /// Pages that changed.
    pub changed: u64,
    /// Bytes added to packs.
    pub stored: u64,
    /// Nanoseconds for which writers were held still; 0 also if that is not
    /// known.
    pub held: u64,
}

/// Which run of extents: it leads a machine from one point to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanKey {
    /// The machine.
    pub machine: Id,
    /// The point it leads to.
    pub to: u64,
    /// The point it starts from; 0 for the beginning.
    pub from: u64,
}

impl std::fmt::Display for SpanKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "span {}..{} of machine {}", self.from, self.to, self.machine)
    }
}

/// Where a span's run lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The pack of the run's root.
    pub pack: Id,
    /// The frame of the run's root.
    pub frame: u64,
    /// Extents in the run.
    pub extents: u64,
    /// Pages in its data extents.
    pub pages: u64,
    /// 0: written by a capture or by thinning; more: made from others.
    pub level: u64,
}

/// Where a pack lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackPlace {
    /// The object.
    pub object: Id,
    /// Bytes from its start.
    pub offset: u64,
    /// Bytes of the pack.
    pub length: u64,
    /// Bytes of one footer.
    pub footer: u64,
    /// Frames.
    pub frames: u64,
    /// Chunks.
    pub chunks: u64,
}

/// A row of a vault's ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// `m`
    Machine(Id, Machine),
    /// `n`
    Name(String, Id),
    /// `p`: machine, number.
    Point(Id, u64, Point),
    /// `s`
    Span(SpanKey, Span),
    /// `k`
    Pack(Id, PackPlace),
    /// `r`: the pack that the span's run refers to or lies in.
    Refers(Id, SpanKey),
    /// `g`: a pack that reclaim is to look at; `true` if a capture that has
    /// not ended committed it on the way.
    Garbage(Id, bool),
    /// `x`: an object that was never committed, and since when.
    Banned(Id, i64),
    /// `c`: a setting's name.
    Setting(String),
    /// `e`: machine, nanoseconds from point to point that were promised.
    Interval(Id, u64),
    /// `q`
    Suspension(Id, Suspension),
    /// `a`: machine, number of the point that ended it.
    Gap(Id, u64, Gap),
}

/// Reads a row.
///
/// # Errors
/// For any key or value that the page does not describe.
pub fn row(key: &[u8], value: &[u8]) -> Result<Row, Malformed> {
    let mut name = Input::new(key);
    let mut input = Input::new(value);
    let kind = name.u8()?;
    if matches!(kind, b'm' | b's' | b'k' | b'e' | b'q' | b'a') {
        input.version()?;
    }
    let row = match kind {
        b'm' => Row::Machine(name.id()?, machine(&mut input)?),
        b'n' => Row::Name(label(rest_as_text(&mut name)?)?, input.id()?),
        b'p' => Row::Point(name.id()?, number(&mut name)?, point(&mut input)?),
        b's' => Row::Span(span_key(&mut name)?, span(&mut input)?),
        b'k' => Row::Pack(name.id()?, place(&mut input)?),
        b'r' => Row::Refers(name.id()?, span_key(&mut name)?),
        b'g' => Row::Garbage(name.id()?, on_the_way(&mut input)?),
        b'x' => Row::Banned(name.id()?, input.i64()?),
        b'c' => {
            input.rest();
            Row::Setting(rest_as_text(&mut name)?)
        }
        b'e' => Row::Interval(name.id()?, input.varint()?),
        b'q' => Row::Suspension(name.id()?, gap::suspension(&mut input)?),
        b'a' => Row::Gap(name.id()?, number(&mut name)?, gap::gap(&mut input)?),
        other => {
            return Err(Malformed::Value { field: "kind of row", value: other.into() });
        }
    };
    name.end()?;
    input.end()?;
    Ok(row)
}

/// The value of a row `g`: nothing, or a version and perhaps whose capture it
/// was: a machine's name and the number of the point it was to make.
fn on_the_way(input: &mut Input<'_>) -> Result<bool, Malformed> {
    if input.left() == 0 {
        return Ok(false);
    }
    input.version()?;
    if input.left() > 0 {
        input.text()?;
        input.varint()?;
    }
    Ok(true)
}

fn rest_as_text(input: &mut Input<'_>) -> Result<String, Malformed> {
    String::from_utf8(input.rest().to_vec()).map_err(|_| Malformed::Text)
}

/// A point's number: from 1.
fn number(input: &mut Input<'_>) -> Result<u64, Malformed> {
    match input.u64_be()? {
        0 => Err(Malformed::Value { field: "number of a point", value: 0 }),
        number => Ok(number),
    }
}

fn span_key(input: &mut Input<'_>) -> Result<SpanKey, Malformed> {
    let key = SpanKey { machine: input.id()?, to: number(input)?, from: input.u64_be()? };
    if key.from < key.to { Ok(key) } else { Err(Malformed::Rule("a span begins where it ends, or later")) }
}

/// A name of a machine or disk: 1 to 64 bytes, no control characters, `/`, `:`.
fn label(name: String) -> Result<String, Malformed> {
    if !(1..=64).contains(&name.len()) {
        return Err(Malformed::Value { field: "length of a name", value: name.len() as u64 });
    }
    if name.chars().any(|c| c.is_control() || c == '/' || c == ':') {
        return Err(Malformed::Rule("a name holds a control character, a slash or a colon"));
    }
    Ok(name)
}

fn machine(input: &mut Input<'_>) -> Result<Machine, Malformed> {
    Ok(Machine {
        created: input.i64()?,
        name: label(input.text()?)?,
        next_disk: input.varint()?,
        next_point: input.varint()?,
    })
}

fn point(input: &mut Input<'_>) -> Result<Point, Malformed> {
    let tells_held = match input.u8()? {
        1 => false,
        2 => true,
        other => return Err(Malformed::Value { field: "version", value: other.into() }),
    };
    let (time, started, committed) = (input.i64()?, input.i64()?, input.i64()?);
    let consistency = match input.u8()? {
        0 => Consistency::Still,
        1 => Consistency::Fuzzy,
        other => {
            return Err(Malformed::Value { field: "consistency", value: other.into() });
        }
    };
    let note = input.text()?;
    let count = input.count(11)?;
    let mut disks: Vec<Disk> = Vec::with_capacity(count);
    for _ in 0..count {
        let disk = disk(input)?;
        if disks.iter().any(|other| other.number == disk.number) {
            return Err(Malformed::Rule("a disk occurs twice in a point"));
        }
        disks.push(disk);
    }
    let (read, changed, stored) = (input.varint()?, input.varint()?, input.varint()?);
    let held = if tells_held { input.varint()? } else { 0 };
    Ok(Point { time, started, committed, consistency, note, disks, read, changed, stored, held })
}

fn disk(input: &mut Input<'_>) -> Result<Disk, Malformed> {
    let disk = Disk {
        number: input.varint()?,
        name: label(input.text()?)?,
        source: input.text()?,
        size: input.varint()?,
        sector: input.varint()?,
        unreadable: input.varint()?,
        absent: input.varint()?,
        excluded: input.varint()?,
        stamp: input.bytes()?.to_vec(),
        exclusions: exclusions(input)?,
    };
    if disk.number == 0 {
        return Err(Malformed::Value { field: "number of a disk", value: 0 });
    }
    if !matches!(disk.sector, 512 | 4096) {
        return Err(Malformed::Value { field: "sector", value: disk.sector });
    }
    Ok(disk)
}

fn exclusions(input: &mut Input<'_>) -> Result<Vec<Exclusion>, Malformed> {
    let count = input.count(2)?;
    (0..count).map(|_| Ok(Exclusion { rule: input.text()?, bytes: input.varint()? })).collect()
}

fn span(input: &mut Input<'_>) -> Result<Span, Malformed> {
    Ok(Span {
        pack: input.id()?,
        frame: input.varint()?,
        extents: input.varint()?,
        pages: input.varint()?,
        level: input.varint()?,
    })
}

fn place(input: &mut Input<'_>) -> Result<PackPlace, Malformed> {
    let place = PackPlace {
        object: input.id()?,
        offset: input.varint()?,
        length: input.varint()?,
        footer: input.varint()?,
        frames: input.varint()?,
        chunks: input.varint()?,
    };
    if place.offset.checked_add(place.length).is_none() {
        return Err(Malformed::Rule("a pack ends past 2^64"));
    }
    Ok(place)
}
