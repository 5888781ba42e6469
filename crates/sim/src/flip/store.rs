//! The store that is harmed: small, and with one of everything a store can have.
//!
//! Two machines, two disks; points made, dropped and reclaimed; content that is there twice, zeros, pages left out and pages
//! that could not be read; summaries, packs put together and packs made smaller; states of both ledgers, and entries after
//! them; a dedup index.
//! Never knows: what will happen to it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use backstay_env::objects::Objects as _;
use backstay_env::sim::clock::SimClock;
use backstay_env::sim::objects::SimObjects;
use backstay_env::sim::random::{Dice, SimRandom};
use backstay_env::sim::volume::SimVolume;
use backstay_env::volume::VolumeMut as _;
use backstay_format::keys::KeySlot;
use backstay_format::names;
use backstay_format::rows::PackRow;
use backstay_format::twin::{self, Kind};
use backstay_format::units::{PointNo, StoreId, VaultId};
use backstay_seal::Secret;
use backstay_seal::keys::VaultKeys;
use backstay_seal::passphrase;
use backstay_store::ledger::{Ledger, LedgerError, Place};
use backstay_vault::{Seams, Vault};

use crate::Violation;
use crate::act::{Act, Prepared, perform};
use crate::disk::{DiskShot, PAGE, Ready, Shot};
use crate::model::Effect;
use crate::ripe::{COST, PASSPHRASE, TUNING, VAULT};

pub(super) const ALPHA: &str = "alpha";
pub(super) const BETA: &str = "beta";

/// Points of alpha before most are dropped: enough for summaries, for a bundle, and for the index to be written.
const POINTS: u64 = 66;
/// Those that are kept: a summary that is needed lies between two of them.
const KEPT: [u64; 5] = [33, 49, 57, 65, 66];

/// By machine: its points and what their disks held.
pub(super) type Truth = BTreeMap<String, BTreeMap<u64, Arc<Shot>>>;

/// A store, and what is in it.
pub(super) struct Subject {
    pub(super) home: SimObjects,
    pub(super) truth: Truth,
    /// What only the newest entry of the ledger tells of: machine and point.
    pub(super) newest: (String, u64),
    /// Alpha as it is now, to be captured.
    pub(super) next: Prepared,
    folder: Folder,
}

/// What it takes to write a ledger's state before it is due.
struct Folder {
    store: StoreId,
    vault: VaultId,
    keys: VaultKeys,
}

/// A disk that is written to.
#[derive(Clone)]
struct Image {
    name: &'static str,
    bytes: Vec<u8>,
    /// Bytes that nothing uses, bytes that are left out, and bytes that cannot be read.
    unused: Range<u64>,
    excluded: Range<u64>,
    unreadable: Range<u64>,
}

fn failed(what: &str, why: &dyn std::fmt::Debug) -> Violation {
    Violation(format!("the store could not be made: {what}: {why:?}"))
}

/// The world as a process sees it that comes `days` after the store was made.
pub(super) fn seams(home: &SimObjects, days: i64) -> Seams {
    let clock = SimClock::seeded(1);
    clock.advance(days * 86_400_000_000_000);
    let home = Arc::new(home.clone());
    Seams {
        home: home.clone(),
        index_home: home,
        clock: Arc::new(clock),
        random: Arc::new(SimRandom::seeded(2 + days as u64)),
    }
}

impl Subject {
    /// Makes the store of a seed.
    ///
    /// # Errors
    /// It could not be made, or is not as intended.
    pub(super) fn make(seed: u64) -> Result<Subject, Violation> {
        let home = SimObjects::seeded(seed);
        let seams = Seams { random: Arc::new(SimRandom::seeded(seed)), ..seams(&home, 0) };
        Vault::create_with(&seams, VAULT, PASSPHRASE, COST).map_err(|e| failed("init", &e))?;
        let vault = Vault::open(seams, VAULT, PASSPHRASE).map_err(|e| failed("open", &e))?.with_tuning(TUNING);
        let folder = Folder::find(&home)?;
        let mut making = Making { vault, truth: Truth::new(), dice: Dice::seeded(seed) };
        let mut alpha = [making.image("sda", 10), making.image("sdb", 5)];
        let mut beta = [making.image("sda", 7)];
        making.history_of_alpha(&mut alpha)?;
        // What alpha had, too, and pages of zeros.
        beta[0].bytes[..4 * PAGE as usize].copy_from_slice(&alpha[0].bytes[..4 * PAGE as usize]);
        beta[0].bytes[4 * PAGE as usize..6 * PAGE as usize].fill(0);
        making.protect(BETA, &beta)?;
        folder.fold(&home)?;
        making.scribble(&mut beta[0], 5);
        beta[0].excluded = PAGE..2 * PAGE;
        making.protect(BETA, &beta)?;
        folder.fold(&home)?;
        making.scribble(&mut alpha[0], 3);
        alpha[1].unreadable = 2 * PAGE..2 * PAGE + 1;
        making.protect(ALPHA, &alpha)?;
        making.scribble(&mut beta[0], 0);
        let last = making.protect(BETA, &beta)?;
        making.scribble(&mut alpha[0], 7);
        // Known content: from the other machine, and from the other disk.
        let known = beta[0].bytes[..PAGE as usize].to_vec();
        alpha[0].bytes[PAGE as usize..2 * PAGE as usize].copy_from_slice(&known);
        let next = prepare(ALPHA, &alpha)?;
        Ok(Subject { home, truth: making.truth, newest: (BETA.to_owned(), last), next, folder })
    }

    /// Writes states of both ledgers of a home.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub(super) fn fold(&self, home: &SimObjects) -> Result<(), LedgerError> {
        self.folder.write_states(home)
    }

    /// Which bytes of objects of packs the ledger's rows name: by name of the object, in order.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub(super) fn named(&self) -> Result<BTreeMap<String, Vec<Range<usize>>>, Violation> {
        let ledger = self.folder.open(&self.home, "ledger", &self.folder.keys.ledger);
        let rows = ledger.and_then(|ledger| ledger.view().prefix(b"k")).map_err(|e| failed("rows", &e))?;
        let mut named: BTreeMap<String, Vec<Range<usize>>> = BTreeMap::new();
        for (_, value) in rows {
            let row = PackRow::decode(&value).map_err(|e| failed("a row", &e))?;
            let range = row.offset as usize..(row.offset + row.len) as usize;
            named.entry(names::pack_object(VAULT, row.object)).or_default().push(range);
        }
        named.values_mut().for_each(|ranges| ranges.sort_by_key(|range| range.start));
        Ok(named)
    }

    /// The newest entry of the ledger.
    ///
    /// # Errors
    /// The home failed.
    pub(super) fn newest_entry(&self) -> Result<String, Violation> {
        let entries = backstay_env::objects::Key::new(format!("{}/entry", names::ledger(VAULT, "ledger")));
        let listed = entries.and_then(|key| self.home.list(&key).ok()).unwrap_or_default();
        let last = listed.last().map(|l| l.key.as_str().to_owned());
        last.ok_or_else(|| Violation("the store has no ledger".to_owned()))
    }
}

impl Folder {
    /// As any reader comes to the keys: with the passphrase.
    fn find(home: &SimObjects) -> Result<Folder, Violation> {
        let name = names::key_slot(VAULT, 0);
        let key = backstay_env::objects::Key::new(&*name).ok_or_else(|| failed("key slot", &name))?;
        let object = home.get(&key).map_err(|e| failed(&name, &e))?;
        let twin = twin::decode(&object, Kind::KeySlot, None).map_err(|e| failed(&name, &e))?;
        let slot = KeySlot::decode(twin.payload).map_err(|e| failed(&name, &e))?;
        let root = passphrase::open_slot(twin.store, &slot, PASSPHRASE).map_err(|e| failed(&name, &e))?;
        Ok(Folder { store: twin.store, vault: slot.vault, keys: VaultKeys::derive(&root) })
    }

    fn open(&self, home: &SimObjects, domain: &str, key: &Secret) -> Result<Ledger, LedgerError> {
        let place = Place {
            home: Arc::new(home.clone()),
            folder: names::ledger(VAULT, domain),
            store: self.store,
            vault: self.vault,
            key: key.clone(),
        };
        Ledger::open(place, Arc::new(SimRandom::seeded(home.changes())))
    }

    fn write_states(&self, home: &SimObjects) -> Result<(), LedgerError> {
        self.open(home, "ledger", &self.keys.ledger)?.fold()?;
        self.open(home, "keytable", &self.keys.table)?.fold()?;
        Ok(())
    }

    fn fold(&self, home: &SimObjects) -> Result<(), Violation> {
        self.write_states(home).map_err(|e| failed("fold", &e))
    }
}

struct Making {
    vault: Vault,
    truth: Truth,
    dice: Dice,
}

impl Making {
    /// A disk whose pages compress well, but for one of them.
    fn image(&mut self, name: &'static str, pages: u64) -> Image {
        let mut image = Image {
            name,
            bytes: vec![0; (pages * PAGE) as usize - 1536],
            unused: 0..0,
            excluded: 0..0,
            unreadable: 0..0,
        };
        (0..pages).for_each(|page| self.scribble(&mut image, page));
        self.dice.fill(&mut image.bytes[PAGE as usize..2 * PAGE as usize]);
        image
    }

    /// Other content for a page.
    fn scribble(&mut self, image: &mut Image, page: u64) {
        let mut word = [0; 24];
        self.dice.fill(&mut word);
        let bytes = image.bytes.chunks_mut(PAGE as usize).nth(page as usize).unwrap_or_default();
        bytes.chunks_mut(word.len()).for_each(|part| part.copy_from_slice(&word[..part.len()]));
    }

    fn act(&self, act: &Act) -> Result<Option<Effect>, Violation> {
        let done = perform(&self.vault, act);
        done.error.map_or(Ok(done.effect), |e| Err(failed(&done.what, &e)))
    }

    fn protect(&mut self, machine: &str, images: &[Image]) -> Result<u64, Violation> {
        let prepared = prepare(machine, images)?;
        let Some(Effect::Made(number, shot)) = self.act(&Act::Protect(prepared))? else {
            return Err(failed("protect", &"no point was made"));
        };
        self.truth.entry(machine.to_owned()).or_default().insert(number, shot);
        Ok(number)
    }

    fn history_of_alpha(&mut self, disks: &mut [Image; 2]) -> Result<(), Violation> {
        for number in 1..=POINTS {
            let page = self.dice.below(10);
            self.scribble(&mut disks[0], page);
            disks[1].unused = if number == 57 { PAGE..3 * PAGE } else { 0..0 };
            self.protect(ALPHA, disks)?;
            self.act(&Act::Settle(ALPHA.to_owned()))?;
        }
        let machine = self.vault.machine(ALPHA).map_err(|e| failed("alpha", &e))?;
        let dropped: BTreeSet<PointNo> = (1..=POINTS).filter(|n| !KEPT.contains(n)).map(PointNo).collect();
        let plan = self.vault.plan_forget(&machine, &dropped).map_err(|e| failed("forget", &e))?;
        self.vault.forget(&plan).map_err(|e| failed("forget", &e))?;
        self.truth.entry(ALPHA.to_owned()).or_default().retain(|number, _| KEPT.contains(number));
        self.act(&Act::Consolidate(ALPHA.to_owned()))?;
        self.act(&Act::Reclaim)?;
        Ok(())
    }
}

/// A machine ready to be captured, and what is to come back.
fn prepare(machine: &str, images: &[Image]) -> Result<Prepared, Violation> {
    let (mut disks, mut shots) = (Vec::new(), Vec::new());
    for image in images {
        let size = image.bytes.len() as u64;
        let volume = SimVolume::new(size);
        volume.write_at(0, &image.bytes).map_err(|e| failed("a disk", &e))?;
        volume.make_unreadable(image.unreadable.clone());
        let mut shot =
            DiskShot { name: image.name.to_owned(), bytes: image.bytes.clone(), unreadable: BTreeSet::new() };
        shot.unreadable.extend(pages(&image.unreadable));
        for page in [&image.unused, &image.excluded, &image.unreadable].into_iter().flat_map(pages) {
            let end = ((page + 1) * PAGE).min(size);
            shot.bytes[(page * PAGE) as usize..end as usize].fill(0);
        }
        let used = [0..image.unused.start, image.unused.end..size];
        disks.push(Ready {
            name: image.name.to_owned(),
            volume: Arc::new(volume),
            used: used.into_iter().filter(|range| !range.is_empty()).collect(),
            excluded: [image.excluded.clone()].into_iter().filter(|range| !range.is_empty()).collect(),
        });
        shots.push(shot);
    }
    Ok(Prepared { machine: machine.to_owned(), disks, shot: Arc::new(Shot(shots)), every: 0 })
}

/// The pages that a range of bytes touches.
fn pages(bytes: &Range<u64>) -> Range<u64> {
    bytes.start / PAGE..bytes.end.div_ceil(PAGE)
}
