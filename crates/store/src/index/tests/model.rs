//! Without faults: everything the owner can do, in any order.

use super::super::{Dropped, Fault};
use super::*;

/// One owner, of several that use the same home, and what is in every pack that ever was.
struct Owner {
    home: SimObjects,
    index: Index,
    dice: Dice,
    known: Packs,
    wanted: Packs,
    next_pack: u64,
    /// Other processes so far.
    others: u32,
}

impl Owner {
    fn new(seed: u64) -> Owner {
        let home = SimObjects::seeded(seed);
        Owner {
            index: open(&home, seed),
            home,
            dice: Dice::seeded(seed),
            known: Packs::new(),
            wanted: Packs::new(),
            next_pack: 0,
            others: 0,
        }
    }

    fn act(&mut self) {
        match self.dice.below(16) {
            0..5 => self.insert(),
            5 => self.insert_again(),
            6 => self.write_again(),
            7 => self.forget(),
            8 => self.index.flush().unwrap(),
            9 => self.reopen(),
            10 => self.index.refresh().unwrap(),
            11 => self.another_process(),
            _ => _ = self.index.merge_step().unwrap(),
        }
    }

    fn insert(&mut self) {
        let mut chunks = random_pack(&mut self.dice, 200);
        // Some chunks are in other packs already.
        let others: Vec<ChunkId> = self.known.values().flatten().map(|(_, id)| *id).collect();
        for (_, id) in chunks.iter_mut().filter(|(n, _)| n.0 % 5 == 0 && !others.is_empty()) {
            *id = others[self.dice.below(others.len() as u64) as usize];
        }
        self.next_pack += 1;
        self.add(writing(self.next_pack, 0), chunks);
    }

    fn add(&mut self, writing: Writing, chunks: Chunks) {
        self.index.insert_pack(writing, chunks.iter().copied()).unwrap();
        self.known.insert(writing, chunks.clone());
        self.wanted.insert(writing, chunks);
    }

    fn pick(&mut self) -> Option<Writing> {
        let count = self.wanted.len() as u64;
        let at = (count > 0).then(|| self.dice.below(count) as usize)?;
        self.wanted.keys().nth(at).copied()
    }

    fn insert_again(&mut self) {
        if let Some(writing) = self.pick() {
            let chunks = self.wanted[&writing].clone();
            self.add(writing, chunks);
        }
    }

    /// Space is reclaimed: the pack is written again with fewer chunks.
    fn write_again(&mut self) {
        if let Some(old) = self.pick() {
            let mut chunks = self.wanted.remove(&old).unwrap();
            chunks.retain(|(n, _)| n.0 % 2 == 0);
            self.index.forget(&HashSet::from([old]));
            let stamp = old.stamp + 1;
            self.add(Writing { stamp, ..old }, chunks);
        }
    }

    /// Of several packs; one of them comes back at once.
    fn forget(&mut self) {
        let picks: HashSet<Writing> = (0..5).filter_map(|_| self.pick()).collect();
        self.index.forget(&picks);
        for writing in &picks {
            assert!(!self.index.covers(writing));
            self.wanted.remove(writing);
        }
        if let Some(back) = picks.iter().min() {
            let chunks = self.known[back].clone();
            self.add(*back, chunks);
        }
    }

    /// The process ends without a word, and starts again.
    fn reopen(&mut self) {
        let seed = self.dice.roll();
        self.index = open(&self.home, seed);
        sync(&mut self.index, &self.wanted).unwrap();
    }

    /// Another process does the same, to its end.
    fn another_process(&mut self) {
        let seed = self.dice.roll();
        self.others += 1;
        let home = self.home.another_process();
        let mut other = open(&home, seed);
        sync(&mut other, &self.wanted).unwrap();
        check_all(&other, &self.wanted);
        other.flush().unwrap();
        (0..self.dice.below(20)).for_each(|_| _ = other.merge_step().unwrap());
    }
}

#[test]
fn everything_in_any_order() {
    for seed in 0..40 {
        let mut owner = Owner::new(seed);
        for _ in 0..60 {
            owner.act();
            // After another process deleted runs that it merged, a refresh may show fewer packs for a moment.
            sync(&mut owner.index, &owner.wanted).unwrap();
            check(&owner.index, &owner.known, &owner.wanted);
            assert!(owner.wanted.keys().all(|w| owner.index.covers(w)));
        }
        owner.index.flush().unwrap();
        check_tidy(&owner.home, &mut owner.index);
        check_all(&owner.index, &owner.wanted);
        let dropped = owner.index.stats().dropped;
        let in_vain = |run: &Dropped| owner.others > 0 && matches!(run.why, Fault::Missing);
        assert!(dropped.iter().all(in_vain), "{dropped:?}");
        // All that was covered is on the home.
        owner.index = open(&owner.home, seed);
        let covered: HashSet<Writing> = owner.index.packs().collect();
        assert!(owner.wanted.keys().all(|w| covered.contains(w)));
    }
}

#[test]
fn an_index_starts_empty_and_keeps_what_was_flushed() {
    let home = SimObjects::seeded(1);
    let mut index = open(&home, 1);
    let packs = random_packs(&mut Dice::seeded(1), 2);
    index.flush().unwrap();
    assert!(home.list(&prefix()).unwrap().is_empty());
    check_all(&index, &Packs::new());
    insert_all(&mut index, &packs);
    check_all(&index, &packs);
    assert_eq!(index.stats().unwritten, packs.values().flatten().count() as u64);
    check_all(&open(&home, 2), &Packs::new());
    index.flush().unwrap();
    check_all(&index, &packs);
    check_all(&open(&home, 2), &packs);
    // A small index is one small object.
    assert_eq!(home.list(&prefix()).unwrap().len(), 1);
    assert_eq!(index.stats().stored, home.used());
}

#[test]
fn packs_without_chunks_are_covered() {
    let home = SimObjects::seeded(1);
    let mut index = open(&home, 1);
    let packs: Packs = (0..4).map(|n| (writing(n, 0), Chunks::new())).collect();
    for writing in packs.keys() {
        index.insert_pack(*writing, []).unwrap();
        index.flush().unwrap();
    }
    check_all(&index, &packs);
    check_tidy(&home, &mut index);
    check_all(&open(&home, 2), &packs);
}

/// Ids that nobody's hash gives, but a liar may.
#[test]
fn ids_that_begin_alike() {
    let mut dice = Dice::seeded(3);
    let mut packs = Packs::new();
    for n in 0..12 {
        // Of 100 ids each, 20 are the same in all packs, and 60 differ only in their second half.
        let chunks = (0..100).map(|at| {
            let mut id = random_id(&mut dice);
            if at < 80 {
                id.0[..8].fill(0x55);
            }
            if at < 20 {
                id.0[8..].fill(0x66);
            }
            (ChunkNo(at), id)
        });
        packs.insert(writing(n, 0), chunks.collect());
    }
    let home = SimObjects::seeded(1);
    let mut index = open(&home, 1);
    insert_all(&mut index, &packs);
    check_all(&index, &packs);
    index.flush().unwrap();
    merge_all(&mut index);
    check_all(&index, &packs);
    // One place after the other goes, until none is left.
    while let Some((gone, _)) = packs.pop_first() {
        index.forget(&HashSet::from([gone]));
        check_all(&index, &packs);
    }
}

#[test]
fn an_owner_who_never_merges_gets_no_more_runs_than_the_limit() {
    let home = SimObjects::seeded(1);
    let mut index = open(&home, 1);
    let packs = random_packs(&mut Dice::seeded(1), 300);
    for (writing, chunks) in &packs {
        insert_all(&mut index, &Packs::from([(*writing, chunks.clone())]));
        assert!(index.runs.len() <= SMALL.runs);
        assert!(index.memtable.len() < SMALL.memtable);
    }
    check_all(&index, &packs);
}

#[test]
fn space_of_forgotten_packs_is_freed() {
    let home = SimObjects::seeded(1);
    let mut index = open(&home, 1);
    let mut packs = random_packs(&mut Dice::seeded(1), 100);
    insert_all(&mut index, &packs);
    index.flush().unwrap();
    check_tidy(&home, &mut index);
    let before = home.used();
    let gone: HashSet<Writing> = packs.keys().step_by(4).copied().collect();
    let gone: HashSet<Writing> = packs.keys().filter(|w| !gone.contains(w)).copied().collect();
    packs.retain(|w, _| !gone.contains(w));
    index.forget(&gone);
    check_tidy(&home, &mut index);
    assert!(home.used() < before / 2, "{} of {before} bytes", home.used());
    check_all(&open(&home, 2), &packs);
    index.forget(&packs.keys().copied().collect());
    check_tidy(&home, &mut index);
    assert_eq!(home.used(), 0);
}

#[test]
fn lookups_from_many_threads() {
    let home = SimObjects::seeded(1);
    let mut index = open(&home, 1);
    let packs = random_packs(&mut Dice::seeded(1), 50);
    insert_all(&mut index, &packs);
    let index = &index;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| check_all(index, &packs));
        }
    });
}
