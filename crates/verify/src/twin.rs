//! Twins (twin.md): the envelope that keeps a small object twice.
//!
//! Never knows: what a payload means.

use crate::bytes::{Id, Input, Malformed};

/// Bytes before a copy's payload.
pub const HEADER: u64 = 72;
const ALIGN: u64 = 4096;

/// Which kind of small object a twin holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// `backstay.store`.
    StoreHeader = 1,
    /// A key slot.
    KeySlot = 2,
    /// A ledger entry.
    Entry = 3,
    /// The root of a ledger state.
    State = 4,
    /// Parts of a ledger state.
    Parts = 5,
}

/// What is wrong with one copy of a twin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Shorter than its header says, or than a header.
    #[error("the copy is cut off")]
    Short,
    /// Not a twin.
    #[error("the magic is not BKSTTWIN")]
    Magic,
    /// Of a version that these pages do not describe.
    #[error("version {0} is not known")]
    Version(u32),
    /// Another kind of object under this name.
    #[error("kind {0} is not the one expected here")]
    Kind(u32),
    /// From another store.
    #[error("it belongs to store {0}")]
    Store(Id),
    /// Torn or rotten.
    #[error("the digest does not match")]
    Digest,
    /// What lies between the copies is not zeros.
    #[error("what lies between the copies is not zeros")]
    Padding,
    /// Both copies are whole, and differ.
    #[error("the two copies are whole and differ")]
    Differ,
    /// The object is longer or shorter than its two copies.
    #[error("the object has {found} bytes, its copies make {due}")]
    Size {
        /// Bytes in the object.
        found: u64,
        /// Bytes that two copies of this length take.
        due: u64,
    },
}

/// One whole copy: its digest, kind and store are as they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copy<'a> {
    /// The store id in the header.
    pub store: Id,
    /// The payload.
    pub payload: &'a [u8],
}

/// Where the second copy starts in an object of `size` bytes.
pub fn second_start(size: u64) -> u64 {
    size.div_ceil(2).next_multiple_of(ALIGN)
}

/// Both copies of an object, each for itself.
#[derive(Debug)]
pub struct Twin<'a> {
    /// The copy at the start.
    pub first: Result<Copy<'a>, Fault>,
    /// The copy that [`second_start`] finds.
    pub second: Result<Copy<'a>, Fault>,
    /// What holds for the two together: length, zeros between, sameness.
    /// `Ok` when no copy is whole.
    pub whole: Result<(), Fault>,
}

impl<'a> Twin<'a> {
    /// The copies that are whole, in the order in which to try them. More
    /// than one matters where the payload is a box: a misdirected write may
    /// have put another whole object over the first.
    pub fn copies(&self) -> impl Iterator<Item = Copy<'a>> {
        [&self.first, &self.second].into_iter().filter_map(|copy| copy.as_ref().ok().copied())
    }

    /// The copy to read of an object without a box: the first that is whole.
    pub fn any(&self) -> Option<Copy<'a>> {
        self.first.as_ref().or(self.second.as_ref()).ok().copied()
    }
}

/// Reads both copies. `store` is the expected store, or `None` for the store
/// header, which says itself which store it is.
pub fn twin(object: &[u8], kind: What, store: Option<Id>) -> Twin<'_> {
    let start = second_start(object.len() as u64) as usize;
    let first = copy(object, kind, store);
    let second = copy(object.get(start..).unwrap_or_default(), kind, store);
    let whole = whole(object, &first, &second);
    Twin { first, second, whole }
}

fn whole(object: &[u8], first: &Result<Copy<'_>, Fault>, second: &Result<Copy<'_>, Fault>) -> Result<(), Fault> {
    let Some(one) = first.as_ref().or(second.as_ref()).ok() else {
        return Ok(());
    };
    if let (Ok(one), Ok(two)) = (first, second)
        && one != two
    {
        return Err(Fault::Differ);
    }
    let length = HEADER + one.payload.len() as u64;
    let start = length.next_multiple_of(ALIGN);
    if object.len() as u64 != start + length {
        return Err(Fault::Size { found: object.len() as u64, due: start + length });
    }
    let between = &object[length as usize..start as usize];
    if between.iter().any(|&byte| byte != 0) { Err(Fault::Padding) } else { Ok(()) }
}

/// Reads the copy that `bytes` start with; what follows it is not looked at.
///
/// # Errors
/// For the first thing that is not as the page says.
pub fn copy(bytes: &[u8], kind: What, store: Option<Id>) -> Result<Copy<'_>, Fault> {
    let mut input = Input::new(bytes);
    let short = |_: Malformed| Fault::Short;
    if input.array().map_err(short)? != *b"BKSTTWIN" {
        return Err(Fault::Magic);
    }
    let version = input.u32().map_err(short)?;
    if version != 1 {
        return Err(Fault::Version(version)); // before all that it may have changed
    }
    let found_kind = input.u32().map_err(short)?;
    let found_store = input.id().map_err(short)?;
    let length = input.u64().map_err(short)?;
    let digest: [u8; 32] = input.array().map_err(short)?;
    let length = usize::try_from(length).map_err(|_| Fault::Short)?;
    let payload = input.slice(length).map_err(short)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(&bytes[..40]).update(payload);
    if hasher.finalize() != digest {
        return Err(Fault::Digest);
    }
    if found_kind != kind as u32 {
        return Err(Fault::Kind(found_kind));
    }
    match store {
        Some(due) if due != found_store => Err(Fault::Store(found_store)),
        _ => Ok(Copy { store: found_store, payload }),
    }
}

/// The bytes at `offset` of the payload in the first (`false`) or second
/// (`true`) copy, without asking whether that copy is whole. For parts, which
/// are sealed each for itself.
pub fn within(object: &[u8], second: bool, offset: u64, length: u64) -> Option<&[u8]> {
    let base = if second { second_start(object.len() as u64) } else { 0 };
    let start = base.checked_add(HEADER)?.checked_add(offset)?;
    let end = start.checked_add(length)?;
    object.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
}

/// What the store header's payload says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreHeader {
    /// Bits of features; none is defined.
    pub features: u32,
    /// When the store was made: nanoseconds since 1970.
    pub created: i64,
}

/// Reads the store header's payload.
///
/// # Errors
/// For a length other than 12 and for feature bits.
pub fn store_header(payload: &[u8]) -> Result<StoreHeader, Malformed> {
    let mut input = Input::new(payload);
    let features = input.u32()?;
    let created = input.i64()?;
    input.end()?;
    if features != 0 {
        return Err(Malformed::Value { field: "features", value: features.into() });
    }
    Ok(StoreHeader { features, created })
}

#[cfg(test)]
mod tests {
    use super::second_start;

    #[test]
    fn the_second_copy_is_found_from_the_size_alone() {
        for length in (72u64..20_000).chain([4095, 4096, 4097, 8191, 8192, 8193]) {
            let start = length.next_multiple_of(4096);
            assert_eq!(second_start(start + length), start, "copies of {length} bytes");
        }
    }
}
