//! LZO1X: one block unpacked into a buffer of known size.
//!
//! The stream is a sequence of instructions, each with an optional copy from what was already unpacked and an
//! optional run of literal bytes. Never knows: how btrfs cuts data into blocks.

/// Unpacks `packed` into `out`; says how many bytes that gave. `None`: not a whole LZO1X stream, or larger than `out`.
pub(super) fn unpack(packed: &[u8], out: &mut [u8]) -> Option<usize> {
    let mut run = Run { input: packed, out, len: 0 };
    let mut literals = run.first()?;
    loop {
        let byte = run.byte()?;
        literals = match byte {
            0..=15 if literals == 0 => {
                let n = run.length(byte & 15, 15)?.checked_add(3)?;
                run.literal(n)?;
                4
            }
            0..=15 if literals < 4 => run.near(byte, 2, 1)?,
            0..=15 => run.near(byte, 3, 2049)?,
            16..=31 => match run.far(byte)? {
                Some(literals) => literals,
                None => return Some(run.len),
            },
            32..=63 => {
                let len = run.length(byte & 31, 31)?.checked_add(2)?;
                let word = run.word()?;
                run.copy(usize::from(word >> 2) + 1, len)?;
                run.literal(usize::from(word & 3))?
            }
            64..=127 => run.short(byte, 3 + usize::from(byte >> 5 & 1))?,
            128..=255 => run.short(byte, 5 + usize::from(byte >> 5 & 3))?,
        };
    }
}

struct Run<'a> {
    input: &'a [u8],
    out: &'a mut [u8],
    len: usize,
}

impl Run<'_> {
    /// The first byte may be a run of literals of its own coding. Returns how many literals that left.
    fn first(&mut self) -> Option<usize> {
        match *self.input.first()? {
            byte @ 18.. => {
                self.byte()?;
                let n = usize::from(byte) - 17;
                self.literal(n)?;
                Some(n.min(4))
            }
            _ => Some(0),
        }
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.input.split_first()?;
        self.input = rest;
        Some(*first)
    }

    fn word(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes([self.byte()?, self.byte()?]))
    }

    /// A length with its low bits in the instruction; 0 there: in the bytes after it, on top of `base`.
    fn length(&mut self, low: u8, base: usize) -> Option<usize> {
        if low != 0 {
            return Some(usize::from(low));
        }
        let mut len = base;
        loop {
            match self.byte()? {
                0 => len = len.checked_add(255)?,
                last => return len.checked_add(usize::from(last)),
            }
        }
    }

    /// Copies literals; returns how many, as the next instruction wants to know it.
    fn literal(&mut self, n: usize) -> Option<usize> {
        let (bytes, rest) = self.input.split_at_checked(n)?;
        self.out.get_mut(self.len..)?.get_mut(..n)?.copy_from_slice(bytes);
        self.input = rest;
        self.len += n;
        Some(n)
    }

    /// Copies `len` bytes from `distance` back; the two may overlap.
    fn copy(&mut self, distance: usize, len: usize) -> Option<()> {
        let from = self.len.checked_sub(distance)?;
        let end = self.len.checked_add(len).filter(|end| *end <= self.out.len())?;
        for i in 0..len {
            self.out[self.len + i] = self.out[from + i];
        }
        self.len = end;
        Some(())
    }

    /// Instructions 0..=15 behind literals: a copy of fixed length from nearby.
    fn near(&mut self, byte: u8, len: usize, base: usize) -> Option<usize> {
        let high = usize::from(self.byte()?);
        self.copy((high << 2) + usize::from(byte >> 2) + base, len)?;
        self.literal(usize::from(byte & 3))
    }

    /// Instructions 16..=31: a copy from 16 KiB back or more, or the end (`Some(None)`).
    fn far(&mut self, byte: u8) -> Option<Option<usize>> {
        let len = self.length(byte & 7, 7)?.checked_add(2)?;
        let word = self.word()?;
        let distance = (usize::from(byte & 8) << 11) + usize::from(word >> 2);
        if distance == 0 {
            return (len == 3).then_some(None);
        }
        self.copy(distance + 16384, len)?;
        self.literal(usize::from(word & 3)).map(Some)
    }

    /// Instructions from 64 on: a short copy from 2 KiB back or less.
    fn short(&mut self, byte: u8, len: usize) -> Option<usize> {
        let high = usize::from(self.byte()?);
        self.copy((high << 3) + usize::from(byte >> 2 & 7) + 1, len)?;
        self.literal(usize::from(byte & 3))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_copy_and_end() {
        // 4 literals ("abcd"), copy of 4 from 4 back, end.
        let stream = [21, b'a', b'b', b'c', b'd', 0b0110_1100, 0, 17, 0, 0];
        let mut out = [0; 16];
        assert_eq!(unpack(&stream, &mut out), Some(8));
        assert_eq!(&out[..8], b"abcdabcd");
        assert_eq!(unpack(&stream, &mut [0; 7]), None, "more than there is room for");
        assert_eq!(unpack(&stream[..7], &mut out), None, "no end");
    }

    #[test]
    fn a_copy_from_before_the_start_is_refused() {
        let stream = [21, b'a', b'b', b'c', b'd', 0b0111_0000, 0, 17, 0, 0];
        assert_eq!(unpack(&stream, &mut [0; 16]), None);
    }
}
