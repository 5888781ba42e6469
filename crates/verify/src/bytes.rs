//! Taking fields from bytes, and what can be wrong with them.
//!
//! Never knows: what a field means. Total: no input makes it panic, and
//! nothing is allocated that the input does not hold.

use std::fmt;

/// An identifier of 16 bytes: of a store, vault, machine, pack, object or
/// bucket. Written as 32 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub [u8; 16]);

impl Id {
    /// Reads 32 lower-case hex digits; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 32 {
            return None;
        }
        let mut id = [0; 16];
        for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Some(Self(id))
    }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

/// Lower-case hex digits of `bytes`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is wrong with bytes that a format page describes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A field reaches past the end.
    #[error("ends within a field")]
    Short,
    /// Bytes follow the last field.
    #[error("{0} bytes follow the last field")]
    Trailing(usize),
    /// A varint is longer than needed, or not below 2^64.
    #[error("a varint is not in its shortest form")]
    Varint,
    /// A text is not UTF-8.
    #[error("a text is not UTF-8")]
    Text,
    /// A field has a value that its page does not allow.
    #[error("{field} is {value}")]
    Value {
        /// The field's name in the page.
        field: &'static str,
        /// What was found.
        value: u64,
    },
    /// Fields that are each allowed contradict each other or the order.
    #[error("{0}")]
    Rule(&'static str),
}

/// What is left to read of some bytes.
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn left(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    pub(crate) fn end(self) -> Result<(), Malformed> {
        match self.0.len() {
            0 => Ok(()),
            more => Err(Malformed::Trailing(more)),
        }
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.0.split_first_chunk().ok_or(Malformed::Short)?;
        self.0 = rest;
        Ok(*head)
    }

    pub(crate) fn id(&mut self) -> Result<Id, Malformed> {
        self.array().map(Id)
    }

    pub(crate) fn slice(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.0.split_at_checked(length).ok_or(Malformed::Short)?;
        self.0 = rest;
        Ok(head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn u64_be(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_le_bytes)
    }

    pub(crate) fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for place in 0..10 {
            let byte = self.u8()?;
            if place == 9 && byte > 1 {
                return Err(Malformed::Varint);
            }
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                let shortest = byte != 0 || place == 0;
                return if shortest { Ok(value) } else { Err(Malformed::Varint) };
            }
        }
        Err(Malformed::Varint)
    }

    /// A varint that counts things of at least `least` bytes each that
    /// follow: so never more than the input can hold.
    pub(crate) fn count(&mut self, least: usize) -> Result<usize, Malformed> {
        let count = usize::try_from(self.varint()?).map_err(|_| Malformed::Short)?;
        if count > self.left() / least {
            return Err(Malformed::Short);
        }
        Ok(count)
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.varint()?).map_err(|_| Malformed::Short)?;
        self.slice(length)
    }

    pub(crate) fn text(&mut self) -> Result<String, Malformed> {
        let bytes = self.bytes()?;
        let text = std::str::from_utf8(bytes).map_err(|_| Malformed::Text)?;
        Ok(text.to_owned())
    }

    /// The version byte that a value starts with.
    pub(crate) fn version(&mut self) -> Result<(), Malformed> {
        match self.u8()? {
            1 => Ok(()),
            other => Err(Malformed::Value { field: "version", value: other.into() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_take_the_shortest_form_only() {
        let read = |bytes: &[u8]| {
            let mut input = Input::new(bytes);
            input.varint().and_then(|value| input.end().map(|()| value))
        };
        assert_eq!(read(&[0]), Ok(0));
        assert_eq!(read(&[0x7f]), Ok(127));
        assert_eq!(read(&[0x80, 1]), Ok(128));
        assert_eq!(read(&[0xe5, 0x8e, 0x26]), Ok(624_485));
        let most = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(read(&most), Ok(u64::MAX));
        assert_eq!(read(&[0x80, 0]), Err(Malformed::Varint));
        assert_eq!(read(&[0x80]), Err(Malformed::Short));
        let past = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2];
        assert_eq!(read(&past), Err(Malformed::Varint));
        let eleven = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1];
        assert_eq!(read(&eleven), Err(Malformed::Varint));
        assert_eq!(read(&[0, 0]), Err(Malformed::Trailing(1)));
    }

    #[test]
    fn ids_are_32_lower_case_digits() {
        let text = "00ff102030405060708090a0b0c0d0e0";
        assert_eq!(Id::parse(text).map(|id| id.to_string()).as_deref(), Some(text));
        assert_eq!(Id::parse(&text.to_uppercase()), None);
        assert_eq!(Id::parse(&text[1..]), None);
    }
}
