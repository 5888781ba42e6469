//! Looking for space that nothing needs: packs nobody refers to, frames whose chunks nobody refers to, objects nobody names.
//!
//! Looked at are the packs that lost a reference (rows `g`), not all packs. What a damaged map may refer to is kept.
//!
//! Never knows: points.

use std::collections::{BTreeMap, BTreeSet};

use backstay_format::names;
use backstay_format::rows::{DraftRow, RowKey, SpanId};
use backstay_format::units::{ObjectId, PackId};
use backstay_store::ledger::View;

use super::bundle::objects_named;
use crate::open::key;
use crate::rows::{find_machine, pack_row, row_key};
use crate::{Vault, VaultError};

/// A pack is written anew when more than one part in so many of it is of no use.
const WORTHWHILE: u64 = 8;
/// Packs without references that are younger than this may be of a capture that goes on: in milliseconds of their ids.
const DRAFT_AGE: u64 = 24 * 3600 * 1000;

/// How often to look again when others change the vault meanwhile.
const ATTEMPTS: u32 = 4;

/// What reclaim would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReclaimPlan {
    /// Packs to delete, with their bytes.
    pub dead: Vec<(PackId, u64)>,
    /// Packs to write anew without their dead frames: bytes now, bytes that go.
    pub shrink: Vec<(PackId, u64, u64)>,
    /// Packs that turned out to be needed as they are.
    pub cleared: Vec<PackId>,
    /// Objects that no row names, old enough to be no capture's under way.
    pub orphans: Vec<(ObjectId, u64)>,
    /// Packs of which nobody can say what is needed: they stay as they are, and suspects.
    pub left: Vec<Left>,
    /// The frames to keep of packs to be written anew.
    pub(super) keep: BTreeMap<PackId, BTreeSet<u32>>,
    /// The spans that referred to each pack that is needed, in part or as it is.
    pub(super) needed_by: BTreeMap<PackId, Vec<SpanId>>,
}

/// A pack that reclaim leaves alone because of damage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// The pack.
    pub pack: PackId,
    /// Its bytes.
    pub bytes: u64,
    /// What is damaged, in words.
    pub why: String,
}

impl ReclaimPlan {
    /// Bytes that would be freed.
    pub fn bytes(&self) -> u64 {
        let dead: u64 = self.dead.iter().map(|d| d.1).sum();
        let shrunk: u64 = self.shrink.iter().map(|s| s.2).sum();
        let orphans: u64 = self.orphans.iter().map(|o| o.1).sum();
        dead + shrunk + orphans
    }
}

impl Vault {
    /// Looks at what could be given back. Changes nothing. Where a map or a pack's table is damaged, everything that may be needed
    /// is left alone, and the plan says so.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn plan_reclaim(&self) -> Result<ReclaimPlan, VaultError> {
        for _ in 0..ATTEMPTS {
            let view = self.ledger.refresh()?;
            match self.plan_reclaim_of(&view) {
                Err(error) if self.is_outdated(&view, &error)? => {}
                outcome => return outcome,
            }
        }
        Err(VaultError::Overtaken)
    }

    fn plan_reclaim_of(&self, view: &View) -> Result<ReclaimPlan, VaultError> {
        let mut plan = ReclaimPlan::default();
        let mut partial: BTreeMap<PackId, Vec<SpanId>> = BTreeMap::new();
        for (key, value) in view.prefix(b"g")? {
            let RowKey::Suspect(pack) = row_key(&key)? else { continue };
            let Some(row) = pack_row(view, pack)? else {
                plan.cleared.push(pack);
                continue;
            };
            match referring(view, pack)? {
                spans if !spans.is_empty() => drop(partial.insert(pack, spans)),
                _ if self.is_awaited(view, pack, &value)? => {}
                _ => plan.dead.push((pack, row.len)),
            }
        }
        self.plan_shrinking(view, &partial, &mut plan)?;
        plan.orphans = self.orphans(view)?;
        Ok(plan)
    }

    /// Whether a pack without references may still be of use to the capture that committed it, or to the one that goes on where
    /// that failed. Not any more once its machine got a point since the capture began: that did not need the pack, and if the
    /// capture goes on all the same, it notices at its commit.
    fn is_awaited(&self, view: &View, pack: PackId, value: &[u8]) -> Result<bool, VaultError> {
        if value.is_empty() || !self.is_young(pack.0) {
            return Ok(false);
        }
        let Ok(draft) = DraftRow::decode(value) else { return Ok(true) };
        let machine = find_machine(view, &draft.machine)?;
        Ok(machine.is_none_or(|machine| machine.row.next_point <= draft.point))
    }

    /// Whether something of this age may belong to a capture under way. Only efficiency hangs on it: what is taken from a
    /// capture under way, it notices at its commit, and stores again.
    fn is_young(&self, id: [u8; 16]) -> bool {
        let now = u64::try_from(self.seams.clock.now().0 / 1_000_000).unwrap_or(0);
        let mut born = [0; 8];
        born[2..].copy_from_slice(&id[..6]);
        now.saturating_sub(u64::from_be_bytes(born)) < DRAFT_AGE
    }

    fn plan_shrinking(
        &self,
        view: &View,
        partial: &BTreeMap<PackId, Vec<SpanId>>,
        plan: &mut ReclaimPlan,
    ) -> Result<(), VaultError> {
        let needed = self.needed(view, partial)?;
        for (pack, spans) in partial {
            let bytes = pack_row(view, *pack)?.map_or(0, |r| r.len);
            let (live, waste) = match self.live_frames(view, *pack, spans, &needed)? {
                Ok(found) => found,
                Err(why) => {
                    plan.left.push(Left { pack: *pack, bytes, why });
                    continue;
                }
            };
            plan.needed_by.insert(*pack, spans.clone());
            if waste * WORTHWHILE > bytes {
                plan.shrink.push((*pack, bytes, waste));
                plan.keep.insert(*pack, live);
            } else {
                plan.cleared.push(*pack);
            }
        }
        Ok(())
    }

    /// Objects of packs that no row names and no capture under way can be about to commit.
    fn orphans(&self, view: &View) -> Result<Vec<(ObjectId, u64)>, VaultError> {
        let named = objects_named(view)?;
        let listed = self.seams.home.list(&key(&names::packs(&self.name)))?;
        let objects = listed.iter().filter_map(|l| Some((names::pack_object_of(l.key.as_str())?, l.size)));
        Ok(objects.filter(|(id, _)| !named.contains_key(id) && !self.is_young(id.0)).collect())
    }
}

/// The spans that refer to a pack.
pub(super) fn referring(view: &View, pack: PackId) -> Result<Vec<SpanId>, VaultError> {
    let rows = view.prefix(&[b"r", &pack.0[..]].concat())?;
    let span = |(key, _): &(Vec<u8>, Vec<u8>)| match row_key(key)? {
        RowKey::Ref(_, span) => Ok(span),
        _ => Err(VaultError::NoWay),
    };
    rows.iter().map(span).collect()
}
