//! Every decoder of this crate in one place, as functions of bytes alone:
//! entry points for fuzzing. Each reads the bytes and says whether they are
//! what the page describes; none may panic or allocate more than a small
//! multiple of what it was given.
//!
//! Never knows: keys, files. What is sealed is given here already opened.

use crate::bytes::Id;
use crate::{crypt, keys, ledger, map, pack, rows, twin};

/// One decoder.
pub type Decoder = fn(&[u8]) -> bool;

/// All decoders by name.
pub const ALL: &[(&str, Decoder)] = &[
    ("twin", twin),
    ("store_header", |b| twin::store_header(b).is_ok()),
    ("key_slot", |b| keys::slot(b).is_ok()),
    ("key_row", |b| halves(b, |key, value| keys::row(key, value).is_ok())),
    ("entry", |b| ledger::entry(b).is_ok()),
    ("state", |b| ledger::state(b).is_ok()),
    ("part", |b| ledger::part(b).is_ok()),
    ("row", |b| halves(b, |key, value| rows::row(key, value).is_ok())),
    ("run_root", |b| map::root(b).is_ok()),
    ("run_block", |b| map::block(b, 3).is_ok()),
    ("pack_header", pack_header),
    ("pack_trailer", |b| pack::trailer(b).is_ok()),
    ("pack_table", |b| pack::table(b).is_ok()),
    ("zstd", |b| crypt::inflate(b, 1 << 16).is_ok()),
];

fn twin(bytes: &[u8]) -> bool {
    let pair = twin::twin(bytes, twin::What::Entry, None);
    let within = twin::within(bytes, true, 0, bytes.len() as u64 / 4);
    pair.any().is_some() || within.is_some()
}

/// The first byte says how long the key is; key and value follow.
fn halves(bytes: &[u8], read: fn(&[u8], &[u8]) -> bool) -> bool {
    let Some((&length, rest)) = bytes.split_first() else {
        return false;
    };
    rest.split_at_checked(length.into()).is_some_and(|(key, value)| read(key, value))
}

fn pack_header(bytes: &[u8]) -> bool {
    let id = |at: usize| bytes.get(at..at + 16).and_then(|b| b.try_into().ok()).map(Id);
    match (id(16), id(32)) {
        (Some(store), Some(pack)) => pack::header(bytes, store, pack).is_ok(),
        _ => false,
    }
}
