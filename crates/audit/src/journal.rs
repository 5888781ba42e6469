//! The journal, where records become part of the log before anything else shows them, and the sealed names of a full sheet.
//! Both are ours alone: nobody who verifies the log needs them.
//!
//! Never knows: what records say.

use backstay_env::objects::Key;
use backstay_format::DecodeError;
use backstay_format::codec::{Input, Output as _};

use crate::tree::{Hash, WIDTH, sha256};

const VERSION: u32 = 1;
const BATCH: [u8; 8] = *b"BKSTAUDJ";
const NAMES: [u8; 8] = *b"BKSTAUDN";
/// The folder of the journal.
pub(crate) const FOLDER: &str = "journal";

/// Records that became part of the log together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The number of the first one.
    pub start: u64,
    /// The root of the tree before it.
    pub before: [u8; 32],
    /// The records.
    pub records: Vec<Vec<u8>>,
    /// The sealed names of each; empty where there are none.
    pub names: Vec<Vec<u8>>,
}

impl Batch {
    /// The root of the tree before it.
    pub fn before(&self) -> Hash {
        Hash(self.before)
    }

    /// The object that holds the batch that begins with record `start`.
    pub fn key(start: u64) -> Key {
        numbered(FOLDER, start)
    }

    /// Which batch the object of that name holds.
    pub fn start_of(key: &Key) -> Option<u64> {
        number_in(FOLDER, key)
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = header(BATCH, self.start);
        out.extend_from_slice(&self.before);
        out.put_varint(self.records.len() as u64);
        self.records.iter().chain(&self.names).for_each(|bytes| out.put_bytes(bytes));
        checked(out)
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Batch, DecodeError> {
        Batch::decode_body(open("batch", bytes)?)
    }

    /// Reads one without its hash.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode_body(body: &[u8]) -> Result<Batch, DecodeError> {
        let (start, mut input) = numbered_body(BATCH, "batch", body)?;
        let before = input.array()?;
        let count = count(&mut input, 2)?;
        let mut take = || (0..count).map(|_| input.bytes().map(<[u8]>::to_vec)).collect::<Result<Vec<_>, _>>();
        let (records, names) = (take()?, take()?);
        input.end()?;
        let fits = start % WIDTH as u64 + count as u64 <= WIDTH as u64;
        let short = records.iter().all(|record| record.len() <= usize::from(u16::MAX));
        if count > 0 && fits && short {
            Ok(Batch { start, before, records, names })
        } else {
            Err(DecodeError::Invalid("batch"))
        }
    }
}

/// The sealed names of a full sheet. Not part of the tree: names may be taken out when they expire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedNames {
    /// The number of the sheet.
    pub number: u64,
    /// The sealed names of each record; empty where there are none, or no longer.
    pub names: Vec<Vec<u8>>,
}

impl SealedNames {
    /// The folder of all of them.
    pub(crate) const FOLDER: &str = "names";

    /// The object that holds the names of sheet `number`.
    pub fn key(number: u64) -> Key {
        numbered(SealedNames::FOLDER, number)
    }

    /// Which sheet's names the object of that name holds.
    pub fn number_of(key: &Key) -> Option<u64> {
        number_in(SealedNames::FOLDER, key)
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = header(NAMES, self.number);
        out.put_varint(self.names.len() as u64);
        self.names.iter().for_each(|bytes| out.put_bytes(bytes));
        checked(out)
    }

    /// Reads them.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<SealedNames, DecodeError> {
        SealedNames::decode_body(open("names", bytes)?)
    }

    /// Reads them without their hash.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode_body(body: &[u8]) -> Result<SealedNames, DecodeError> {
        let (number, mut input) = numbered_body(NAMES, "names", body)?;
        let count = count(&mut input, 1)?;
        let names = (0..count).map(|_| input.bytes().map(<[u8]>::to_vec)).collect::<Result<Vec<_>, _>>()?;
        input.end()?;
        if count == WIDTH { Ok(SealedNames { number, names }) } else { Err(DecodeError::Invalid("number of names")) }
    }
}

fn numbered(folder: &str, number: u64) -> Key {
    Key::new(format!("{folder}/{number:016x}")).expect("a number makes a name")
}

fn number_in(folder: &str, key: &Key) -> Option<u64> {
    let digits = key.as_str().strip_prefix(folder)?.strip_prefix('/')?;
    u64::from_str_radix(digits, 16).ok().filter(|number| numbered(folder, *number) == *key)
}

fn header(magic: [u8; 8], number: u64) -> Vec<u8> {
    [&magic[..], &VERSION.to_le_bytes(), &number.to_le_bytes()].concat()
}

fn checked(mut bytes: Vec<u8>) -> Vec<u8> {
    let sum = sha256(&[&bytes]);
    bytes.extend_from_slice(&sum.0);
    bytes
}

/// What is before the hash, which must be its own.
fn open<'a>(what: &'static str, bytes: &'a [u8]) -> Result<&'a [u8], DecodeError> {
    let (body, sum) = bytes.split_last_chunk::<32>().ok_or(DecodeError::Truncated)?;
    if sha256(&[body]).0 == *sum { Ok(body) } else { Err(DecodeError::Digest(what)) }
}

fn numbered_body<'a>(magic: [u8; 8], what: &'static str, body: &'a [u8]) -> Result<(u64, Input<'a>), DecodeError> {
    let mut input = Input(body);
    if input.array()? != magic {
        return Err(DecodeError::Magic(what));
    }
    match input.u32()? {
        VERSION => Ok((input.u64()?, input)),
        found => Err(DecodeError::Version { what, found, newest: VERSION }),
    }
}

fn count(input: &mut Input<'_>, least: usize) -> Result<usize, DecodeError> {
    input.count(least).and_then(|count| if count <= WIDTH { Ok(count) } else { Err(DecodeError::Invalid("number")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_batch_and_names() {
        let batch = Batch { start: 258, before: [3; 32], records: vec![b"ab".to_vec()], names: vec![b"c".to_vec()] };
        let bytes = batch.encode();
        let mut golden = b"BKSTAUDJ\x01\0\0\0\x02\x01\0\0\0\0\0\0".to_vec();
        golden.extend_from_slice(&[3; 32]);
        golden.extend_from_slice(b"\x01\x02ab\x01c");
        assert_eq!(bytes[..bytes.len() - 32], golden);
        assert_eq!(Batch::decode(&bytes), Ok(batch.clone()));
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 4;
            assert!(Batch::decode(&bad).is_err() && Batch::decode(&bytes[..at]).is_err());
        }
        assert_eq!(Batch::key(258).as_str(), "journal/0000000000000102");
        assert_eq!(Batch::start_of(&Batch::key(258)), Some(258));
        for other in ["journal/102", "journal/000000000000010G", "names/0000000000000102", "journal/+000000000000102"] {
            assert_eq!(Key::new(other).and_then(|key| Batch::start_of(&key)), None, "{other}");
        }
        let crossing = Batch { start: 255, records: vec![vec![]; 2], names: vec![vec![]; 2], ..batch };
        assert!(Batch::decode(&crossing.encode()).is_err(), "a batch lies in one sheet");
        assert!(Batch::decode(&Batch::default().encode()).is_err(), "a batch is not empty");

        let names = SealedNames { number: 1, names: vec![vec![]; 256] };
        let bytes = names.encode();
        assert_eq!(bytes[..22], *b"BKSTAUDN\x01\0\0\0\x01\0\0\0\0\0\0\0\x80\x02");
        assert_eq!(SealedNames::decode(&bytes), Ok(names));
        assert!(SealedNames::decode(&SealedNames { number: 1, names: vec![] }.encode()).is_err());
    }
}
