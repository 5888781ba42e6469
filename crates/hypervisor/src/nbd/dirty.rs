//! What a dirty bitmap marks, a bounded piece at a time: the list of a large disk may not fit into memory.
//!
//! Never knows: what is done with it.

use std::io;
use std::ops::Range;

use backstay_env::volume::Volume as _;

use super::NbdVolume;

/// The flag of a range that changed, in a bitmap's context.
const CHANGED: u32 = 1;
/// The context's place among those asked for.
const BITMAP: usize = 1;
/// What is asked of at once.
const WINDOW: u64 = 1 << 30;
/// Ranges in a piece.
const PIECE: usize = 64 << 10;

/// Goes through a bitmap.
pub struct Dirty<'v> {
    volume: &'v NbdVolume,
    at: u64,
}

impl<'v> Dirty<'v> {
    pub(super) fn new(volume: &'v NbdVolume) -> Dirty<'v> {
        Dirty { volume, at: 0 }
    }

    /// The next ranges of pages of `page` bytes, in order and not touching; none at the end. A piece may begin in the page that the
    /// one before ended with.
    ///
    /// # Errors
    /// The connection failed, or the server does not tell.
    pub fn piece(&mut self, page: u64) -> io::Result<Vec<Range<u64>>> {
        let mut found: Vec<Range<u64>> = Vec::new();
        while self.at < self.volume.size() && found.len() < PIECE {
            let asked = WINDOW.min(self.volume.size() - self.at) as u32;
            let extents = self.volume.on(|client| client.status(BITMAP, self.at, asked))?;
            for extent in extents {
                let bytes = self.at..self.at + extent.len;
                self.at = bytes.end;
                if extent.flags & CHANGED != 0 {
                    add(&mut found, bytes.start / page..bytes.end.div_ceil(page));
                }
            }
        }
        Ok(found)
    }
}

fn add(found: &mut Vec<Range<u64>>, pages: Range<u64>) {
    match found.last_mut() {
        Some(last) if last.end >= pages.start => last.end = last.end.max(pages.end),
        _ => found.push(pages),
    }
}
