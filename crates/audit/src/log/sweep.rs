//! Deletes what a full sheet made superfluous, a little at a time.
//!
//! Never knows: whether anything is still needed; it is told.

use backstay_env::objects::Key;

use super::writer::Writer;
use crate::journal::{Batch, FOLDER};
use crate::tile::{Holds, TileName};
use crate::tree::{FullTile, WIDTH};

/// So many objects go with each checkpoint, so that nobody waits long. A sheet leaves at most 768 behind, in 256 checkpoints.
const AT_ONCE: usize = 4;

impl Writer {
    /// Finds what is superfluous once a sheet and these tiles are full. What cannot be listed stays: it does no harm.
    pub(super) fn mark_litter(&mut self, sheet: u64, full: &[FullTile]) {
        let sheets = std::iter::once((Holds::Records, sheet));
        let tiles = full.iter().map(|tile| (Holds::Hashes(tile.level), tile.number));
        for (holds, number) in sheets.chain(tiles) {
            let partials = TileName { holds, number, width: 1 }.partials();
            let listed = self.home.list(&partials).unwrap_or_default();
            self.litter.extend(listed.into_iter().map(|listed| listed.key));
        }
        let journal = Key::new(FOLDER).expect("it is a name");
        let listed = self.home.list(&journal).unwrap_or_default().into_iter().map(|listed| listed.key);
        let end = (sheet + 1) * WIDTH as u64;
        self.litter.extend(listed.filter(|key| Batch::start_of(key).is_some_and(|start| start < end)));
    }

    /// Deletes some of it. What cannot be deleted stays: the next one who opens the log finds it.
    pub(super) fn sweep(&mut self) {
        for _ in 0..AT_ONCE {
            let Some(key) = self.litter.pop_front() else { break };
            if self.home.delete(&key).is_err() {
                break;
            }
        }
    }
}
