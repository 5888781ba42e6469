//! What keeps a vault quick and small: summaries of spans, spans without points merged, packs without use deleted.
//!
//! Every step is one commit that is valid only if what it was decided on is unchanged, so it may be interrupted anywhere and
//! any number of processes may do it at once.
//!
//! Never knows: which points to keep.

mod bundle;
mod consolidate;
mod merge;
mod needs;
mod packed;
mod plan;
mod reclaim;
mod summarise;

pub(crate) use bundle::is_small;
pub use packed::Packed;
pub use plan::{Left, ReclaimPlan};
pub use reclaim::Reclaimed;

use backstay_format::units::MachineId;

use crate::{Vault, VaultError};

impl Vault {
    /// The small work after a commit: sums up spans if that is due, and folds the ledger. Costs what was committed since.
    ///
    /// # Errors
    /// [`VaultError`]; nothing that was committed is in danger.
    pub fn settle(&self, machine: MachineId) -> Result<(), VaultError> {
        self.lock_index().settle()?;
        self.table.fold_if_due()?;
        while self.summarise(machine)? {}
        self.bundle_small()?;
        self.ledger.fold_if_due()?;
        Ok(())
    }
}
