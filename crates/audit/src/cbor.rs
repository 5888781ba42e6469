//! The part of CBOR that records need, in the one form of RFC 8949, 4.2.1: shortest heads, definite lengths, keys that rise.
//! Written here because what matters is to refuse every other form, so that a record has one encoding and one hash; libraries
//! read them all.
//!
//! Never knows: what is encoded.

use backstay_format::DecodeError;
use backstay_format::codec::Input;

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const FALSE: u8 = 0xf4;
const TRUE: u8 = 0xf5;

/// An item as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item(Vec<u8>);

impl Item {
    /// A number from 0 on.
    pub fn unsigned(value: u64) -> Item {
        Item(head(UNSIGNED, value))
    }

    /// Any number.
    pub fn signed(value: i64) -> Item {
        // -1 - n is what CBOR says for a negative one.
        Item(if value < 0 { head(NEGATIVE, !value as u64) } else { head(UNSIGNED, value as u64) })
    }

    /// Bytes.
    pub fn bytes(bytes: &[u8]) -> Item {
        Item([&head(BYTES, bytes.len() as u64), bytes].concat())
    }

    /// Text.
    pub fn text(text: &str) -> Item {
        Item([&head(TEXT, text.len() as u64), text.as_bytes()].concat())
    }

    /// True or false.
    pub fn bool(value: bool) -> Item {
        Item(vec![if value { TRUE } else { FALSE }])
    }

    /// A list.
    pub fn array(items: &[Item]) -> Item {
        let mut out = head(ARRAY, items.len() as u64);
        items.iter().for_each(|item| out.extend_from_slice(&item.0));
        Item(out)
    }

    /// A table whose keys are numbers.
    ///
    /// # Panics
    /// When keys do not rise.
    pub fn map(rows: &[(u64, Item)]) -> Item {
        assert!(rows.is_sorted_by(|a, b| a.0 < b.0), "the keys of a map rise");
        let mut out = head(MAP, rows.len() as u64);
        for (key, item) in rows {
            out.extend_from_slice(&head(UNSIGNED, *key));
            out.extend_from_slice(&item.0);
        }
        Item(out)
    }

    /// Its bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

fn head(major: u8, value: u64) -> Vec<u8> {
    let major = major << 5;
    match value {
        0..24 => vec![major | value as u8],
        24..0x100 => vec![major | 24, value as u8],
        0x100..0x1_0000 => [&[major | 25][..], &(value as u16).to_be_bytes()].concat(),
        0x1_0000..0x1_0000_0000 => [&[major | 26][..], &(value as u32).to_be_bytes()].concat(),
        _ => [&[major | 27][..], &value.to_be_bytes()].concat(),
    }
}

/// Takes items from the front of some bytes.
#[derive(Clone, Copy, Debug)]
pub struct Items<'a>(Input<'a>);

const FORM: DecodeError = DecodeError::Invalid("form of CBOR");

impl<'a> Items<'a> {
    /// Reads `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Items(Input(bytes))
    }

    /// A number from 0 on.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`] for another kind of item or another form, as all of these.
    pub fn unsigned(&mut self) -> Result<u64, DecodeError> {
        self.expect(UNSIGNED)
    }

    /// Any number that an i64 holds.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`].
    pub fn signed(&mut self) -> Result<i64, DecodeError> {
        let (major, value) = self.head()?;
        let value = i64::try_from(value).map_err(|_| DecodeError::Invalid("number"))?;
        match major {
            UNSIGNED => Ok(value),
            NEGATIVE => Ok(!value),
            _ => Err(FORM),
        }
    }

    /// Bytes.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`], [`DecodeError::Truncated`].
    pub fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.expect(BYTES)?;
        self.0.take(usize::try_from(len).map_err(|_| DecodeError::Truncated)?)
    }

    /// So many bytes.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`] naming `what`.
    pub fn array_of<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        self.bytes()?.try_into().map_err(|_| DecodeError::Invalid(what))
    }

    /// Text.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`], [`DecodeError::Truncated`].
    pub fn text(&mut self) -> Result<&'a str, DecodeError> {
        let len = self.expect(TEXT)?;
        let bytes = self.0.take(usize::try_from(len).map_err(|_| DecodeError::Truncated)?)?;
        std::str::from_utf8(bytes).map_err(|_| DecodeError::Invalid("text"))
    }

    /// True or false.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`].
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        match self.0.u8()? {
            FALSE => Ok(false),
            TRUE => Ok(true),
            _ => Err(FORM),
        }
    }

    /// A list of `len` items, which follow.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`].
    pub fn array(&mut self, len: u64) -> Result<(), DecodeError> {
        if self.expect(ARRAY)? == len { Ok(()) } else { Err(DecodeError::Invalid("number of items")) }
    }

    /// A table: calls `row` for each key, which must take the value. Keys rise.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`], and those of `row`.
    pub fn map(&mut self, mut row: impl FnMut(u64, &mut Self) -> Result<(), DecodeError>) -> Result<(), DecodeError> {
        let mut least = 0;
        for _ in 0..self.expect(MAP)? {
            let key = self.unsigned()?;
            if key < least {
                return Err(DecodeError::Invalid("order of keys"));
            }
            least = key.checked_add(1).ok_or(FORM)?;
            row(key, self)?;
        }
        Ok(())
    }

    /// Checks that nothing follows.
    ///
    /// # Errors
    /// [`DecodeError::Trailing`].
    pub fn end(self) -> Result<(), DecodeError> {
        self.0.end()
    }

    fn expect(&mut self, major: u8) -> Result<u64, DecodeError> {
        let (found, value) = self.head()?;
        if found == major { Ok(value) } else { Err(FORM) }
    }

    fn head(&mut self) -> Result<(u8, u64), DecodeError> {
        let first = self.0.u8()?;
        let (value, least) = match first & 0x1f {
            small @ 0..24 => (u64::from(small), 0),
            24 => (u64::from(self.0.u8()?), 24),
            25 => (u16::from_be_bytes(self.0.array()?).into(), 0x100),
            26 => (u32::from_be_bytes(self.0.array()?).into(), 0x1_0000),
            27 => (u64::from_be_bytes(self.0.array()?), 0x1_0000_0000),
            _ => return Err(FORM),
        };
        if value < least { Err(FORM) } else { Ok((first >> 5, value)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Examples of RFC 8949, appendix A.
    #[test]
    fn known_numbers() {
        let known: [(i64, &[u8]); 12] = [
            (0, &[0x00]),
            (10, &[0x0a]),
            (23, &[0x17]),
            (24, &[0x18, 0x18]),
            (100, &[0x18, 0x64]),
            (1000, &[0x19, 0x03, 0xe8]),
            (1_000_000, &[0x1a, 0x00, 0x0f, 0x42, 0x40]),
            (1_000_000_000_000, &[0x1b, 0x00, 0x00, 0x00, 0xe8, 0xd4, 0xa5, 0x10, 0x00]),
            (-1, &[0x20]),
            (-10, &[0x29]),
            (-100, &[0x38, 0x63]),
            (-1000, &[0x39, 0x03, 0xe7]),
        ];
        for (value, bytes) in known {
            assert_eq!(Item::signed(value).into_bytes(), bytes);
            assert_eq!(Items::new(bytes).signed(), Ok(value));
        }
        for value in [i64::MIN, i64::MAX] {
            assert_eq!(Items::new(&Item::signed(value).into_bytes()).signed(), Ok(value));
        }
        let beyond = [0x1b, 0x80, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(Items::new(&beyond).signed(), Err(DecodeError::Invalid("number")));
    }

    #[test]
    fn golden_map() {
        let rows = [(1, Item::text("IETF")), (2, Item::bytes(&[1, 2])), (24, Item::array(&[Item::bool(true)]))];
        let bytes = Item::map(&rows).into_bytes();
        assert_eq!(bytes, [0xa3, 0x01, 0x64, b'I', b'E', b'T', b'F', 0x02, 0x42, 1, 2, 0x18, 0x18, 0x81, 0xf5]);
        let mut seen = Vec::new();
        let mut items = Items::new(&bytes);
        let read = items.map(|key, items| {
            seen.push(key);
            match key {
                1 => items.text().map(|text| assert_eq!(text, "IETF")),
                2 => items.array_of::<2>("two").map(|two| assert_eq!(two, [1, 2])),
                _ => items.array(1).and_then(|()| items.bool()).map(|value| assert!(value)),
            }
        });
        assert_eq!((read, seen, items.end()), (Ok(()), vec![1, 2, 24], Ok(())));
    }

    #[test]
    fn other_forms_are_refused() {
        let longer: [&[u8]; 5] = [&[0x18, 0x17], &[0x19, 0, 0xff], &[0x1a, 0, 0, 0xff, 0xff], &[0x1c], &[0x1f]];
        longer.iter().for_each(|bytes| assert_eq!(Items::new(bytes).unsigned(), Err(FORM), "{bytes:?}"));
        assert_eq!(Items::new(&[0x5f, 0x41, 0, 0xff]).bytes(), Err(FORM), "an indefinite length");
        assert_eq!(Items::new(&[0x5a, 0xff, 0xff, 0xff, 0xff]).bytes(), Err(DecodeError::Truncated));
        assert_eq!(Items::new(&[0x61, 0xff]).text(), Err(DecodeError::Invalid("text")));
        assert_eq!(Items::new(&[0xf6]).bool(), Err(FORM));
        let pairs = |bytes: &[u8]| Items::new(bytes).map(|_, items| items.bool().map(|_| ()));
        assert_eq!(pairs(&[0xa2, 0x01, 0xf4, 0x01, 0xf4]), Err(DecodeError::Invalid("order of keys")));
        assert_eq!(pairs(&[0xa2, 0x02, 0xf4, 0x01, 0xf4]), Err(DecodeError::Invalid("order of keys")));
        assert_eq!(pairs(&[0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), Err(DecodeError::Truncated));
    }
}
