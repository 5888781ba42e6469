//! Dropping points: a plan that can be shown, then carried out.
//!
//! Never knows: by what rule points were chosen.

use std::collections::BTreeSet;

use backstay_format::rows::{PointRow, RowKey};
use backstay_format::units::PointNo;

use crate::rows::{Machine, Point, decoded, delete};
use crate::{Vault, VaultError};

/// Points of a machine that are to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForgetPlan {
    /// The machine.
    pub machine: Machine,
    /// Points that go, oldest first.
    pub drop: Vec<Point>,
    /// How many stay.
    pub keep: usize,
}

/// Points dropped in one commit.
const BATCH: usize = 1024;

impl Vault {
    /// The plan that drops exactly these points. Changes nothing.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn plan_forget(&self, machine: &Machine, drop: &BTreeSet<PointNo>) -> Result<ForgetPlan, VaultError> {
        let mut plan = ForgetPlan { machine: machine.clone(), drop: Vec::new(), keep: 0 };
        self.each_point(machine.id, |point| match drop.contains(&point.number) {
            true => plan.drop.push(point),
            false => plan.keep += 1,
        })?;
        Ok(plan)
    }

    /// Drops the points of a plan and merges the spans between those that stay. Space is freed by reclaim.
    ///
    /// # Errors
    /// [`VaultError::StalePlan`] when one of the points is not as it was: nothing happened, or only whole batches of it.
    pub fn forget(&self, plan: &ForgetPlan) -> Result<(), VaultError> {
        let machine = plan.machine.id;
        for batch in plan.drop.chunks(BATCH) {
            self.ledger.commit(("forget", self.seams.clock.now()), |view| {
                let mut changes = Vec::new();
                for point in batch {
                    let key = RowKey::Point(machine, point.number);
                    let now = view.get(&key.encode())?.map(|value| decoded("point", PointRow::decode(&value)));
                    if now.transpose()?.as_ref() != Some(&point.row) {
                        return Err(VaultError::StalePlan);
                    }
                    changes.push(delete(key));
                }
                Ok(changes)
            })?;
        }
        self.trim_gaps(machine)?;
        self.consolidate(machine)?;
        self.ledger.fold_if_due()?;
        Ok(())
    }
}
