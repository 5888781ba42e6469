//! The primitives of the format: fixed integers, varints, bytes, text.
//!
//! Never knows: what is encoded with them.

/// Why bytes are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// They end too early.
    #[error("truncated")]
    Truncated,
    /// They go on after the end.
    #[error("{0} bytes too many")]
    Trailing(usize),
    /// Another kind of object.
    #[error("not a {0}")]
    Magic(&'static str),
    /// Written by a newer (or a development) version.
    #[error("{what} of version {found}, newest known is {newest}")]
    Version {
        /// What was read.
        what: &'static str,
        /// Its version.
        found: u32,
        /// The newest this program reads.
        newest: u32,
    },
    /// Uses features this program does not know.
    #[error("{what} uses unknown features {bits:#x}")]
    Features {
        /// What was read.
        what: &'static str,
        /// The bits that are not known.
        bits: u32,
    },
    /// The bytes do not have the digest they carry.
    #[error("{0} does not match its digest")]
    Digest(&'static str),
    /// Belongs to another store, vault or pack.
    #[error("{0} belongs elsewhere")]
    Foreign(&'static str),
    /// A value that its field does not allow.
    #[error("invalid {0}")]
    Invalid(&'static str),
}

/// Takes values from the front of some bytes.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    /// The next `N` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], as all of these.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.0.split_first_chunk().ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(*head)
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(head)
    }

    /// One byte.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|b| b[0])
    }

    /// A fixed u32.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_le_bytes)
    }

    /// A fixed u64.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_le_bytes)
    }

    /// A fixed i64.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        self.array().map(i64::from_le_bytes)
    }

    /// A varint, in its shortest form.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`] for another form or 2^64 and more.
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        const BAD: DecodeError = DecodeError::Invalid("varint");
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(BAD);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                let shortest = byte != 0 || shift == 0;
                return if shortest { Ok(value) } else { Err(BAD) };
            }
        }
        Err(BAD)
    }

    /// A varint that fits a u32.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`] naming `what`.
    pub fn varint32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        u32::try_from(self.varint()?).map_err(|_| DecodeError::Invalid(what))
    }

    /// A count of things that take at least `least` bytes each, so that a wrong count cannot make us allocate.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] when so many cannot follow.
    pub fn count(&mut self, least: usize) -> Result<usize, DecodeError> {
        let count = usize::try_from(self.varint()?).map_err(|_| DecodeError::Truncated)?;
        match count.checked_mul(least) {
            Some(bytes) if bytes <= self.0.len() => Ok(count),
            _ => Err(DecodeError::Truncated),
        }
    }

    /// A length and that many bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.count(1)?;
        self.take(len)
    }

    /// Bytes that are UTF-8.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`] naming `what`.
    pub fn text(&mut self, what: &'static str) -> Result<String, DecodeError> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| DecodeError::Invalid(what))
    }

    /// A version byte.
    ///
    /// # Errors
    /// [`DecodeError::Version`] when it is not `known`.
    pub fn version(&mut self, what: &'static str, known: u8) -> Result<(), DecodeError> {
        match self.u8()? {
            v if v == known => Ok(()),
            v => Err(DecodeError::Version { what, found: v.into(), newest: known.into() }),
        }
    }

    /// Reads a version that is one of the first ones up to the newest that is known.
    ///
    /// # Errors
    /// [`DecodeError::Version`] for any other; [`DecodeError::Truncated`].
    pub fn version_up_to(&mut self, what: &'static str, newest: u8) -> Result<u8, DecodeError> {
        match self.u8()? {
            found if (1..=newest).contains(&found) => Ok(found),
            found => Err(DecodeError::Version { what, found: found.into(), newest: newest.into() }),
        }
    }

    /// Checks that nothing follows.
    ///
    /// # Errors
    /// [`DecodeError::Trailing`].
    pub fn end(self) -> Result<(), DecodeError> {
        match self.0.len() {
            0 => Ok(()),
            more => Err(DecodeError::Trailing(more)),
        }
    }
}

/// Appends values to bytes.
pub trait Output {
    /// A varint.
    fn put_varint(&mut self, value: u64);
    /// A length and the bytes.
    fn put_bytes(&mut self, bytes: &[u8]);
}

impl Output for Vec<u8> {
    fn put_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.push(value as u8);
    }

    fn put_bytes(&mut self, bytes: &[u8]) {
        self.put_varint(bytes.len() as u64);
        self.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_have_one_form() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            out.put_varint(value);
            let mut input = Input(&out);
            assert_eq!(input.varint(), Ok(value));
            input.end().unwrap();
        }
        let longer: [&[u8]; 3] = [&[0x80, 0], &[0xff, 0x80, 0], &[0xff; 11]];
        for bytes in longer {
            assert_eq!(Input(bytes).varint(), Err(DecodeError::Invalid("varint")), "{bytes:?}");
        }
        let too_big = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2];
        assert_eq!(Input(&too_big).varint(), Err(DecodeError::Invalid("varint")));
    }

    #[test]
    fn golden_varint_and_bytes() {
        let mut out = Vec::new();
        out.put_varint(300);
        out.put_bytes(b"ab");
        assert_eq!(out, [0xac, 0x02, 0x02, b'a', b'b']);
    }

    #[test]
    fn a_count_that_cannot_be_true_is_refused_before_anything_is_allocated() {
        let mut out = Vec::new();
        out.put_varint(u64::MAX / 2);
        assert_eq!(Input(&out).count(16), Err(DecodeError::Truncated));
    }
}
