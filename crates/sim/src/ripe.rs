//! Stores with a history, so that a short run comes to folds, summaries and bundles.
//!
//! Never knows: faults.

use std::sync::{Arc, OnceLock};

use backstay_env::objects::{Key, Objects as _};
use backstay_env::sim::clock::SimClock;
use backstay_env::sim::objects::SimObjects;
use backstay_env::sim::random::{Dice, SimRandom};
use backstay_format::keys::Argon2Cost;
use backstay_store::ingest::Tuning;
use backstay_vault::{Seams, Vault};

use crate::Violation;
use crate::act::{Act, Prepared, perform};
use crate::disk::{Disk, PAGE, Shot};
use crate::model::Effect;

pub(crate) const VAULT: &str = "main";
pub(crate) const PASSPHRASE: &[u8] = b"simulated";
pub(crate) const COST: Argon2Cost = Argon2Cost { memory_kib: 8, passes: 1, lanes: 1 };

/// Small frames and packs, so that small disks have several; nothing but the caller's thread.
pub(crate) const TUNING: Tuning = Tuning { threads: 0, level: 1, frame_pages: 6, pack_plain: 48 << 10 };

/// The machine of a store with a history.
pub(crate) const MACHINE: &str = "alpha";
pub(crate) const DISK: &str = "sda";
/// No disk of it is larger.
pub(crate) const MOST: u64 = 24 * PAGE;

/// A store with a history.
pub(crate) struct Ripe {
    pub(crate) objects: Vec<(Key, Vec<u8>)>,
    /// Points of `alpha`, from number 1.
    pub(crate) shots: Vec<Arc<Shot>>,
    /// Its disk as it was last.
    pub(crate) image: Vec<u8>,
}

/// Points in the histories there are.
const LENGTHS: [usize; 3] = [14, 61, 126];

/// One of the stores with a history.
///
/// # Errors
/// If none could be made.
pub(crate) fn ripe(which: u64) -> Result<&'static Ripe, Violation> {
    static ALL: [OnceLock<Result<Ripe, Violation>>; 3] = [const { OnceLock::new() }; 3];
    let index = (which % 3) as usize;
    ALL[index].get_or_init(|| make(LENGTHS[index])).as_ref().map_err(Clone::clone)
}

fn make(points: usize) -> Result<Ripe, Violation> {
    let failed = |e: &dyn std::fmt::Display| Violation(format!("a store with {points} points could not be made: {e}"));
    let home = SimObjects::seeded(points as u64);
    let seams = Seams {
        home: Arc::new(home.clone()),
        index_home: Arc::new(SimObjects::seeded(0)),
        clock: Arc::new(SimClock::seeded(points as u64)),
        random: Arc::new(SimRandom::seeded(points as u64)),
    };
    Vault::create_with(&seams, VAULT, PASSPHRASE, COST).map_err(|e| failed(&e))?;
    let vault = Vault::open(seams, VAULT, PASSPHRASE).map_err(|e| failed(&e))?.with_tuning(TUNING);
    let mut dice = Dice::seeded(points as u64);
    let mut disk = Disk::new(DISK, 8 * PAGE, MOST);
    let mut shots = Vec::new();
    for number in 1..=points as u64 {
        disk.scribble(&mut dice, &[])?;
        let (ready, shot) = disk.ready(&mut dice)?;
        let shot = Arc::new(Shot(vec![shot]));
        let prepared = Prepared { machine: MACHINE.to_owned(), disks: vec![ready], shot: shot.clone(), every: 0 };
        let done = perform(&vault, &Act::Protect(prepared));
        if !matches!(done.effect, Some(Effect::Made(made, _)) if made == number) {
            return Err(failed(&format!("{:?}", done.error)));
        }
        let settled = perform(&vault, &Act::Settle(MACHINE.to_owned()));
        settled.error.map_or(Ok(()), |e| Err(failed(&e)))?;
        shots.push(shot);
    }
    disk.volume.mend();
    Ok(Ripe { objects: objects_of(&home)?, shots, image: disk.image().to_vec() })
}

/// All objects of a home.
pub(crate) fn objects_of(home: &SimObjects) -> Result<Vec<(Key, Vec<u8>)>, Violation> {
    let failed = |e: backstay_env::objects::ObjectError| Violation(format!("a simulated home failed: {e}"));
    let key = |name: &str| Key::new(name).ok_or_else(|| Violation(format!("{name} is no key")));
    let mut objects = Vec::new();
    let header = key("backstay.store")?;
    if let Ok(body) = home.get(&header) {
        objects.push((header, body));
    }
    for listed in home.list(&key("vault")?).map_err(failed)? {
        let body = home.get(&listed.key).map_err(failed)?;
        objects.push((listed.key, body));
    }
    Ok(objects)
}
