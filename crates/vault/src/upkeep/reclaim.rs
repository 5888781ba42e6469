//! Giving back space that nothing needs, by a plan: packs, frames and objects.
//!
//! Each step is decided anew on the newest rows, so what changed since the plan was made is respected.
//!
//! Never knows: points.

use std::collections::{BTreeSet, HashMap};

use backstay_format::keys::TableKey;
use backstay_format::ledger::Change;
use backstay_format::names;
use backstay_format::rows::{PackRow, RowKey, SpanId};
use backstay_format::units::{ObjectId, PackId};
use backstay_seal::Secret;
use backstay_store::pack::{PackReader, aged_id, shrink};
use backstay_store::packs::PackCatalogue as _;

use super::bundle::objects_named;
use super::plan::{ReclaimPlan, referring};
use crate::open::key;
use crate::rows::{delete, pack_row, set};
use crate::{Vault, VaultError};

/// What reclaim did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reclaimed {
    /// Packs deleted.
    pub packs: u64,
    /// Packs written anew.
    pub shrunk: u64,
    /// Objects without packs deleted.
    pub orphans: u64,
    /// Bytes freed.
    pub bytes: u64,
    /// It was stopped before it came to its end.
    pub stopped: bool,
}

impl Vault {
    /// Carries out a plan, step by step; each step is decided anew on the newest rows, so what changed since is respected.
    /// Between steps `go_on` is told what was done so far, and says whether to go on.
    ///
    /// # Errors
    /// [`VaultError`]; steps done stay done.
    pub fn reclaim(&self, plan: &ReclaimPlan, go_on: &dyn Fn(&Reclaimed) -> bool) -> Result<Reclaimed, VaultError> {
        let mut done = Reclaimed::default();
        match self.reclaim_steps(plan, go_on, &mut done) {
            Err(VaultError::Cancelled) => done.stopped = true,
            outcome => outcome?,
        }
        Ok(done)
    }

    fn reclaim_steps(&self, plan: &ReclaimPlan, go_on: GoOn<'_>, done: &mut Reclaimed) -> Result<(), VaultError> {
        for batch in plan.dead.chunks(256) {
            self.delete_packs(batch, done)?;
            check(go_on, done)?;
        }
        for (pack, ..) in &plan.shrink {
            self.shrink_pack(*pack, (&plan.keep[pack], &plan.needed_by[pack]), done)?;
            check(go_on, done)?;
        }
        for (object, size) in &plan.orphans {
            self.delete_orphan(*object, *size, done)?;
            check(go_on, done)?;
        }
        self.clear_suspects(plan)?;
        self.repack_bundles(&|| check(go_on, done))?;
        self.ledger.fold_if_due()?;
        self.table.fold_if_due()?;
        Ok(())
    }

    fn delete_packs(&self, packs: &[(PackId, u64)], done: &mut Reclaimed) -> Result<(), VaultError> {
        let mut gone: Vec<(PackId, PackRow)> = Vec::new();
        self.ledger.commit(("reclaim", self.seams.clock.now()), |view| {
            gone.clear();
            let mut changes = Vec::new();
            for (pack, _) in packs {
                let Some(row) = pack_row(view, *pack)? else { continue };
                if referring(view, *pack)?.is_empty() {
                    gone.push((*pack, row));
                    changes.extend([delete(RowKey::Pack(*pack)), delete(RowKey::Suspect(*pack))]);
                }
            }
            Ok::<_, VaultError>(changes)
        })?;
        let keys = || gone.iter().map(|(pack, _)| Change { key: TableKey::DataKey(*pack).encode(), value: None });
        self.table.commit::<VaultError>(("reclaim", self.seams.clock.now()), |_| Ok(keys().collect()))?;
        done.packs += gone.len() as u64;
        done.bytes += gone.iter().map(|(_, row)| row.len).sum::<u64>();
        self.delete_unnamed(&gone.iter().map(|(_, row)| row.object).collect())
    }

    /// Writes a pack anew without the frames that are not to be kept. Which those are was learned from the spans that referred
    /// to it when the plan was made: if others do now, it stays as it is, and a suspect.
    fn shrink_pack(
        &self,
        pack: PackId,
        (keep, spans): (&BTreeSet<u32>, &[SpanId]),
        done: &mut Reclaimed,
    ) -> Result<(), VaultError> {
        let view = self.ledger.refresh()?;
        let Some(row) = pack_row(&view, pack)? else { return Ok(()) };
        if referring(&view, pack)? != spans {
            return Ok(());
        }
        let (reader, secret, body) = match self.read_whole(pack, &row) {
            // Moved or reclaimed meanwhile: another time.
            Err(error) if self.is_outdated(&view, &error)? => return Ok(()),
            other => other?,
        };
        let shrunk = shrink((self.store, pack), &secret, reader.table(), &body, keep, self.seams.salt());
        let object = ObjectId(aged_id(&*self.seams.clock, &*self.seams.random));
        self.seams.home.put_new(&key(&names::pack_object(&self.name, object)), &[&shrunk.bytes])?;
        let new = PackRow { object, offset: 0, len: shrunk.bytes.len() as u64, footer: shrunk.footer, ..row };
        let outcome = self.ledger.commit(("reclaim", self.seams.clock.now()), |view| {
            let banned = view.get(&RowKey::Banned(object).encode())?.is_some();
            if banned || pack_row(view, pack)? != Some(row) || referring(view, pack)? != spans {
                return Err(VaultError::Overtaken);
            }
            Ok(vec![set(RowKey::Pack(pack), new.encode()), delete(RowKey::Suspect(pack))])
        });
        match outcome.map_err(VaultError::from) {
            Ok(_) => {
                done.shrunk += 1;
                done.bytes += row.len - new.len;
                self.packs.forget(pack);
                self.delete_unnamed(&BTreeSet::from([row.object]))
            }
            // Somebody refers to more of it now, or moved it: it stays a suspect for the next time.
            Err(VaultError::Overtaken) => self.delete_unnamed(&BTreeSet::from([object])),
            Err(error) => Err(error),
        }
    }

    fn read_whole(&self, pack: PackId, row: &PackRow) -> Result<(PackReader, Secret, Vec<u8>), VaultError> {
        let (_, secret) = self.catalogue.find(pack, false)?;
        Ok((self.packs.open_at(pack, false)?, secret, self.read_pack_bytes(row)?))
    }

    /// Bans an object, so that nobody can commit it any more, and deletes it.
    fn delete_orphan(&self, object: ObjectId, size: u64, done: &mut Reclaimed) -> Result<(), VaultError> {
        let now = self.seams.clock.now();
        let mut free = false;
        self.ledger.commit(("reclaim", now), |view| {
            free = !objects_named(view)?.contains_key(&object);
            let ban = set(RowKey::Banned(object), now.0.to_le_bytes().to_vec());
            Ok::<_, VaultError>(if free { vec![ban] } else { Vec::new() })
        })?;
        if free {
            self.seams.home.delete(&key(&names::pack_object(&self.name, object)))?;
            done.orphans += 1;
            done.bytes += size;
        }
        Ok(())
    }

    /// Packs that turned out to be needed are no suspects any more, unless they lost a reference since.
    fn clear_suspects(&self, plan: &ReclaimPlan) -> Result<(), VaultError> {
        self.ledger.commit(("reclaim", self.seams.clock.now()), |view| {
            let mut changes = Vec::new();
            for pack in &plan.cleared {
                let needed_by = plan.needed_by.get(pack).map_or(&[][..], Vec::as_slice);
                let gone = pack_row(view, *pack)?.is_none();
                if gone || (!needed_by.is_empty() && referring(view, *pack)? == needed_by) {
                    changes.push(delete(RowKey::Suspect(*pack)));
                }
            }
            Ok::<_, VaultError>(changes)
        })?;
        Ok(())
    }

    /// Moves what is left in objects that are mostly empty.
    fn repack_bundles(&self, between: &dyn Fn() -> Result<(), VaultError>) -> Result<(), VaultError> {
        let named = objects_named(self.ledger.refresh()?.as_ref())?;
        let listed = self.seams.home.list(&key(&names::packs(&self.name)))?;
        let sizes: HashMap<ObjectId, u64> =
            listed.iter().filter_map(|l| Some((names::pack_object_of(l.key.as_str())?, l.size))).collect();
        let live = |packs: &[(PackId, PackRow)]| packs.iter().map(|(_, r)| r.len).sum::<u64>();
        let wasteful = |(object, packs): &(&ObjectId, &Vec<(PackId, PackRow)>)| {
            sizes.get(*object).is_some_and(|size| live(packs) * 2 < *size)
        };
        let moving: Vec<(PackId, PackRow)> = named.iter().filter(wasteful).flat_map(|(_, p)| p.clone()).collect();
        for batch in moving.chunks(256) {
            self.bundle(batch.to_vec())?;
            between()?;
        }
        Ok(())
    }
}

type GoOn<'a> = &'a dyn Fn(&Reclaimed) -> bool;

fn check(go_on: GoOn<'_>, done: &Reclaimed) -> Result<(), VaultError> {
    if go_on(done) { Ok(()) } else { Err(VaultError::Cancelled) }
}
