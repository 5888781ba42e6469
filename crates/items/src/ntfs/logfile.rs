//! Whether NTFS's log says that the volume was left in order. Nothing is replayed.
//!
//! Never knows: what the log's records mean.

use super::record::fix_up;
use crate::bytes::{damaged, le16, le32, le64};
use crate::tree::TreeError;

/// Where the two restart pages are found, bytes from the start of the log.
pub(super) const HEAD: usize = 128 * 1024;
const NO_CLIENT: u16 = 0xFFFF;
const CLEAN: u16 = 2;

struct Restart {
    lsn: u64,
    clean: bool,
}

/// Says why the volume may not be in order, by the first [`HEAD`] bytes of the log.
pub(super) fn check(head: &[u8]) -> Result<(), TreeError> {
    if head.iter().all(|&b| b == 0xFF) {
        return Ok(());
    }
    let page = match le32(head, 0x10) as usize {
        size @ 512..=0x1_0000 if size.is_power_of_two() => size,
        _ => 4096,
    };
    let restart = |at: usize| head.get(at..at + page).and_then(parse);
    let newest = [0, page].into_iter().filter_map(restart).max_by_key(|r| r.lsn);
    match newest {
        Some(restart) if restart.clean => Ok(()),
        Some(_) => Err(damaged("its log holds changes that are not in their place")),
        None => Err(damaged("its log has no restart page")),
    }
}

fn parse(page: &[u8]) -> Option<Restart> {
    let mut page = page.to_vec();
    fix_up(&mut page, b"RSTR", "restart page").ok()?;
    let known = matches!(le16(&page, 0x1C), 1 | 2);
    let area = page.get(usize::from(le16(&page, 0x18))..)?;
    let clients = le16(area, 0xC);
    (known && area.len() >= 0x30)
        .then(|| Restart { lsn: le64(area, 0), clean: clients == NO_CLIENT || le16(area, 0xE) & CLEAN != 0 })
}
