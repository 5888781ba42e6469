//! The root of a run: which packs it covers and what parts it has. At the end of the run's last object, with a trailer:
//!
//! | trailer | bytes | stops |
//! |---|---|---|
//! | magic | 8 | another kind of file: `BKSTINDX` |
//! | version | u32 | an old program, a new index: 1 |
//! | features | u32 | unknown bits; none is defined |
//! | store id | \[16\] | an index copied in from another store |
//! | run id | \[16\] | the right store, another run's object |
//! | root length | u64 | a truncated object |
//! | digest | \[16\] | rot: first 16 bytes of BLAKE3 of the fields above and the root |
//!
//! Never knows: I/O, or what is in a part.

use backstay_format::DecodeError;
use backstay_format::codec::Input;
use backstay_format::units::{Digest, PackId, StoreId};

use super::block::{BLOCK_ENTRIES, BLOCK_LEN};
use super::filter::FILTER_BLOCK_LEN;
use super::site::RunId;

/// One writing of a pack. A pack that space is reclaimed from is written again under its id with fewer chunks, so the id
/// alone does not say which chunks are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Writing {
    /// The pack.
    pub pack: PackId,
    /// Tells the writings of this pack apart: whatever the caller has that changes whenever chunks go from the pack, and
    /// never comes back.
    pub stamp: u64,
}

/// Bytes of the trailer.
pub(super) const TRAILER_LEN: usize = 72;

const MAGIC: [u8; 8] = *b"BKSTINDX";
const VERSION: u32 = 1;
const WHAT: &str = "run of the dedup index";
const ROOT_LEN_AT: usize = 48;
const DIGEST_AT: usize = 56;
const WRITING_LEN: usize = 24;
const PART_LEN: usize = 36;

/// Facts of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PartFacts {
    /// Its entries.
    pub(super) entries: u64,
    /// The first eight bytes of its first id; 0 if it has none.
    pub(super) first: u64,
    /// Blocks of its filter.
    pub(super) filter_blocks: u32,
    /// First 16 bytes of BLAKE3 of its fences and its filter.
    pub(super) tables: [u8; 16],
}

impl PartFacts {
    /// Blocks that the entries fill.
    pub(super) fn blocks(&self) -> u64 {
        self.entries.div_ceil(BLOCK_ENTRIES as u64)
    }

    /// Bytes of the blocks. Decoding bounds the entries, so that this does not overflow.
    pub(super) fn blocks_len(&self) -> u64 {
        self.blocks() * BLOCK_LEN as u64
    }

    /// Bytes of fences and filter.
    pub(super) fn tables_len(&self) -> u64 {
        self.blocks() * 8 + u64::from(self.filter_blocks) * FILTER_BLOCK_LEN as u64
    }

    /// Bytes of the part.
    pub(super) fn len(&self) -> u64 {
        self.blocks_len() + self.tables_len()
    }

    /// Entries in a block that is there.
    pub(super) fn entries_in(&self, block: u32) -> usize {
        let before = u64::from(block) * BLOCK_ENTRIES as u64;
        self.entries.saturating_sub(before).min(BLOCK_ENTRIES as u64) as usize
    }
}

/// What a run covers, and of which parts it consists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Root {
    /// In order, each once: entries refer to places in this table.
    pub(super) packs: Vec<Writing>,
    /// At least one; none is empty unless it is the only one.
    pub(super) parts: Vec<PartFacts>,
}

impl Root {
    /// The root at rest, with its trailer.
    pub(super) fn encode(&self, store: StoreId, run: RunId) -> Vec<u8> {
        let mut out =
            Vec::with_capacity(8 + self.packs.len() * WRITING_LEN + self.parts.len() * PART_LEN + TRAILER_LEN);
        out.extend_from_slice(&(self.packs.len() as u32).to_le_bytes());
        for writing in &self.packs {
            out.extend_from_slice(&writing.pack.0);
            out.extend_from_slice(&writing.stamp.to_le_bytes());
        }
        out.extend_from_slice(&(self.parts.len() as u32).to_le_bytes());
        for part in &self.parts {
            out.extend_from_slice(&part.entries.to_le_bytes());
            out.extend_from_slice(&part.first.to_le_bytes());
            out.extend_from_slice(&part.filter_blocks.to_le_bytes());
            out.extend_from_slice(&part.tables);
        }
        let trailer = trailer(store, run, &out);
        out.extend_from_slice(&trailer);
        out
    }

    /// A root from its bytes, without the trailer.
    pub(super) fn decode(bytes: &[u8]) -> Result<Root, DecodeError> {
        let mut input = Input(bytes);
        let packs = count(&mut input, WRITING_LEN)?;
        let packs = (0..packs).map(|_| writing(&mut input)).collect::<Result<Vec<_>, _>>()?;
        let parts = count(&mut input, PART_LEN)?;
        let parts = (0..parts).map(|_| part(&mut input)).collect::<Result<Vec<_>, _>>()?;
        input.end()?;
        if !packs.is_sorted_by(|a, b| a < b) {
            return Err(DecodeError::Invalid("order of packs"));
        }
        let sorted = parts.is_sorted_by(|a, b| a.first <= b.first);
        let filled = parts.len() == 1 || parts.iter().all(|part| part.entries > 0);
        if parts.is_empty() || !sorted || !filled {
            return Err(DecodeError::Invalid("parts"));
        }
        Ok(Root { packs, parts })
    }

    /// Entries of all parts.
    pub(super) fn entries(&self) -> u64 {
        self.parts.iter().fold(0, |sum, part| sum.saturating_add(part.entries))
    }
}

fn trailer(store: StoreId, run: RunId, root: &[u8]) -> [u8; TRAILER_LEN] {
    let mut out = [0; TRAILER_LEN];
    out[..8].copy_from_slice(&MAGIC);
    out[8..12].copy_from_slice(&VERSION.to_le_bytes());
    out[16..32].copy_from_slice(&store.0);
    out[32..48].copy_from_slice(&run.0);
    out[ROOT_LEN_AT..DIGEST_AT].copy_from_slice(&(root.len() as u64).to_le_bytes());
    let digest = Digest::of(&[&out[..DIGEST_AT], root]);
    out[DIGEST_AT..].copy_from_slice(&digest.short());
    out
}

/// Bytes of the root before this trailer, as far as is known before they are read and [`check`]ed.
pub(super) fn root_len(trailer: &[u8; TRAILER_LEN]) -> Result<u64, DecodeError> {
    let mut input = Input(trailer);
    if input.array()? != MAGIC {
        return Err(DecodeError::Magic(WHAT));
    }
    input.take(ROOT_LEN_AT - MAGIC.len())?;
    input.u64()
}

/// Whether root and trailer are as they were written, by a version that we know, for this run. Rot is told first, so
/// that a newer version is one: the trailer is the same in all.
pub(super) fn check(root: &[u8], trailer: &[u8; TRAILER_LEN], store: StoreId, run: RunId) -> Result<(), DecodeError> {
    let (fields, digest) = trailer.split_at(DIGEST_AT);
    if Digest::of(&[fields, root]).short() != digest {
        return Err(DecodeError::Digest(WHAT));
    }
    let mut input = Input(&fields[MAGIC.len()..]);
    match input.u32()? {
        VERSION => {}
        found => {
            let (what, newest) = (WHAT, VERSION);
            return Err(DecodeError::Version { what, found, newest });
        }
    }
    match input.u32()? {
        0 => {}
        bits => return Err(DecodeError::Features { what: WHAT, bits }),
    }
    let is_ours = input.array()? == store.0 && input.array()? == run.0;
    is_ours.then_some(()).ok_or(DecodeError::Foreign(WHAT))
}

fn count(input: &mut Input<'_>, least: usize) -> Result<usize, DecodeError> {
    let count = input.u32()? as usize;
    match count.checked_mul(least) {
        Some(bytes) if bytes <= input.0.len() => Ok(count),
        _ => Err(DecodeError::Truncated),
    }
}

fn writing(input: &mut Input<'_>) -> Result<Writing, DecodeError> {
    let pack = PackId(input.array()?);
    let stamp = input.u64()?;
    Ok(Writing { pack, stamp })
}

fn part(input: &mut Input<'_>) -> Result<PartFacts, DecodeError> {
    let part =
        PartFacts { entries: input.u64()?, first: input.u64()?, filter_blocks: input.u32()?, tables: input.array()? };
    // Blocks of a part are numbered in 32 bits.
    match u32::try_from(part.blocks()) {
        Ok(_) => Ok(part),
        Err(_) => Err(DecodeError::Invalid("number of entries")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORE: StoreId = StoreId([0x11; 16]);
    const RUN: RunId = RunId([0x22; 16]);

    fn root() -> Root {
        let part = |entries, first| PartFacts { entries, first, filter_blocks: 5, tables: [0x44; 16] };
        let writing = |byte, stamp| Writing { pack: PackId([byte; 16]), stamp };
        Root { packs: vec![writing(1, 9), writing(2, 7), writing(2, 8)], parts: vec![part(258, 0), part(171, 3)] }
    }

    fn split(bytes: &[u8]) -> (&[u8], &[u8; TRAILER_LEN]) {
        bytes.split_last_chunk().unwrap()
    }

    fn decode(bytes: &[u8], store: StoreId, run: RunId) -> Result<Root, DecodeError> {
        let (root, trailer) = bytes.split_last_chunk().ok_or(DecodeError::Truncated)?;
        if root_len(trailer)? != root.len() as u64 {
            return Err(DecodeError::Truncated);
        }
        check(root, trailer, store, run)?;
        Root::decode(root)
    }

    #[test]
    fn a_root_at_rest() {
        let small = Root { packs: root().packs[..1].to_vec(), parts: root().parts[..1].to_vec() };
        let bytes = small.encode(STORE, RUN);
        let (body, trailer) = split(&bytes);
        let golden = [
            &[1, 0, 0, 0][..], // packs
            &[1; 16],          // id
            &[9, 0, 0, 0, 0, 0, 0, 0],
            &[1, 0, 0, 0],             // parts
            &[2, 1, 0, 0, 0, 0, 0, 0], // entries
            &[0; 8],                   // first
            &[5, 0, 0, 0],             // blocks of the filter
            &[0x44; 16],               // digest of the tables
        ];
        assert_eq!(body, golden.concat());
        let golden = [
            &b"BKSTINDX"[..],
            &[1, 0, 0, 0], // version
            &[0, 0, 0, 0], // features
            &[0x11; 16],   // store
            &[0x22; 16],   // run
            &[68, 0, 0, 0, 0, 0, 0, 0],
        ];
        assert_eq!(trailer[..56], golden.concat());
        assert_eq!(decode(&bytes, STORE, RUN), Ok(small));
        assert_eq!(decode(&root().encode(STORE, RUN), STORE, RUN), Ok(root()));
    }

    #[test]
    fn sizes_of_parts() {
        let facts = &root().parts[0];
        assert_eq!(facts.blocks(), 2);
        assert_eq!((facts.entries_in(0), facts.entries_in(1), facts.entries_in(2)), (170, 88, 0));
        assert_eq!(facts.len(), 2 * 4096 + 2 * 8 + 5 * 32);
    }

    #[test]
    fn another_store_run_version_or_kind_is_refused() {
        let bytes = root().encode(STORE, RUN);
        let foreign = Err(DecodeError::Foreign("run of the dedup index"));
        assert_eq!(decode(&bytes, StoreId([0; 16]), RUN), foreign);
        assert_eq!(decode(&bytes, STORE, RunId([0; 16])), foreign);
        let at = bytes.len() - TRAILER_LEN;
        let with = |offset: usize, byte: u8| {
            let mut bytes = bytes.clone();
            bytes[at + offset] = byte;
            let (root, trailer) = bytes.split_at(at);
            let digest = Digest::of(&[&trailer[..DIGEST_AT], root]).short();
            bytes[at + DIGEST_AT..].copy_from_slice(&digest);
            decode(&bytes, STORE, RUN)
        };
        assert!(matches!(with(0, b'x'), Err(DecodeError::Magic(_))));
        assert!(matches!(with(8, 2), Err(DecodeError::Version { found: 2, .. })));
        assert!(matches!(with(12, 4), Err(DecodeError::Features { bits: 4, .. })));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let mut bytes = root().encode(STORE, RUN);
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&bytes, STORE, RUN).is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len], STORE, RUN).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn what_no_writer_writes_is_refused() {
        let bad = |change: fn(&mut Root)| {
            let mut root = root();
            change(&mut root);
            decode(&root.encode(STORE, RUN), STORE, RUN)
        };
        let parts = Err(DecodeError::Invalid("parts"));
        assert_eq!(bad(|r| r.packs.swap(0, 1)), Err(DecodeError::Invalid("order of packs")));
        assert_eq!(bad(|r| r.packs[1] = r.packs[0]), Err(DecodeError::Invalid("order of packs")));
        assert_eq!(bad(|r| r.parts.swap(0, 1)), parts);
        assert_eq!(bad(|r| r.parts[0].entries = 0), parts);
        assert_eq!(bad(|r| r.parts.clear()), parts);
        assert_eq!(bad(|r| r.parts[0].entries = 1 << 60), Err(DecodeError::Invalid("number of entries")));
        assert_eq!(Root::decode(&[0xff; 64]), Err(DecodeError::Truncated));
    }
}
