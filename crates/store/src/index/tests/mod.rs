//! The index against a model, in simulated homes.
//!
//! Model: the packs that the owner wants covered, each with all its chunks. Always, whatever happened to the home:
//! 1. what is covered is a writing that someone inserted and that was not forgotten since;
//! 2. a chunk of a covered writing is found, at one of its places in covered writings;
//! 3. a chunk that is in no covered writing is not found;
//! 4. after the owner inserted what is not covered, everything wanted is covered.
//!
//! And once there is nothing left to merge: every object on the home belongs to a run in use.

mod crash;
mod damage;
mod model;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use backstay_env::objects::{Key, Objects};
use backstay_env::sim::objects::SimObjects;
use backstay_env::sim::random::{Dice, SimRandom};
use backstay_format::units::{ChunkId, ChunkNo, PackId, StoreId};

use super::{Index, IndexError, Limits, Place, Writing};

const STORE: StoreId = StoreId([7; 16]);

/// So small that a few packs make parts of several blocks, and runs of several parts.
const SMALL: Limits = Limits { memtable: 300, part: 400, fan_out: 3, runs: 12 };

type Chunks = Vec<(ChunkNo, ChunkId)>;
type Packs = BTreeMap<Writing, Chunks>;

fn prefix() -> Key {
    Key::new("vault/main/index").unwrap()
}

fn try_open(home: &SimObjects, seed: u64) -> Result<Index, IndexError> {
    let random = Arc::new(SimRandom::seeded(seed));
    Index::open(Arc::new(home.clone()), prefix(), STORE, SMALL, random)
}

fn open(home: &SimObjects, seed: u64) -> Index {
    try_open(home, seed).unwrap()
}

fn random_id(dice: &mut Dice) -> ChunkId {
    let mut id = [0; 32];
    dice.fill(&mut id);
    ChunkId(id)
}

fn writing(pack: u64, stamp: u64) -> Writing {
    let mut id = [0; 16];
    // Not in the order of their numbers.
    id[..8].copy_from_slice(&pack.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    Writing { pack: PackId(id), stamp }
}

/// A pack of up to `most` new chunks; of those a few have gone, so that numbers have gaps.
fn random_pack(dice: &mut Dice, most: u64) -> Chunks {
    let count = dice.below(most + 1) as u32;
    let numbers = (0..count).filter(|n| n % 7 != 3);
    numbers.map(|n| (ChunkNo(n), random_id(dice))).collect()
}

/// `count` packs with new chunks.
fn random_packs(dice: &mut Dice, count: u64) -> Packs {
    (0..count).map(|n| (writing(n, 0), random_pack(dice, 120))).collect()
}

fn insert_all(index: &mut Index, packs: &Packs) {
    for (writing, chunks) in packs {
        index.insert_pack(*writing, chunks.iter().copied()).unwrap();
    }
}

fn merge_all(index: &mut Index) {
    let mut steps = 0;
    while index.merge_step().unwrap() {
        steps += 1;
        assert!(steps < 10_000, "merging comes to no end");
    }
}

/// What an owner does after opening: forgets what it does not want, and inserts what is missing.
fn sync(index: &mut Index, wanted: &Packs) -> Result<(), IndexError> {
    let covered: HashSet<Writing> = index.packs().collect();
    index.forget(&covered.iter().filter(|w| !wanted.contains_key(w)).copied().collect());
    for (writing, chunks) in wanted {
        index.insert_pack(*writing, chunks.iter().copied())?;
    }
    Ok(())
}

/// Looks up every chunk of `known`, twice, for what a lookup finds damaged is not covered any more; then compares.
fn check(index: &Index, known: &Packs, wanted: &Packs) {
    let ids: BTreeSet<ChunkId> = known.values().flatten().map(|(_, id)| *id).collect();
    let ids: Vec<ChunkId> = ids.into_iter().collect();
    ids.iter().for_each(|id| _ = index.lookup(id));
    let covered: BTreeSet<Writing> = index.packs().collect();
    let mut places: BTreeMap<ChunkId, Vec<Place>> = BTreeMap::new();
    for writing in &covered {
        assert!(index.covers(writing));
        let chunks = wanted.get(writing).expect("only what is wanted is covered");
        for (chunk, id) in chunks {
            let pack = writing.pack;
            places.entry(*id).or_default().push(Place { pack, chunk: *chunk });
        }
    }
    let many = index.lookup_many(&ids);
    assert_eq!(many.len(), ids.len());
    for (id, many) in ids.iter().zip(many) {
        let right = places.get(id).map_or(&[][..], Vec::as_slice);
        for found in [index.lookup(id), many] {
            match found {
                Some(place) => assert!(right.contains(&place), "{id} is not at {place:?}"),
                None => assert!(right.is_empty(), "{id} is not found"),
            }
        }
    }
    let mut dice = Dice::seeded(!(known.len() as u64));
    let strange: Vec<ChunkId> = (0..100).map(|_| random_id(&mut dice)).collect();
    assert!(strange.iter().all(|id| index.lookup(id).is_none()));
    assert!(index.lookup_many(&strange).iter().all(Option::is_none));
}

/// All of `wanted` is covered.
fn check_all(index: &Index, wanted: &Packs) {
    check(index, wanted, wanted);
    let covered: BTreeSet<Writing> = index.packs().collect();
    assert!(wanted.keys().eq(&covered));
}

/// Merges until nothing is left to do, also for those who look later, and checks that nothing else is on the home.
fn check_tidy(home: &SimObjects, index: &mut Index) {
    for _ in 0..3 {
        merge_all(index);
        index.refresh().unwrap();
    }
    merge_all(index);
    let keys: BTreeSet<Key> = home.list(&prefix()).unwrap().into_iter().map(|o| o.key).collect();
    let mut used = BTreeSet::new();
    for run in &index.runs {
        used.insert(index.site.root_key(run.id));
        used.extend(run.found().parts.iter().map(|part| index.site.part_key(run.id, *part)));
    }
    assert_eq!(keys, used);
}
