//! What a disk looks like at some places, to know it again.
//!
//! Never knows: which places tell.

use std::io;
use std::ops::Range;

use backstay_env::volume::Volume;

/// How much is read at once.
const PIECE: usize = 256 << 10;

/// Places of a disk and what they hold, hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looks {
    /// Bytes of the disk.
    pub(super) places: Vec<Range<u64>>,
    pub(super) hash: [u8; 32],
}

impl Looks {
    /// Looks at these places of a disk; what lies behind its end is left out.
    ///
    /// # Errors
    /// What the disk says.
    pub fn of(disk: &dyn Volume, places: impl IntoIterator<Item = Range<u64>>) -> io::Result<Looks> {
        let inside = |place: Range<u64>| place.start.min(disk.size())..place.end.min(disk.size());
        let places: Vec<_> = places.into_iter().map(inside).filter(|place| !place.is_empty()).collect();
        let hash = hash(disk, &places)?;
        Ok(Looks { places, hash })
    }

    /// Whether a disk looks the same.
    ///
    /// # Errors
    /// What the disk says.
    pub fn are_of(&self, disk: &dyn Volume) -> io::Result<bool> {
        let fit = self.places.iter().all(|place| place.start <= place.end && place.end <= disk.size());
        Ok(fit && hash(disk, &self.places)? == self.hash)
    }
}

fn hash(disk: &dyn Volume, places: &[Range<u64>]) -> io::Result<[u8; 32]> {
    let (mut hasher, mut buffer) = (blake3::Hasher::new(), vec![0; PIECE]);
    for place in places {
        hasher.update(&place.start.to_le_bytes());
        hasher.update(&place.end.to_le_bytes());
        let mut at = place.start;
        while at < place.end {
            let piece = &mut buffer[..PIECE.min((place.end - at) as usize)];
            disk.read_at(at, piece)?;
            hasher.update(piece);
            at += piece.len() as u64;
        }
    }
    Ok(*hasher.finalize().as_bytes())
}
