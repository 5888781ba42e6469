//! The file of saved marks: its bytes. docs/capture/saved-marks.md gives them.
//!
//! Never knows: where the file is, or whether what it says still holds.

use std::collections::BTreeMap;
use std::ops::Range;

use super::bits::Bits;
use super::looks::Looks;
use crate::marks::layout::{VALUE_BYTES, VALUE_PAGES, VALUE_WORDS};

const MAGIC: [u8; 8] = *b"bsaved\0\0";
const VERSION: u32 = 1;
/// Magic, version, four zero bytes, length of the body, hash of the body.
const HEADER: usize = 8 + 4 + 4 + 8 + 32;

/// Why bytes are not saved marks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// Something else.
    #[error("it holds no saved marks")]
    Magic,
    /// Of another version of this program.
    #[error("it is of version {0}, and this program knows version {VERSION}")]
    Version(u32),
    /// Cut off, or changed since.
    #[error("it is damaged")]
    Damaged,
}

/// How long a file is that begins so, by its own word.
pub(super) fn length(beginning: &[u8]) -> Option<usize> {
    let mut input = Input(beginning);
    let is_ours = input.array() == Ok(MAGIC);
    let _: (u32, u32) = (input.number().ok()?, input.number().ok()?);
    let len = usize::try_from(input.long().ok()?).ok()?;
    len.checked_add(HEADER).filter(|_| is_ours)
}

/// The saved marks of a machine's disks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The run of the machine that ended with saving them.
    pub boot: [u8; 16],
    /// What the caller wants to know again.
    pub about: Vec<u8>,
    /// The disks.
    pub disks: Vec<SavedDisk>,
}

/// The saved marks of a disk, and how to know it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedDisk {
    /// As the machine calls it.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// As the drive says; empty if it says none.
    pub serial: String,
    /// What somebody who writes to it would change.
    pub looks: Looks,
    /// Pages that may differ from the copy.
    pub marks: Bits,
}

impl Saved {
    /// As a file.
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        body.extend_from_slice(&self.boot);
        put(&mut body, &self.about);
        body.extend_from_slice(&(self.disks.len() as u32).to_le_bytes());
        self.disks.iter().for_each(|disk| disk.encode(&mut body));
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
        bytes.extend_from_slice(blake3::hash(&body).as_bytes());
        bytes.append(&mut body);
        bytes
    }

    /// What a file says.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn decode(bytes: &[u8]) -> Result<Saved, FileError> {
        let mut input = Input(bytes);
        if input.array() != Ok(MAGIC) {
            return Err(FileError::Magic);
        }
        match input.number()? {
            VERSION => {}
            version => return Err(FileError::Version(version)),
        }
        let (zeros, len, hash): (u32, _, [u8; 32]) = (input.number()?, input.long()?, input.array()?);
        let body = bytes.get(HEADER..).ok_or(FileError::Damaged)?;
        if zeros != 0 || body.len() as u64 != len || *blake3::hash(body).as_bytes() != hash {
            return Err(FileError::Damaged);
        }
        Saved::decode_body(body)
    }

    /// What stands behind the hash.
    ///
    /// # Errors
    /// [`FileError::Damaged`].
    pub fn decode_body(body: &[u8]) -> Result<Saved, FileError> {
        let mut input = Input(body);
        let (boot, about) = (input.array()?, input.bytes()?.to_vec());
        let count = input.number()?;
        let disks = (0..count).map(|_| SavedDisk::decode(&mut input)).collect::<Result<_, _>>()?;
        if input.0.is_empty() { Ok(Saved { boot, about, disks }) } else { Err(FileError::Damaged) }
    }
}

impl SavedDisk {
    fn encode(&self, out: &mut Vec<u8>) {
        put(out, self.name.as_bytes());
        out.extend_from_slice(&self.size.to_le_bytes());
        put(out, self.serial.as_bytes());
        out.extend_from_slice(&(self.looks.places.len() as u32).to_le_bytes());
        for place in &self.looks.places {
            out.extend_from_slice(&place.start.to_le_bytes());
            out.extend_from_slice(&place.end.to_le_bytes());
        }
        out.extend_from_slice(&self.looks.hash);
        out.extend_from_slice(&(self.marks.0.len() as u32).to_le_bytes());
        for (at, words) in &self.marks.0 {
            out.extend_from_slice(&at.to_le_bytes());
            words.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
        }
    }

    fn decode(input: &mut Input<'_>) -> Result<SavedDisk, FileError> {
        let (name, size, serial) = (input.text()?, input.long()?, input.text()?);
        let count = input.number()?;
        let place = |input: &mut Input<'_>| -> Result<Range<u64>, FileError> { Ok(input.long()?..input.long()?) };
        let places = (0..count).map(|_| place(input)).collect::<Result<_, _>>()?;
        let hash = input.array()?;
        let marks = marks(input, size)?;
        Ok(SavedDisk { name, size, serial, looks: Looks { places, hash }, marks })
    }
}

/// Parts of the disk, in order, each once.
fn marks(input: &mut Input<'_>, size: u64) -> Result<Bits, FileError> {
    let mut parts = BTreeMap::new();
    for _ in 0..input.number()? {
        let at: u32 = input.number()?;
        let words: [u8; VALUE_BYTES] = input.array()?;
        let in_order = parts.last_key_value().is_none_or(|(last, _)| *last < at);
        if !in_order || u64::from(at) >= size.div_ceil(4096).div_ceil(VALUE_PAGES) {
            return Err(FileError::Damaged);
        }
        let mut bits = Box::new([0; VALUE_WORDS]);
        for (word, bytes) in bits.iter_mut().zip(words.chunks_exact(8)) {
            *word = bytes.try_into().map_or(0, u64::from_le_bytes);
        }
        parts.insert(at, bits);
    }
    Ok(Bits(parts))
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// What is left to be read.
struct Input<'b>(&'b [u8]);

impl<'b> Input<'b> {
    fn take(&mut self, len: usize) -> Result<&'b [u8], FileError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(FileError::Damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FileError> {
        self.take(N)?.try_into().map_err(|_| FileError::Damaged)
    }

    fn number(&mut self) -> Result<u32, FileError> {
        self.array().map(u32::from_le_bytes)
    }

    fn long(&mut self) -> Result<u64, FileError> {
        self.array().map(u64::from_le_bytes)
    }

    fn bytes(&mut self) -> Result<&'b [u8], FileError> {
        let len = self.number()?;
        self.take(len as usize)
    }

    fn text(&mut self) -> Result<String, FileError> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| FileError::Damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn example() -> Saved {
        let mut marks = Bits::default();
        marks.add(3..5);
        let looks = Looks { places: vec![0..512], hash: [7; 32] };
        let disk = SavedDisk { name: "vdb".into(), size: 1 << 20, serial: "s1".into(), looks, marks };
        Saved { boot: [1; 16], about: b"m".to_vec(), disks: vec![disk] }
    }

    /// The body, byte for byte.
    #[test]
    fn golden() {
        let mut body = vec![1; 16];
        body.extend([1, 0, 0, 0, b'm', 1, 0, 0, 0]); // about, one disk
        body.extend([3, 0, 0, 0, b'v', b'd', b'b', 0, 0, 16, 0, 0, 0, 0, 0, 2, 0, 0, 0, b's', b'1']);
        body.extend([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0]); // one place
        body.extend([7; 32]);
        body.extend([1, 0, 0, 0, 0, 0, 0, 0, 0x18]); // the first part, pages 3 and 4
        body.extend([0; VALUE_BYTES - 1]);
        let mut bytes = b"bsaved\0\0\x01\0\0\0\0\0\0\0".to_vec();
        bytes.extend((body.len() as u64).to_le_bytes());
        bytes.extend(blake3::hash(&body).as_bytes());
        bytes.extend(&body);
        assert_eq!(example().encode(), bytes);
        assert_eq!(Saved::decode(&bytes), Ok(example()));
    }

    #[test]
    fn damage_is_noticed() {
        let whole = example().encode();
        for at in (0..whole.len()).step_by(7).chain(0..HEADER) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            assert!(Saved::decode(&bytes).is_err(), "byte {at}");
            assert!(Saved::decode(&whole[..at]).is_err(), "cut at {at}");
        }
        let mut newer = whole.clone();
        newer[8] = 2;
        assert_eq!(Saved::decode(&newer), Err(FileError::Version(2)));
        assert!(Saved::decode(&[whole, vec![0]].concat()).is_err());
    }

    proptest! {
        /// Whatever a body says.
        #[test]
        fn bodies_are_hostile(mut body in prop::collection::vec(any::<u8>(), 0..300), len in 0..100u8) {
            if let Some(byte) = body.get_mut(16) {
                *byte = len;
            }
            if let Ok(saved) = Saved::decode_body(&body) {
                prop_assert_eq!(&saved.encode()[HEADER..], &body[..]);
            }
        }
    }
}
