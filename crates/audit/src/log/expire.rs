//! Names that expire: they are deleted a sheet at a time, and the log stays as it is.
//!
//! Never knows: how long names are to be kept, or who says so.

use backstay_env::objects::Key;
use backstay_env::time::Timestamp;

use super::Log;
use crate::error::AuditError;
use crate::journal::SealedNames;
use crate::record::Record;
use crate::tile::{Holds, TileName};
use crate::tree::WIDTH;

impl Log {
    /// Deletes the names of every full sheet whose records are all older than `before`, for good. Returns how many sheets lost
    /// theirs. The records stay, and so do the commitments, which say nothing without the names and salts.
    ///
    /// # Errors
    /// [`AuditError::Home`], [`AuditError::Damaged`]: some may be gone; the rest goes next time.
    pub fn expire_names(&self, before: Timestamp) -> Result<u64, AuditError> {
        let reader = self.reader()?;
        let mut gone = 0;
        for listed in self.home.list(&Key::new(SealedNames::FOLDER).expect("it is a name"))? {
            let Some(number) = SealedNames::number_of(&listed.key) else { continue };
            let name = TileName { holds: Holds::Records, number, width: WIDTH as u16 };
            // Its sheet may not be there yet: names come first.
            if TileName::at_size(Holds::Records, number, reader.checkpoint().size) != Some(name) {
                continue;
            }
            let records = reader.sheet(name)?;
            let last = records.last().and_then(|bytes| Record::decode(bytes).ok());
            if last.is_some_and(|last| last.time < before) {
                self.home.delete(&listed.key)?;
                gone += 1;
            }
        }
        Ok(gone)
    }
}
