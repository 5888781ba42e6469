//! The four checksums of the format.
//!
//! Never knows: what is summed.

use blake2::digest::{Digest, consts::U32};

/// Bytes that a tree block or superblock keeps for its checksum, whatever the kind.
pub(super) const CSUM_AREA: usize = 32;

/// A sum, zeros behind it when its kind is shorter.
pub(super) type Sum = [u8; CSUM_AREA];

/// How a file system sums its blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checksum {
    Crc32c,
    Xxhash64,
    Sha256,
    Blake2b,
}

impl Checksum {
    /// By its number in the superblock.
    pub(super) fn from_number(number: u16) -> Option<Checksum> {
        Some(match number {
            0 => Checksum::Crc32c,
            1 => Checksum::Xxhash64,
            2 => Checksum::Sha256,
            3 => Checksum::Blake2b,
            _ => return None,
        })
    }

    /// Bytes of a sum; at most [`CSUM_AREA`].
    pub(super) fn len(self) -> usize {
        match self {
            Checksum::Crc32c => 4,
            Checksum::Xxhash64 => 8,
            Checksum::Sha256 | Checksum::Blake2b => 32,
        }
    }

    /// The sum of `bytes`.
    pub(super) fn sum(self, bytes: &[u8]) -> Sum {
        let mut out = [0; CSUM_AREA];
        match self {
            Checksum::Crc32c => out[..4].copy_from_slice(&crc32c::crc32c(bytes).to_le_bytes()),
            Checksum::Xxhash64 => {
                let sum = twox_hash::XxHash64::oneshot(0, bytes);
                out[..8].copy_from_slice(&sum.to_le_bytes());
            }
            Checksum::Sha256 => out.copy_from_slice(&sha2::Sha256::digest(bytes)),
            Checksum::Blake2b => out.copy_from_slice(&blake2::Blake2b::<U32>::digest(bytes)),
        }
        out
    }

    /// The sums in an item of the checksum tree, one for each sector.
    pub(super) fn decode_all(self, item: &[u8]) -> impl Iterator<Item = Sum> + '_ {
        item.chunks_exact(self.len()).map(|stored| {
            let mut sum = [0; CSUM_AREA];
            sum[..stored.len()].copy_from_slice(stored);
            sum
        })
    }

    /// Whether `sum`, which may be longer than [`Checksum::len`], is that of `bytes`.
    pub(super) fn matches(self, sum: &[u8], bytes: &[u8]) -> bool {
        sum.get(..self.len()) == Some(&self.sum(bytes)[..self.len()])
    }

    /// Whether a block that begins with its own sum (superblock, tree block) is whole.
    pub(super) fn vouches_for(self, block: &[u8]) -> bool {
        match block.split_at_checked(CSUM_AREA) {
            Some((sum, rest)) => self.matches(sum, rest),
            None => false,
        }
    }
}

/// The CRC that names and back references are hashed with: no inversion at either end.
fn raw_crc32c(seed: u32, bytes: &[u8]) -> u32 {
    !crc32c::crc32c_append(!seed, bytes)
}

/// The offset of the directory item that holds `name`.
pub(super) fn name_hash(name: &[u8]) -> u64 {
    u64::from(raw_crc32c(!1, name))
}

/// The offset of the extended reference that holds `name` in directory `parent`.
pub(super) fn extref_hash(parent: u64, name: &[u8]) -> u64 {
    u64::from(raw_crc32c(parent as u32, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// Published check values of "123456789" (crc32c) and of the empty string or "abc" for the others.
    #[test]
    fn known_answers() {
        assert_eq!(hex(&Checksum::Crc32c.sum(b"123456789")[..4]), "839206e3");
        assert_eq!(hex(&Checksum::Xxhash64.sum(b"")[..8]), "99e9d85137db46ef");
        assert!(hex(&Checksum::Sha256.sum(b"abc")).starts_with("ba7816bf8f01cfea414140de5dae2223"));
        let blake = hex(&Checksum::Blake2b.sum(b""));
        assert!(blake.starts_with("0e5751c026e543b2e8ab2eb06099daa1"));
    }

    #[test]
    fn a_changed_byte_is_noticed() {
        for number in 0..4 {
            let kind = Checksum::from_number(number).unwrap();
            let mut block = vec![7_u8; 4096];
            let sum = kind.sum(&block[CSUM_AREA..]);
            block[..CSUM_AREA].copy_from_slice(&sum);
            assert!(kind.vouches_for(&block));
            block[4000] ^= 1;
            assert!(!kind.vouches_for(&block));
        }
        assert_eq!(Checksum::from_number(4), None);
    }
}
