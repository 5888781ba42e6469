//! A part of a run: sorted blocks, the fences that lead to them, and a filter. Read in pieces, as lookups want them.
//!
//! ```text
//! part = block 0 ‖ block 1 ‖ ... ‖ fences ‖ filter
//! ```
//!
//! A fence is the first eight bytes of a block's first id, as u64; there is one for each block.
//!
//! Never knows: which packs entries speak of.

use std::sync::OnceLock;

use backstay_env::objects::Object;
use backstay_format::units::Digest;

use super::block::{self, BLOCK_ENTRIES, BLOCK_LEN, Block, BlockBuilder, Spot};
use super::entry::{Entry, ShortId};
use super::fault::Fault;
use super::filter::Filter;
use super::root::PartFacts;

/// A part that is open.
pub(super) struct Part {
    object: Box<dyn Object>,
    pub(super) facts: PartFacts,
    number: u32,
    seed: u64,
    tables: OnceLock<Tables>,
}

/// What of a part is held in memory once it was asked for anything.
struct Tables {
    fences: Vec<u64>,
    filter: Filter,
}

/// Room for the block that was read last: ids that are asked for in their order often want the same again.
pub(super) struct Scratch {
    /// Whose it is: seed of the run, part, block.
    held: Option<(u64, u32, u32)>,
    bytes: [u8; BLOCK_LEN],
}

impl Scratch {
    pub(super) fn new() -> Scratch {
        Scratch { held: None, bytes: [0; BLOCK_LEN] }
    }
}

impl Part {
    /// The object must be as long as the facts say, or longer if it is the last one.
    pub(super) fn new(object: Box<dyn Object>, facts: PartFacts, number: u32, seed: u64) -> Part {
        Part { object, facts, number, seed, tables: OnceLock::new() }
    }

    /// Whether the part may have an entry with this id.
    pub(super) fn may_hold(&self, id: ShortId) -> Result<bool, Fault> {
        Ok(self.tables()?.filter.may_hold(id))
    }

    /// The first entry with this id that `accept` takes.
    pub(super) fn find(
        &self,
        id: ShortId,
        scratch: &mut Scratch,
        mut accept: impl FnMut(&Entry) -> Result<bool, Fault>,
    ) -> Result<Option<Entry>, Fault> {
        let fences = &self.tables()?.fences;
        // The block whose fence is this very id may have a neighbour before it that ends with the same.
        let start = before(fences, id.high).saturating_sub(1);
        for (number, fence) in fences.iter().enumerate().skip(start) {
            if number > start && *fence > id.high {
                break;
            }
            for entry in self.block(number as u32, scratch)?.with_id(id) {
                if accept(&entry)? {
                    return Ok(Some(entry));
                }
            }
        }
        Ok(None)
    }

    fn block<'s>(&self, number: u32, scratch: &'s mut Scratch) -> Result<Block<'s>, Fault> {
        let held = Some((self.seed, self.number, number));
        if scratch.held == held {
            return Ok(block::trusted(&scratch.bytes, self.facts.entries_in(number)));
        }
        scratch.held = None;
        let offset = u64::from(number) * BLOCK_LEN as u64;
        self.object.read_at(offset, &mut scratch.bytes)?;
        let block = self.check(number, &scratch.bytes)?;
        scratch.held = held;
        Ok(block)
    }

    fn check<'b>(&self, number: u32, bytes: &'b [u8; BLOCK_LEN]) -> Result<Block<'b>, Fault> {
        let spot = Spot { seed: self.seed, part: self.number, block: number };
        let count = self.facts.entries_in(number);
        block::open(bytes, spot, count).ok_or(Fault::Damaged("a block"))
    }

    /// Appends the entries of blocks from `first` on, at most `blocks` of them, to `out`.
    pub(super) fn read(&self, first: u32, blocks: u32, out: &mut Vec<Entry>) -> Result<(), Fault> {
        let blocks = u64::from(blocks).min(self.facts.blocks().saturating_sub(first.into()));
        let mut bytes = vec![0; blocks as usize * BLOCK_LEN];
        self.object.read_at(u64::from(first) * BLOCK_LEN as u64, &mut bytes)?;
        let (blocks, _) = bytes.as_chunks::<BLOCK_LEN>();
        for (number, bytes) in (first..).zip(blocks) {
            out.extend(self.check(number, bytes)?.entries());
        }
        Ok(())
    }

    fn tables(&self) -> Result<&Tables, Fault> {
        if let Some(tables) = self.tables.get() {
            return Ok(tables);
        }
        // Two threads may both get here: then one reads in vain.
        let tables = self.load()?;
        Ok(self.tables.get_or_init(|| tables))
    }

    fn load(&self) -> Result<Tables, Fault> {
        // The object is at least as long, so this allocates no more than is there.
        let mut bytes = vec![0; self.facts.tables_len() as usize];
        self.object.read_at(self.facts.blocks_len(), &mut bytes)?;
        if Digest::of(&[&bytes]).short() != self.facts.tables {
            return Err(Fault::Damaged("a filter"));
        }
        let (fences, filter) = bytes.split_at(self.facts.blocks() as usize * 8);
        let (fences, _) = fences.as_chunks();
        Ok(Tables { fences: fences.iter().map(|f| u64::from_le_bytes(*f)).collect(), filter: Filter::decode(filter) })
    }

    /// Bytes in memory.
    pub(super) fn resident(&self) -> u64 {
        let of = |tables: &Tables| tables.fences.len() as u64 * 8 + tables.filter.resident();
        self.tables.get().map_or(0, of)
    }
}

/// How many fences are less than `high`. Ids are hashes, so that it is known beforehand almost to the place; looking only
/// around there spares waits for memory. Where that fails, all are searched.
fn before(fences: &[u64], high: u64) -> usize {
    const AROUND: usize = 16;
    let (Some(first), Some(last)) = (fences.first(), fences.last()) else {
        return 0;
    };
    let share = high.saturating_sub(*first) as f64 / last.saturating_sub(*first).max(1) as f64;
    let guess = (share * fences.len() as f64) as usize;
    let end = guess.saturating_add(AROUND).min(fences.len());
    let start = guess.saturating_sub(AROUND).min(end);
    let is_there = (start == 0 || fences[start - 1] < high) && fences.get(end).is_none_or(|fence| *fence >= high);
    let around = if is_there { start..end } else { 0..fences.len() };
    around.start + fences[around].partition_point(|fence| *fence < high)
}

/// Makes a part in memory, entry after entry.
pub(super) struct PartBuilder {
    seed: u64,
    number: u32,
    blocks: Vec<u8>,
    fences: Vec<u64>,
    block: BlockBuilder,
    entries: u64,
}

impl PartBuilder {
    pub(super) fn new(seed: u64, number: u32) -> PartBuilder {
        PartBuilder { seed, number, blocks: Vec::new(), fences: Vec::new(), block: BlockBuilder::new(), entries: 0 }
    }

    pub(super) fn entries(&self) -> u64 {
        self.entries
    }

    /// Adds an entry; entries come in their order.
    pub(super) fn push(&mut self, entry: &Entry) {
        if self.block.is_empty() {
            self.fences.push(entry.id.high);
        }
        self.block.push(entry);
        self.entries += 1;
        if self.block.is_full() {
            self.seal();
        }
    }

    fn seal(&mut self) {
        let spot = Spot { seed: self.seed, part: self.number, block: (self.blocks.len() / BLOCK_LEN) as u32 };
        self.block.seal(spot, &mut self.blocks);
    }

    /// The part's blocks, its tables, and the facts of it.
    pub(super) fn finish(mut self) -> (Vec<u8>, Vec<u8>, PartFacts) {
        if !self.block.is_empty() {
            self.seal();
        }
        let filter = self.filter();
        let mut tables: Vec<u8> = self.fences.iter().flat_map(|f| f.to_le_bytes()).collect();
        filter.encode(&mut tables);
        let facts = PartFacts {
            entries: self.entries,
            first: self.fences.first().copied().unwrap_or(0),
            filter_blocks: Filter::blocks_for(self.entries),
            tables: Digest::of(&[&tables]).short(),
        };
        (self.blocks, tables, facts)
    }

    /// Its size follows from the number of entries, so it is made once that is known.
    fn filter(&self) -> Filter {
        let mut filter = Filter::new(Filter::blocks_for(self.entries));
        let (blocks, _) = self.blocks.as_chunks::<BLOCK_LEN>();
        let mut left = self.entries as usize;
        for bytes in blocks {
            let count = left.min(BLOCK_ENTRIES);
            block::trusted(bytes, count).entries().for_each(|entry| filter.insert(entry.id));
            left -= count;
        }
        filter
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_among_fences_is_the_same_however_they_lie() {
        let even = |step: u64| (0..1000).map(|n| n * step).collect::<Vec<_>>();
        let skewed = (0..64).map(|n| 1 << n).collect();
        let same = vec![7; 100];
        let ends = vec![0, 0, 0, u64::MAX, u64::MAX];
        for fences in [vec![], vec![5], even(1), even(1 << 54), skewed, same, ends] {
            let near = |fence: &u64| [fence.saturating_sub(1), *fence, fence.saturating_add(1)];
            for high in fences.iter().flat_map(near).chain([0, 6, u64::MAX]) {
                let right = fences.iter().filter(|fence| **fence < high).count();
                assert_eq!(before(&fences, high), right, "{high} in {fences:?}");
            }
        }
    }
}
