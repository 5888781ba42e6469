//! Many small packs into one object: points every few seconds would else be thousands of tiny objects.
//!
//! A pack moves as it is: its bytes, its key, its numbers. Only the row that says where it lies changes.
//! Never knows: what is in packs.

use std::collections::{BTreeMap, BTreeSet};

use backstay_env::objects::ObjectError;
use backstay_format::names;
use backstay_format::rows::{PackRow, RowKey};
use backstay_format::units::{ObjectId, PackId};
use backstay_store::ingest::NewPack;
use backstay_store::ledger::View;
use backstay_store::pack::aged_id;

use crate::open::key;
use crate::rows::{decoded, pack_row, row_key, set};
use crate::{Vault, VaultError};

/// A pack below this is small.
const SMALL: u64 = 1 << 20;
/// So many small packs make a bundle.
const ENOUGH: usize = 64;
/// A bundle holds at most so many bytes.
const MOST: u64 = 32 << 20;

impl Vault {
    /// Remembers packs that were committed, by entry `seq`.
    pub(crate) fn note_packs(&self, packs: &[NewPack], seq: u64) -> Result<(), VaultError> {
        let mut index = self.lock_index();
        packs.iter().try_for_each(|p| index.add(p))?;
        index.committed(packs.iter().map(|p| p.id), seq);
        index.settle()
    }

    /// Puts small packs together, if there are enough of them.
    pub(crate) fn bundle_small(&self) -> Result<(), VaultError> {
        let small = {
            let mut index = self.lock_index();
            if index.small_packs().len() < ENOUGH {
                return Ok(());
            }
            index.take_small_packs()
        };
        let view = self.ledger.view();
        let mut batch = Vec::new();
        let mut bytes = 0;
        for pack in small {
            let Some(row) = pack_row(&view, pack)?.filter(is_small) else { continue };
            if bytes + row.len > MOST {
                self.bundle(std::mem::take(&mut batch))?;
                bytes = 0;
            }
            bytes += row.len;
            batch.push((pack, row));
        }
        self.bundle(batch)
    }

    /// Writes packs, one after the other, into a new object; commits their places; deletes the objects they leave empty.
    pub(crate) fn bundle(&self, packs: Vec<(PackId, PackRow)>) -> Result<(), VaultError> {
        if packs.len() < 2 {
            return Ok(());
        }
        let mut bodies = Vec::with_capacity(packs.len());
        // Objects that the packs leave behind: with nothing else in them, or perhaps with others.
        let (mut empty, mut shared) = (BTreeSet::new(), BTreeSet::new());
        for (_, row) in &packs {
            match self.read_pack_in(row) {
                Ok((body, alone)) => {
                    bodies.push(body);
                    if alone {
                        empty.insert(row.object)
                    } else {
                        shared.insert(row.object)
                    };
                }
                // Moved or deleted meanwhile: another time.
                Err(VaultError::Home(ObjectError::NotFound(_) | ObjectError::Short(_))) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        let object = ObjectId(aged_id(&*self.seams.clock, &*self.seams.random));
        let parts: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
        self.seams.home.put_new(&key(&names::pack_object(&self.name, object)), &parts)?;
        let outcome = self.ledger.commit(("bundle", self.seams.clock.now()), |view| {
            if view.get(&RowKey::Banned(object).encode())?.is_some() {
                return Err(VaultError::Overtaken);
            }
            let mut offset = 0;
            let mut changes = Vec::new();
            for (pack, row) in &packs {
                if pack_row(view, *pack)? != Some(*row) {
                    return Err(VaultError::Overtaken);
                }
                changes.push(set(RowKey::Pack(*pack), PackRow { object, offset, ..*row }.encode()));
                offset += row.len;
            }
            Ok(changes)
        });
        match outcome.map_err(VaultError::from) {
            Ok(view) => {
                self.saw_commit(view.seq());
                // To ask all rows would cost the more the longer the timeline is.
                for object in &empty {
                    self.seams.home.delete(&key(&names::pack_object(&self.name, *object)))?;
                }
                self.delete_unnamed(&shared)
            }
            // Nothing names it.
            Err(VaultError::Overtaken) => self.delete_unnamed(&BTreeSet::from([object])),
            Err(error) => Err(error),
        }
    }

    /// A commit of ours that changed no chunk's place.
    fn saw_commit(&self, seq: u64) {
        self.lock_index().committed([], seq);
    }

    pub(crate) fn read_pack_bytes(&self, row: &PackRow) -> Result<Vec<u8>, VaultError> {
        self.read_pack_in(row).map(|(body, _)| body)
    }

    /// A pack's bytes, and whether its object holds nothing else.
    fn read_pack_in(&self, row: &PackRow) -> Result<(Vec<u8>, bool), VaultError> {
        let object = self.seams.home.open(&key(&names::pack_object(&self.name, row.object)))?;
        let mut body = vec![0; usize::try_from(row.len).unwrap_or(usize::MAX)];
        object.read_at(row.offset, &mut body)?;
        Ok((body, row.offset == 0 && object.size() == row.len))
    }

    /// Deletes those of some objects of this process, or once committed ones, that no row names any more.
    pub(crate) fn delete_unnamed(&self, objects: &BTreeSet<ObjectId>) -> Result<(), VaultError> {
        if objects.is_empty() {
            return Ok(());
        }
        let named = objects_named(self.ledger.refresh()?.as_ref())?;
        for object in objects.iter().filter(|o| !named.contains_key(*o)) {
            self.seams.home.delete(&key(&names::pack_object(&self.name, *object)))?;
        }
        Ok(())
    }
}

/// Whether a pack is small and alone in its object.
pub(crate) fn is_small(row: &PackRow) -> bool {
    row.offset == 0 && row.len < SMALL
}

/// The packs in each object that holds any.
pub(crate) fn objects_named(view: &View) -> Result<BTreeMap<ObjectId, Vec<(PackId, PackRow)>>, VaultError> {
    let mut objects: BTreeMap<ObjectId, Vec<(PackId, PackRow)>> = BTreeMap::new();
    for (key, value) in view.prefix(b"k")? {
        if let RowKey::Pack(pack) = row_key(&key)? {
            let row = decoded("pack", PackRow::decode(&value))?;
            objects.entry(row.object).or_default().push((pack, row));
        }
    }
    Ok(objects)
}
