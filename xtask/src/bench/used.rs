//! Which pages of an ext4 image hold files and folders, from what dumpe2fs and debugfs (e2fsprogs) say.
//!
//! The tables and the journal are left out: overwriting them would make another kind of test.
//! Never knows: why someone asks.

use std::path::Path;

use crate::fail::{Fail, Result};
use crate::run;

/// The numbers of the pages (4 KiB blocks) in use, rising.
/// # Errors
/// The image holds no ext4 with 4 KiB blocks, or the tools' output is not understood.
pub(super) fn pages(image: &Path) -> Result<Vec<u64>> {
    let listing = run::text(run::program("dumpe2fs").arg(image))?;
    let blocks = field(&listing, "Block count:")?;
    if field(&listing, "Block size:")? != 4096 {
        return Err(Fail::new(format!("{}: wanted 4096-byte blocks", image.display())));
    }
    let mut free = vec![false; usize::try_from(blocks).map_err(|_| Fail::new("too many blocks"))?];
    mark(&mut free, &special(&listing)?)?;
    for inode in ["<7>", "<8>"] {
        let own = run::text(run::program("debugfs").args(["-R", &format!("blocks {inode}")]).arg(image))?;
        for word in own.split_whitespace() {
            mark(&mut free, &[range(word)?])?;
        }
    }
    Ok((0..blocks).zip(free).filter(|(_, free)| !free).map(|(number, _)| number).collect())
}

fn field(listing: &str, name: &str) -> Result<u64> {
    listing
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|value| value.trim().parse().ok())
        .ok_or_else(|| Fail::new(format!("dumpe2fs said no `{name}`")))
}

/// Free blocks and tables: every `Free blocks: a-b, c` line and every `... at a-b` of the groups' descriptions.
fn special(listing: &str) -> Result<Vec<(u64, u64)>> {
    let mut found = Vec::new();
    let groups = listing.lines().skip_while(|line| !line.starts_with("Group 0:"));
    for line in groups.map(str::trim) {
        if let Some(list) = line.strip_prefix("Free blocks:") {
            for word in list.split(',').map(str::trim).filter(|word| !word.is_empty()) {
                found.push(range(word)?);
            }
        } else if !line.starts_with("Group") && !line.starts_with("Free inodes") {
            for at in line.split(" at ").skip(1) {
                let word = at.split([' ', ',']).next().unwrap_or_default();
                found.push(range(word)?);
            }
        }
    }
    Ok(found)
}

fn range(word: &str) -> Result<(u64, u64)> {
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    match (first.trim().parse(), last.trim().parse()) {
        (Ok(first), Ok(last)) => Ok((first, last)),
        _ => Err(Fail::new(format!("`{word}` is not a range of blocks"))),
    }
}

fn mark(map: &mut [bool], ranges: &[(u64, u64)]) -> Result<()> {
    for &(first, last) in ranges {
        let inside = map.get_mut(first as usize..=last as usize);
        inside.ok_or_else(|| Fail::new(format!("blocks {first}-{last} lie outside of the file system")))?.fill(true);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_and_free_blocks_are_found() {
        let listing = "Block count:  99\n\nGroup 0: (Blocks 0-32767) csum 0x5\n  Primary superblock at 0, Group descriptors at 1-1\n  \
            Reserved GDT blocks at 2-9\n  Block bitmap at 20 (+20), csum 0x9\n  Inode table at 30-40 (+30)\n  \
            5 free blocks, 3 free inodes\n  Free blocks: 50-52, 60\n  Free inodes: 7-9\n";
        let found = special(listing).unwrap_or_default();
        assert_eq!(found, [(0, 0), (1, 1), (2, 9), (20, 20), (30, 40), (50, 52), (60, 60)]);
    }
}
