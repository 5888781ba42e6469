//! Swap space of Linux: all of it is free but the header, unless a hibernated system lies in it.
//!
//! Never knows: what was swapped out.

use crate::allocation::{Allocation, Ranges};
use crate::bytes::{damaged, le32, read_vec};
use crate::detect::Kind;
use crate::tree::TreeError;
use backstay_env::volume::Volume;

/// The sizes of pages that Linux has on the machines it runs on.
const PAGES: [usize; 5] = [4096, 8192, 16384, 32768, 65536];
const MARK: usize = 10;
const SWAP: [&[u8]; 2] = [b"SWAPSPACE2", b"SWAP-SPACE"];
const HIBERNATED: [&[u8]; 5] =
    [b"S1SUSPEND", b"S2SUSPEND", b"ULSUSPEND", b"LINHIB0001", b"\xED\xC3\x02\xE9\x98\x56\xE5\x0C"];

fn mark(head: &[u8], page: usize) -> &[u8] {
    head.get(page - MARK..page).unwrap_or_default()
}

/// [`Kind::Swap`] or [`Kind::Hibernated`] when the first bytes of a volume are a header.
pub(crate) fn kind(head: &[u8]) -> Option<Kind> {
    let starts = |marks: &[&[u8]]| {
        let is = |page: &usize| marks.iter().any(|m| mark(head, *page).starts_with(m));
        PAGES.iter().any(is)
    };
    if starts(&HIBERNATED) {
        return Some(Kind::Hibernated);
    }
    starts(&SWAP).then_some(Kind::Swap)
}

/// The header page, and what lies behind the end of the swap space. Everything when a system is hibernated in it.
pub fn allocated(volume: &dyn Volume) -> Allocation {
    Allocation::from_walk("swap", volume.size(), walk(volume))
}

fn walk(volume: &dyn Volume) -> Result<Ranges, TreeError> {
    let len = volume.size().min(PAGES[4] as u64) as usize;
    let head = read_vec(volume, 0, len)?;
    if kind(&head) != Some(Kind::Swap) {
        return Err(damaged("it holds a hibernated system"));
    }
    let is = |page: &usize| SWAP.contains(&mark(&head, *page));
    let page = PAGES.into_iter().find(is);
    let page = page.ok_or_else(|| damaged("it has no header"))? as u64;
    if le32(&head, 1024) != 1 {
        return Err(damaged("its version is not 1"));
    }
    let end = (u64::from(le32(&head, 1028)) + 1) * page;
    let mut used = Ranges::new();
    used.push(0..page);
    used.push(end.max(page)..volume.size());
    Ok(used)
}
