//! Writing spans: runs into packs, rows into the ledger.
//!
//! Never knows: why a span is written.

use backstay_format::keys::{DataKeyRow, TableKey};
use backstay_format::ledger::Change;
use backstay_format::rows::{RowKey, SpanId, SpanRow};
use backstay_format::units::PackId;
use backstay_scan::Cutting;
use backstay_store::ingest::{Ingest, NewPack, Tuning};
use backstay_store::ledger::View;
use backstay_timeline::run::RunBuilder;

use crate::rows::set;
use crate::{Vault, VaultError};

/// Bytes of plaintext of a pack of changes that are followed.
const SMALL_PACK: u64 = 8 << 20;
/// Threads at most that mostly wait.
const WAITING: usize = 16;
/// A frame of changes that are followed ends when it has so many pages.
const SMALL_FRAME: u32 = 32;

/// A run that was put into packs.
pub(crate) struct PutRun {
    pub(crate) row: SpanRow,
    /// Every pack that must live as long as the span.
    pub(crate) packs: Vec<PackId>,
}

impl PutRun {
    /// The rows of a span with this run.
    pub(crate) fn changes(&self, id: SpanId) -> Vec<Change> {
        let refs = self.packs.iter().map(|pack| set(RowKey::Ref(*pack, id), Vec::new()));
        refs.chain([set(RowKey::Span(id), self.row.encode())]).collect()
    }
}

/// Puts a run's blocks and root into the packs of an ingest.
pub(crate) fn put_run(ingest: &mut Ingest, run: RunBuilder, level: u32) -> PutRun {
    let built = run.finish(|block| {
        let place = ingest.put_blob(block);
        (place.pack, place.frame)
    });
    let root = ingest.put_blob(&built.root);
    let mut packs = built.packs;
    packs.push(root.pack);
    packs.sort_unstable();
    packs.dedup();
    let row = SpanRow { pack: root.pack, frame: root.frame, extents: built.extents, pages: built.pages, level };
    PutRun { row, packs }
}

impl Vault {
    /// Cuts and names the chunks of this vault.
    pub(crate) fn cutting(&self) -> Cutting {
        Cutting::new(&self.keys.cut, &self.keys.chunk)
    }

    pub(crate) fn new_ingest(&self) -> Ingest {
        self.ingest_with(self.tuning)
    }

    /// For changes that are followed: packs are written while later pages are read, and little memory is taken. Threads mostly wait
    /// for scattered pages, so there are more of them; and such pages gain little from each other's company in a frame.
    pub(crate) fn small_ingest(&self) -> Ingest {
        let Tuning { threads, level, frame_pages, pack_plain } = self.tuning;
        self.ingest_with(Tuning {
            threads: (threads * 2).min(WAITING),
            level,
            frame_pages: frame_pages.min(SMALL_FRAME),
            pack_plain: pack_plain.min(SMALL_PACK),
        })
    }

    fn ingest_with(&self, tuning: Tuning) -> Ingest {
        let seams = &self.seams;
        let world = (seams.clock.clone(), seams.random.clone());
        Ingest::new(seams.home.clone(), world, (self.store, &self.name), tuning)
    }

    /// Commits data keys: always before the packs that they open.
    pub(crate) fn commit_keys(&self, operation: &str, packs: &[NewPack]) -> Result<(), VaultError> {
        let (bucket, key) = &self.bucket;
        let row = |pack: &NewPack| {
            let sealed_key = key.seal_data_key(pack.id, &pack.secret, self.seams.salt());
            let value = DataKeyRow { bucket: *bucket, sealed_key }.encode();
            Change { key: TableKey::DataKey(pack.id).encode(), value: Some(value) }
        };
        let changes: Vec<Change> = packs.iter().map(row).collect();
        let now = self.seams.clock.now();
        self.table.commit::<VaultError>((operation, now), |_| Ok(changes.clone()))?;
        Ok(())
    }

    /// The rows that commit packs; refuses if one of their objects was banned meanwhile.
    pub(crate) fn pack_changes(view: &View, packs: &[NewPack]) -> Result<Vec<Change>, VaultError> {
        for pack in packs {
            if view.get(&RowKey::Banned(pack.row.object).encode())?.is_some() {
                return Err(VaultError::Overtaken);
            }
        }
        Ok(packs.iter().map(|p| set(RowKey::Pack(p.id), p.row.encode())).collect())
    }
}
