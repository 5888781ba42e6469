//! Tiles: their names and bytes (C2SP tlog-tiles). A *sheet* is what C2SP calls an entry bundle: the records under one tile.
//!
//! Never knows: what records mean, or which tiles a tree of some size has.

use backstay_env::objects::Key;
use backstay_format::DecodeError;
use backstay_format::codec::Input;

use crate::tree::{Hash, WIDTH};

/// What a tile holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holds {
    /// Hashes of a level from 0 to 63.
    Hashes(u8),
    /// Records.
    Records,
}

/// The name of a tile or sheet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileName {
    /// What it holds.
    pub holds: Holds,
    /// Its number from the left.
    pub number: u64,
    /// How many it holds: 1 to 256.
    pub width: u16,
}

impl TileName {
    /// The tile as it is in a tree of `size` records. `None`: it is empty there.
    pub fn at_size(holds: Holds, number: u64, size: u64) -> Option<TileName> {
        let level = if let Holds::Hashes(level) = holds { u32::from(level) } else { 0 };
        let there = size.checked_shr(8 * level).unwrap_or(0);
        let from = number.checked_mul(WIDTH as u64)?;
        let width = there.checked_sub(from)?.min(WIDTH as u64) as u16;
        (width > 0).then_some(TileName { holds, number, width })
    }

    /// The same tile once it is full.
    pub fn full(self) -> TileName {
        TileName { width: WIDTH as u16, ..self }
    }

    /// Whether it is.
    pub fn is_full(self) -> bool {
        usize::from(self.width) == WIDTH
    }

    /// The folder of the partial forms of this tile.
    pub fn partials(self) -> Key {
        Key::new(format!("{}.p", self.full().path())).expect("the name of a tile is a name")
    }

    /// The object that holds it.
    pub fn key(self) -> Key {
        Key::new(self.path()).expect("the name of a tile is a name")
    }

    /// The path below the log's prefix.
    pub fn path(self) -> String {
        let mut number = format!("{:03}", self.number % 1000);
        let mut rest = self.number / 1000;
        while rest > 0 {
            number = format!("x{:03}/{number}", rest % 1000);
            rest /= 1000;
        }
        let level = match self.holds {
            Holds::Hashes(level) => level.to_string(),
            Holds::Records => "entries".to_owned(),
        };
        let width = if self.is_full() { String::new() } else { format!(".p/{}", self.width) };
        format!("tile/{level}/{number}{width}")
    }

    /// Reads a path. `None`: not that of a tile, or not in its one form.
    pub fn parse(path: &str) -> Option<TileName> {
        let (level, rest) = path.strip_prefix("tile/")?.split_once('/')?;
        let holds = if level == "entries" { Holds::Records } else { Holds::Hashes(decimal(level)?) };
        let (number, width) = match rest.split_once(".p/") {
            Some((number, width)) => (number, decimal::<u16>(width)?),
            None => (rest, WIDTH as u16),
        };
        let mut value = 0u64;
        for group in number.split('/') {
            let digits = group.strip_prefix('x').unwrap_or(group);
            let plain = digits.len() == 3 && digits.bytes().all(|digit| digit.is_ascii_digit());
            value = value.checked_mul(1000)?.checked_add(digits.parse().ok().filter(|_| plain)?)?;
        }
        let name = TileName { holds, number: value, width };
        let allowed = !matches!(holds, Holds::Hashes(64..)) && usize::from(width) <= WIDTH && width > 0;
        (allowed && name.path() == path).then_some(name)
    }
}

/// A decimal number in its one form.
pub(crate) fn decimal<N: std::str::FromStr + ToString>(text: &str) -> Option<N> {
    text.parse::<N>().ok().filter(|number| number.to_string() == text)
}

/// The bytes of a tile of hashes.
pub fn encode_hashes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// Reads a tile of hashes.
///
/// # Errors
/// [`DecodeError`] for anything but 1 to 256 whole hashes.
pub fn decode_hashes(bytes: &[u8]) -> Result<Vec<Hash>, DecodeError> {
    let (hashes, rest) = bytes.as_chunks::<32>();
    match hashes.len() {
        _ if !rest.is_empty() => Err(DecodeError::Truncated),
        0 => Err(DecodeError::Truncated),
        many if many > WIDTH => Err(DecodeError::Invalid("number of hashes")),
        _ => Ok(hashes.iter().map(|hash| Hash(*hash)).collect()),
    }
}

/// The bytes of a sheet.
///
/// # Panics
/// When a record has more than 65,535 bytes.
pub fn encode_sheet<'a>(records: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    for record in records {
        let len = u16::try_from(record.len()).expect("a record is shorter than 64 KiB");
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(record);
    }
    out
}

/// Reads a sheet.
///
/// # Errors
/// [`DecodeError`] for anything but 1 to 256 whole records.
pub fn decode_sheet(bytes: &[u8]) -> Result<Vec<Vec<u8>>, DecodeError> {
    let mut input = Input(bytes);
    let mut records = Vec::new();
    while !input.0.is_empty() {
        if records.len() == WIDTH {
            return Err(DecodeError::Trailing(input.0.len()));
        }
        let len = u16::from_be_bytes(input.array()?);
        records.push(input.take(len.into())?.to_vec());
    }
    if records.is_empty() { Err(DecodeError::Truncated) } else { Ok(records) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_specification() {
        let name = |holds, number, width| TileName { holds, number, width };
        let known = [
            ("tile/0/x001/x234/067", name(Holds::Hashes(0), 1_234_067, 256)),
            ("tile/entries/000", name(Holds::Records, 0, 256)),
            ("tile/entries/273.p/112", name(Holds::Records, 273, 112)),
            ("tile/63/999.p/1", name(Holds::Hashes(63), 999, 1)),
            ("tile/1/x001/000.p/255", name(Holds::Hashes(1), 1000, 255)),
        ];
        for (path, name) in known {
            assert_eq!((name.path().as_str(), TileName::parse(path)), (path, Some(name)));
            assert_eq!(name.key().as_str(), path);
        }
        let bad = [
            "",
            "tile",
            "tile/0",
            "tile/0/",
            "tile/0/1",
            "tile/0/0001",
            "tile/64/000",
            "tile/00/000",
            "tile/0/x000/001",
            "tile/0/001/002",
            "tile/0/x001",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/0/000.p/",
            "tile/0/+01",
            "tile/data/000",
            "/tile/0/000",
            "tile/0/000/",
            "tile/-1/000",
            "tile/0/x018/x446/x744/x073/x709/x551/616",
        ];
        bad.iter().for_each(|path| assert_eq!(TileName::parse(path), None, "{path}"));
        let largest = name(Holds::Records, u64::MAX, 256);
        assert_eq!(TileName::parse(&largest.path()), Some(largest));
    }

    #[test]
    fn widths_are_those_of_the_specification() {
        let width = |level, number| TileName::at_size(Holds::Hashes(level), number, 70_000).map(|name| name.width);
        assert_eq!([width(0, 272), width(0, 273), width(0, 274)], [Some(256), Some(112), None]);
        assert_eq!([width(1, 0), width(1, 1), width(1, 2)], [Some(256), Some(17), None]);
        assert_eq!([width(2, 0), width(2, 1), width(3, 0), width(63, 0)], [Some(1), None, None, None]);
        assert_eq!(TileName::at_size(Holds::Records, u64::MAX, u64::MAX), None);
    }

    #[test]
    fn golden_sheet_and_tile() {
        let sheet = encode_sheet([b"ab".as_slice(), b"", b"c"]);
        assert_eq!(sheet, [0, 2, b'a', b'b', 0, 0, 0, 1, b'c']);
        assert_eq!(decode_sheet(&sheet), Ok(vec![b"ab".to_vec(), vec![], b"c".to_vec()]));
        (0..sheet.len())
            .filter(|end| ![4, 6].contains(end))
            .for_each(|end| assert!(decode_sheet(&sheet[..end]).is_err()));
        assert!(decode_sheet(&[0; 2 * 257]).is_err() && decode_sheet(&[0; 2 * 256]).is_ok());

        let hashes = [Hash([1; 32]), Hash([2; 32])];
        let tile = encode_hashes(&hashes);
        assert_eq!((tile.len(), decode_hashes(&tile)), (64, Ok(hashes.to_vec())));
        assert!(decode_hashes(&tile[..63]).is_err() && decode_hashes(&[]).is_err());
        assert!(decode_hashes(&[0; 32 * 257]).is_err());
    }
}
