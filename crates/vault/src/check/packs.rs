//! Checking packs: their tables, and with them every frame.
//!
//! Never knows: who refers to them.

use std::collections::{BTreeSet, HashMap};

use backstay_env::objects::ObjectError;
use backstay_format::names;
use backstay_format::pack::FrameKind;
use backstay_format::rows::{PackRow, RowKey};
use backstay_format::units::{ChunkNo, FrameNo, ObjectId, PackId};
use backstay_seal::compress::Decompressor;
use backstay_store::ledger::View;
use backstay_timeline::extent::Content;

use super::Findings;
use crate::open::key;
use crate::rows::{decoded, pack_row, row_key};
use crate::{Vault, VaultError};

/// Chunks that cannot be had.
#[derive(Default)]
pub(super) struct Bad {
    packs: BTreeSet<PackId>,
    chunks: BTreeSet<(PackId, ChunkNo)>,
}

impl Bad {
    pub(super) fn has(&self, content: &Content) -> bool {
        match content {
            Content::Data { pack, chunk, .. } => self.packs.contains(pack) || self.chunks.contains(&(*pack, *chunk)),
            _ => false,
        }
    }
}

/// Whether a pack is there, by the listing.
#[derive(Clone, Copy)]
enum Presence {
    Whole,
    /// Its object ends before it does: what is lost is seen when it is read, perhaps no more than the second footer.
    Short,
    Missing,
}

impl Presence {
    fn of(row: &PackRow, size: Option<u64>) -> Presence {
        match size {
            None => Presence::Missing,
            Some(size) if row.offset + row.len <= size => Presence::Whole,
            Some(_) => Presence::Short,
        }
    }
}

impl Vault {
    pub(super) fn check_packs(
        &self,
        view: &View,
        read_data: bool,
        findings: &mut Findings,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Bad, VaultError> {
        let listed = self.seams.home.list(&key(&names::packs(&self.name)))?;
        let sizes: HashMap<ObjectId, u64> =
            listed.iter().filter_map(|l| Some((names::pack_object_of(l.key.as_str())?, l.size))).collect();
        let mut bad = Bad::default();
        let rows = view.prefix(b"k")?;
        for (index, (key, value)) in rows.iter().enumerate() {
            let RowKey::Pack(pack) = row_key(key)? else { continue };
            let row = decoded("pack", PackRow::decode(value))?;
            progress(index as u64, rows.len() as u64);
            findings.packs += 1;
            let there = Presence::of(&row, sizes.get(&row.object).copied());
            self.check_pack_as_it_is(pack, (row, there), read_data, (&mut bad, findings))?;
        }
        Ok(bad)
    }

    /// Checks a pack, twice if something is wrong with it: others may have moved or reclaimed it meanwhile, and only what is wrong
    /// with it as it is counts.
    fn check_pack_as_it_is(
        &self,
        pack: PackId,
        (mut row, mut there): (PackRow, Presence),
        read_data: bool,
        (bad, findings): (&mut Bad, &mut Findings),
    ) -> Result<(), VaultError> {
        for look in 0.. {
            let (mut bad_here, mut found) = (Bad::default(), Findings::default());
            match there {
                Presence::Missing => {
                    found.defects.push(format!("pack {pack}: object {} is missing", row.object));
                    bad_here.packs.insert(pack);
                }
                Presence::Short => {
                    found.defects.push(format!("pack {pack}: object {} is too short", row.object));
                    self.check_pack(pack, &row, read_data, (&mut bad_here, &mut found))?;
                }
                Presence::Whole => self.check_pack(pack, &row, read_data, (&mut bad_here, &mut found))?,
            }
            if !found.defects.is_empty() {
                let Some(now) = pack_row(&*self.newest_readable()?, pack)? else { return Ok(()) };
                if now != row || look == 0 {
                    there = if now == row { there } else { Presence::Whole };
                    row = now;
                    continue;
                }
            }
            bad.packs.append(&mut bad_here.packs);
            bad.chunks.append(&mut bad_here.chunks);
            findings.defects.append(&mut found.defects);
            findings.bytes += found.bytes;
            break;
        }
        Ok(())
    }

    fn check_pack(
        &self,
        pack: PackId,
        row: &PackRow,
        read_data: bool,
        (bad, findings): (&mut Bad, &mut Findings),
    ) -> Result<(), VaultError> {
        let reader = match self.packs.open_at(pack, false) {
            Ok(reader) => reader,
            Err(error) if error.is_damage() => {
                findings.defects.push(error.to_string());
                bad.packs.insert(pack);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        if !read_data {
            return Ok(());
        }
        findings.defects.extend(self.check_ends(pack, row)?);
        let mut zstd = Decompressor::default();
        let mut first_chunk = 0;
        for (number, frame) in reader.table().frames.iter().enumerate() {
            let frame_no = FrameNo(number as u32);
            if !frame.is_gone() {
                match reader.read_frame(frame_no, self.packs.namer(), &mut zstd) {
                    Ok(_) => findings.bytes += u64::from(frame.stored),
                    Err(error) if error.is_damage() => {
                        findings.defects.push(error.to_string());
                        if let FrameKind::Chunks(count) = frame.kind {
                            bad.chunks.extend((first_chunk..first_chunk + count).map(|c| (pack, ChunkNo(c))));
                        }
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            first_chunk += frame.chunks();
        }
        Ok(())
    }

    /// The parts of a pack that are not needed as long as the rest is whole: header, both footers, trailer.
    fn check_ends(&self, pack: PackId, row: &PackRow) -> Result<Vec<String>, VaultError> {
        let bytes = match self.read_pack_bytes(row) {
            Ok(bytes) => bytes,
            Err(VaultError::Home(ObjectError::NotFound(_) | ObjectError::Short(_))) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let key = backstay_store::packs::PackCatalogue::find(&*self.catalogue, pack, false)?.1;
        let found = backstay_store::pack::check_ends(&bytes, (self.store, pack), row.footer as usize, &key);
        Ok(found.into_iter().map(|what| format!("pack {pack}: {what}")).collect())
    }
}
