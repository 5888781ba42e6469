//! Checking the parts of a pack that nobody reads while all is well.
//!
//! Never knows: frames.

use backstay_format::pack::{HEADER_LEN, TRAILER_LEN, Trailer, check_header};
use backstay_format::units::{PackId, StoreId};
use backstay_seal::Secret;

use super::parse_table;

/// What is wrong with the header, the footers (`footer` bytes each) and the trailer of a pack, in words.
pub fn check_ends(bytes: &[u8], (store, pack): (StoreId, PackId), footer: usize, key: &Secret) -> Vec<String> {
    let mut found = Vec::new();
    let header = bytes.first_chunk::<HEADER_LEN>();
    let header = header.map(|h| check_header(h, store, pack).map_err(|e| e.to_string()));
    found.extend(header.unwrap_or(Err("too short for a header".into())).err());
    let trailer = bytes.last_chunk::<TRAILER_LEN>();
    let trailer = trailer.map(|t| Trailer::decode(t).map_err(|e| e.to_string()));
    match trailer {
        Some(Ok(t)) if (t.pack, t.len, t.footer as usize) == (pack, bytes.len() as u64, footer) => {}
        Some(Err(error)) => found.push(error),
        _ => found.push("its end belongs to another pack".into()),
    }
    for (which, copies) in [("first", 2), ("second", 1)] {
        let start = bytes.len().checked_sub(TRAILER_LEN + copies * footer);
        let table = start.and_then(|at| bytes.get(at..at + footer)).map(|b| parse_table(b, pack, key));
        if let Err(why) = table.unwrap_or(Err("it is too short".into())) {
            found.push(format!("its {which} table is damaged: {why}"));
        }
    }
    found
}
