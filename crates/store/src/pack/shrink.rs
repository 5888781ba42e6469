//! A pack without the frames that nobody needs: sealed frames are copied as they are, numbers stay as they were.
//!
//! Never knows: which frames those are.

use std::collections::BTreeSet;

use backstay_format::pack::{Chunk, Frame, HEADER_LEN, Table, Trailer, encode_header};
use backstay_format::units::{PackId, StoreId};
use backstay_seal::Secret;
use backstay_seal::boxes::Salt;

use super::build::seal_table;

/// A pack written anew.
pub struct Shrunk {
    /// All of it.
    pub bytes: Vec<u8>,
    /// Bytes of one footer.
    pub footer: u32,
    /// What is in it.
    pub table: Table,
}

/// Copies a pack's bytes without the frames that are not to be kept.
pub fn shrink(
    (store, pack): (StoreId, PackId),
    key: &Secret,
    table: &Table,
    bytes: &[u8],
    keep: &BTreeSet<u32>,
    salt: Salt,
) -> Shrunk {
    let mut out = encode_header(store, pack).to_vec();
    let mut shrunk = Table::default();
    let mut chunks = table.chunks.iter();
    let mut at = HEADER_LEN;
    for (number, frame) in table.frames.iter().enumerate() {
        let there = if frame.is_gone() { 0 } else { frame.chunks() as usize };
        let of_frame: Vec<Chunk> = chunks.by_ref().take(there).copied().collect();
        let end = at + frame.stored as usize;
        if keep.contains(&(number as u32)) {
            out.extend_from_slice(&bytes[at..end]);
            shrunk.frames.push(*frame);
            shrunk.chunks.extend(of_frame);
        } else {
            shrunk.frames.push(Frame { stored: 0, ..*frame });
        }
        at = end;
    }
    let footer = seal_table(&shrunk, pack, key, salt);
    let len = (out.len() + 2 * footer.len() + backstay_format::pack::TRAILER_LEN) as u64;
    out.extend_from_slice(&footer);
    out.extend_from_slice(&footer);
    out.extend_from_slice(&Trailer { footer: footer.len() as u32, len, pack }.encode());
    Shrunk { bytes: out, footer: footer.len() as u32, table: shrunk }
}
