//! What is done to a store: a bit of an object flipped, an object cut off, an object gone. And what the bits mean.
//!
//! Never knows: what must come of it.

use std::ops::Range;

use backstay_env::objects::{Key, Objects as _};
use backstay_env::sim::objects::SimObjects;
use backstay_format::pack::{HEADER_LEN as PACK_HEADER, TRAILER_LEN, Trailer};
use backstay_format::twin;

use super::store::Subject;
use crate::Violation;
use crate::ripe::objects_of;

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Header,
    Slot,
    KeyEntry,
    KeyState,
    KeyParts,
    Entry,
    State,
    Parts,
    Pack,
    Index,
}

/// The beginnings of the names of objects, and what these are called.
const KINDS: [(&str, Kind, &str); 10] = [
    ("backstay.store", Kind::Header, "store header"),
    ("vault/main/keys/", Kind::Slot, "key slot"),
    ("vault/main/keytable/entry/", Kind::KeyEntry, "key table, entries"),
    ("vault/main/keytable/state/", Kind::KeyState, "key table, states"),
    ("vault/main/keytable/parts/", Kind::KeyParts, "key table, parts"),
    ("vault/main/ledger/entry/", Kind::Entry, "ledger, entries"),
    ("vault/main/ledger/state/", Kind::State, "ledger, states"),
    ("vault/main/ledger/parts/", Kind::Parts, "ledger, parts"),
    ("vault/main/pack/", Kind::Pack, "packs"),
    ("vault/main/index/", Kind::Index, "dedup index"),
];

impl Kind {
    fn of(key: &Key) -> Option<Kind> {
        KINDS.iter().find(|(prefix, ..)| key.as_str().starts_with(prefix)).map(|(_, kind, _)| *kind)
    }

    pub(super) fn name(self) -> &'static str {
        KINDS.iter().find(|(_, kind, _)| *kind == self).map_or("", |(.., name)| name)
    }

    /// Kept twice in its object.
    pub(super) fn is_twin(self) -> bool {
        !matches!(self, Kind::Pack | Kind::Index)
    }
}

/// What a byte is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// Of a twin.
    FirstCopy,
    /// Zeros between the copies, which no reader looks at.
    Padding,
    SecondCopy,
    /// Of a pack: data once, and blobs twice.
    Frames,
    /// Header, both footers and trailer of a pack: any of them may be missing.
    Ends,
    /// In an object of packs, but of none that a row names: what was moved elsewhere or reclaimed.
    Unnamed,
    /// All of an index.
    Whole,
}

impl Part {
    pub(super) fn name(self) -> &'static str {
        match self {
            Part::FirstCopy => "first copy",
            Part::Padding => "zeros between",
            Part::SecondCopy => "second copy",
            Part::Frames => "frames",
            Part::Ends => "header, footers, trailer",
            Part::Unnamed => "what no row names",
            Part::Whole => "all",
        }
    }
}

/// An object as it was.
pub(super) struct Object {
    pub(super) key: Key,
    pub(super) kind: Kind,
    pub(super) bytes: Vec<u8>,
    /// Where its parts end.
    parts: Vec<(usize, Part)>,
}

impl Object {
    /// All objects of a store, in the order of their names.
    ///
    /// # Errors
    /// The home failed, or holds what nobody knows.
    pub(super) fn all(subject: &Subject) -> Result<Vec<Object>, Violation> {
        let (mut objects, named) = (Vec::new(), subject.named()?);
        for (key, bytes) in objects_of(&subject.home)? {
            let kind = Kind::of(&key).ok_or_else(|| Violation(format!("{key} is of no kind")))?;
            let parts = match kind {
                Kind::Index => Some(vec![(bytes.len(), Part::Whole)]),
                Kind::Pack => parts_of_packs(&bytes, named.get(key.as_str()).map_or(&[][..], Vec::as_slice)),
                _ => parts_of_twin(&bytes),
            };
            let parts = parts.ok_or_else(|| Violation(format!("{key} is not built as it should be")))?;
            objects.push(Object { key, kind, bytes, parts });
        }
        Ok(objects)
    }

    pub(super) fn part(&self, byte: usize) -> Part {
        let found = self.parts.iter().find(|(end, _)| byte < *end);
        found.map_or(Part::Whole, |(_, part)| *part)
    }

    /// How much of it anything needs.
    pub(super) fn needed(&self) -> usize {
        let needed = self.parts.iter().rev().find(|(_, part)| *part != Part::Unnamed);
        needed.map_or(0, |(end, _)| *end)
    }

    /// How much of a twin must be there for its first copy to be.
    pub(super) fn first_copy(&self) -> usize {
        self.parts.first().map_or(0, |(end, _)| *end)
    }
}

fn parts_of_twin(bytes: &[u8]) -> Option<Vec<(usize, Part)>> {
    let second = usize::try_from(twin::second_copy(bytes.len() as u64)).ok()?;
    let first = bytes.len().checked_sub(second)?;
    Some(vec![(first, Part::FirstCopy), (second, Part::Padding), (bytes.len(), Part::SecondCopy)])
}

/// Each pack's trailer tells how long its footers are.
fn parts_of_packs(bytes: &[u8], named: &[Range<usize>]) -> Option<Vec<(usize, Part)>> {
    let mut parts = Vec::new();
    for Range { start, end } in named {
        let trailer = Trailer::decode(bytes.get(..*end)?.last_chunk::<TRAILER_LEN>()?).ok()?;
        let frames = end.checked_sub(TRAILER_LEN + 2 * trailer.footer as usize)?;
        parts.extend([(*start, Part::Unnamed), (start + PACK_HEADER, Part::Ends), (frames, Part::Frames)]);
        parts.push((*end, Part::Ends));
    }
    parts.push((bytes.len(), Part::Unnamed));
    Some(parts)
}

/// What happens to one object, by its place in the list of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Harm {
    /// A bit, counted from the lowest of the first byte.
    Flip { object: usize, bit: usize },
    /// Only so many bytes are left.
    Cut { object: usize, len: usize },
    /// It is not there.
    Gone { object: usize },
}

impl Harm {
    pub(super) fn object(self) -> usize {
        match self {
            Harm::Flip { object, .. } | Harm::Cut { object, .. } | Harm::Gone { object } => object,
        }
    }

    /// Does it to a copy of the home.
    ///
    /// # Errors
    /// The object was not there.
    pub(super) fn inflict(self, home: &SimObjects, objects: &[Object]) -> Result<(), Violation> {
        let key = &objects[self.object()].key;
        let done = match self {
            Harm::Flip { bit, .. } => home.tamper(key, |bytes| bytes[bit / 8] ^= 1 << (bit % 8)),
            Harm::Cut { len, .. } => home.tamper(key, |bytes| bytes.truncate(len)),
            Harm::Gone { .. } => home.delete(key).is_ok(),
        };
        if done { Ok(()) } else { Err(Violation(format!("{key} could not be harmed"))) }
    }

    /// In words.
    pub(super) fn describe(self, objects: &[Object]) -> String {
        let Object { key, bytes, .. } = &objects[self.object()];
        match self {
            Harm::Flip { bit, .. } => format!("bit {} of byte {} of {key} flipped", bit % 8, bit / 8),
            Harm::Cut { len, .. } => format!("{key} cut off after {len} of {} bytes", bytes.len()),
            Harm::Gone { .. } => format!("{key} gone"),
        }
    }
}

/// All harm there is, numbered: bits first, then lengths, then absence.
pub(super) struct Harms {
    /// Where each object's bits begin, and where its lengths do; the last: how many there are.
    bits: Vec<u64>,
    lengths: Vec<u64>,
}

impl Harms {
    pub(super) fn of(objects: &[Object]) -> Harms {
        let mut harms = Harms { bits: vec![0], lengths: vec![0] };
        let (mut bits, mut lengths) = (0, 0);
        for object in objects {
            bits += 8 * object.bytes.len() as u64;
            lengths += object.bytes.len() as u64;
            harms.bits.push(bits);
            harms.lengths.push(lengths);
        }
        harms
    }

    pub(super) fn bits(&self) -> u64 {
        self.bits.last().copied().unwrap_or(0)
    }

    fn lengths(&self) -> u64 {
        self.lengths.last().copied().unwrap_or(0)
    }

    pub(super) fn count(&self) -> u64 {
        self.bits() + self.lengths() + self.bits.len() as u64 - 1
    }

    /// Harm by its number.
    pub(super) fn get(&self, number: u64) -> Harm {
        let place = |starts: &[u64], at: u64| {
            let object = starts.partition_point(|start| *start <= at) - 1;
            (object, (at - starts[object]) as usize)
        };
        if number < self.bits() {
            let (object, bit) = place(&self.bits, number);
            return Harm::Flip { object, bit };
        }
        let number = number - self.bits();
        if number < self.lengths() {
            let (object, len) = place(&self.lengths, number);
            return Harm::Cut { object, len };
        }
        Harm::Gone { object: (number - self.lengths()) as usize }
    }
}
