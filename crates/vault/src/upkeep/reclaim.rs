//! Giving back space that nothing needs: packs nobody refers to, frames whose chunks nobody refers to, objects nobody names.
//!
//! Looked at are the packs that lost a reference (rows `g`), not all packs. What is live in them is learned from the runs that
//! refer to them (rows `r`), never from counts that could be wrong.
//!
//! Never knows: points.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use backstay_format::keys::TableKey;
use backstay_format::ledger::Change;
use backstay_format::names;
use backstay_format::rows::{PackRow, RowKey, SpanId};
use backstay_format::units::{FrameNo, ObjectId, PackId};
use backstay_seal::Secret;
use backstay_store::ledger::View;
use backstay_store::pack::{PackReader, aged_id, shrink};
use backstay_store::packs::PackCatalogue as _;
use backstay_timeline::extent::Content;

use super::bundle::objects_named;
use crate::map::Run;
use crate::open::key;
use crate::rows::{DRAFT, delete, pack_row, row_key, set, spans_ending};
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
    keep: BTreeMap<PackId, BTreeSet<u32>>,
    /// The spans that referred to each pack that is needed, in part or as it is.
    needed_by: BTreeMap<PackId, Vec<SpanId>>,
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
}

impl Vault {
    /// Looks at what could be given back. Changes nothing.
    ///
    /// # Errors
    /// [`VaultError`]; a map that cannot be read is one: what it refers to is not known.
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
                _ if value == DRAFT && self.is_young(pack.0) => {}
                _ => plan.dead.push((pack, row.len)),
            }
        }
        self.plan_shrinking(view, &partial, &mut plan)?;
        plan.orphans = self.orphans(view)?;
        Ok(plan)
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
        let live = self.live_frames(view, partial)?;
        for (pack, spans) in partial {
            let reader = self.packs.open_at(*pack, false)?;
            let live = live.get(pack).cloned().unwrap_or_default();
            let stored = |(number, frame): (usize, &backstay_format::pack::Frame)| {
                if live.contains(&(number as u32)) { 0 } else { u64::from(frame.stored) }
            };
            plan.needed_by.insert(*pack, spans.clone());
            let waste: u64 = reader.table().frames.iter().enumerate().map(stored).sum();
            let len = pack_row(view, *pack)?.map_or(0, |r| r.len);
            if waste * WORTHWHILE > len {
                plan.shrink.push((*pack, len, waste));
                plan.keep.insert(*pack, live);
            } else {
                plan.cleared.push(*pack);
            }
        }
        Ok(())
    }

    /// The frames of packs that runs refer to. Each run is read once.
    fn live_frames(
        &self,
        view: &View,
        partial: &BTreeMap<PackId, Vec<SpanId>>,
    ) -> Result<HashMap<PackId, BTreeSet<u32>>, VaultError> {
        let spans: BTreeSet<SpanId> = partial.values().flatten().copied().collect();
        let mut live: HashMap<PackId, BTreeSet<u32>> = HashMap::new();
        let mut blob = |pack: PackId, frame: FrameNo| {
            live.entry(pack).or_default().extend([frame.0, frame.0 + 1]);
        };
        let mut chunks: HashMap<PackId, BTreeSet<u32>> = HashMap::new();
        for span in spans {
            let row = spans_ending(view, span.machine, span.to)?.into_iter().find(|(s, _)| *s == span);
            let row = row.ok_or(VaultError::NoWay)?.1;
            blob(row.pack, row.frame);
            let run = Run::open(view, &self.packs, span)?;
            run.block_frames().into_iter().for_each(|(pack, frame)| blob(pack, frame));
            run.for_each_block(&self.packs, |extents| {
                for extent in extents {
                    if let Content::Data { pack, chunk, .. } = extent.content
                        && partial.contains_key(&pack)
                    {
                        chunks.entry(pack).or_default().insert(chunk.0);
                    }
                }
                Ok(())
            })?;
        }
        for (pack, chunks) in chunks {
            let reader = self.packs.open_at(pack, false)?;
            for chunk in chunks {
                let (frame, _, _) = reader.locate(backstay_format::units::ChunkNo(chunk))?;
                live.entry(pack).or_default().insert(frame.0);
            }
        }
        Ok(live)
    }

    /// Objects of packs that no row names and no capture under way can be about to commit.
    fn orphans(&self, view: &View) -> Result<Vec<(ObjectId, u64)>, VaultError> {
        let named = objects_named(view)?;
        let listed = self.seams.home.list(&key(&names::packs(&self.name)))?;
        let objects = listed.iter().filter_map(|l| Some((names::pack_object_of(l.key.as_str())?, l.size)));
        Ok(objects.filter(|(id, _)| !named.contains_key(id) && !self.is_young(id.0)).collect())
    }

    /// Carries out a plan, step by step; each step is decided anew on the newest rows, so what changed since is respected.
    /// `stop` is asked between steps.
    ///
    /// # Errors
    /// [`VaultError`]; steps done stay done.
    pub fn reclaim(&self, plan: &ReclaimPlan, stop: &dyn Fn() -> bool) -> Result<Reclaimed, VaultError> {
        let mut done = Reclaimed::default();
        for batch in plan.dead.chunks(256) {
            self.delete_packs(batch, &mut done)?;
            check_stop(stop)?;
        }
        for (pack, ..) in &plan.shrink {
            self.shrink_pack(*pack, (&plan.keep[pack], &plan.needed_by[pack]), &mut done)?;
            check_stop(stop)?;
        }
        for (object, size) in &plan.orphans {
            self.delete_orphan(*object, *size, &mut done)?;
            check_stop(stop)?;
        }
        self.clear_suspects(plan)?;
        self.repack_bundles(stop)?;
        self.ledger.fold_if_due()?;
        self.table.fold_if_due()?;
        Ok(done)
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
    fn repack_bundles(&self, stop: &dyn Fn() -> bool) -> Result<(), VaultError> {
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
            check_stop(stop)?;
        }
        Ok(())
    }
}

fn check_stop(stop: &dyn Fn() -> bool) -> Result<(), VaultError> {
    if stop() { Err(VaultError::Cancelled) } else { Ok(()) }
}

/// The spans that refer to a pack.
fn referring(view: &View, pack: PackId) -> Result<Vec<SpanId>, VaultError> {
    let rows = view.prefix(&[b"r", &pack.0[..]].concat())?;
    let span = |(key, _): &(Vec<u8>, Vec<u8>)| match row_key(key)? {
        RowKey::Ref(_, span) => Ok(span),
        _ => Err(VaultError::NoWay),
    };
    rows.iter().map(span).collect()
}
