//! The Merkle tree of RFC 6962 with SHA-256, and its right edge: all that is needed to append and to name the root.
//!
//! Never knows: what records mean, or where tiles are kept.
//! Invariant: [`Edge::root`] is the tree head of exactly the records pushed, in their order.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// Hashes in a full tile: eight levels of the tree.
pub const WIDTH: usize = 256;

/// A hash of the tree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

/// SHA-256 of parts as if they were one.
pub(crate) fn sha256(parts: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    Hash(hasher.finalize().into())
}

/// The hash of a record.
pub fn leaf(record: &[u8]) -> Hash {
    sha256(&[&[0], record])
}

/// The hash of two subtrees.
pub fn node(left: Hash, right: Hash) -> Hash {
    sha256(&[&[1], &left.0, &right.0])
}

/// The root of the tree without records.
pub fn empty() -> Hash {
    sha256(&[])
}

/// The root of subtrees of equal size.
///
/// # Panics
/// When their number is no power of two.
pub fn perfect(hashes: &[Hash]) -> Hash {
    assert!(hashes.len().is_power_of_two(), "{} hashes are no perfect subtree", hashes.len());
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        row = row.chunks_exact(2).map(|pair| node(pair[0], pair[1])).collect();
    }
    row[0]
}

/// A tile that has just become full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FullTile {
    /// Its level, 0 for the hashes of records.
    pub level: u8,
    /// Its number in that level.
    pub number: u64,
    /// Its 256 hashes.
    pub hashes: Vec<Hash>,
}

/// The right edge of a tree: the tile of each level that is not full.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    tiles: Vec<Vec<Hash>>,
}

impl Edge {
    /// The edge of the tree of `size` records; `tile` gives the first hashes of a tile by level, number and how many.
    ///
    /// # Errors
    /// Those of `tile`.
    pub fn load<E>(size: u64, mut tile: impl FnMut(u8, u64, usize) -> Result<Vec<Hash>, E>) -> Result<Edge, E> {
        let mut tiles = Vec::new();
        let mut whole = size;
        while whole > 0 {
            let (number, width) = (whole / WIDTH as u64, (whole % WIDTH as u64) as usize);
            tiles.push(if width == 0 { Vec::new() } else { tile(tiles.len() as u8, number, width)? });
            whole = number;
        }
        Ok(Edge { size, tiles })
    }

    /// Records in the tree.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a record's hash. Returns the tiles that it made full, lowest level first.
    pub fn push(&mut self, leaf: Hash) -> Vec<FullTile> {
        let mut full = Vec::new();
        let (mut hash, mut number) = (leaf, self.size / WIDTH as u64);
        for level in 0.. {
            if self.tiles.len() == level {
                self.tiles.push(Vec::new());
            }
            self.tiles[level].push(hash);
            if self.tiles[level].len() < WIDTH {
                break;
            }
            let hashes = std::mem::take(&mut self.tiles[level]);
            hash = perfect(&hashes);
            full.push(FullTile { level: level as u8, number, hashes });
            number /= WIDTH as u64;
        }
        self.size += 1;
        full
    }

    /// The tiles that are not full and not empty, with their level.
    pub fn tiles(&self) -> impl Iterator<Item = (u8, &[Hash])> {
        let levels = self.tiles.iter().enumerate();
        levels.filter(|(_, tile)| !tile.is_empty()).map(|(level, tile)| (level as u8, tile.as_slice()))
    }

    /// The root of the tree.
    pub fn root(&self) -> Hash {
        let mut root: Option<Hash> = None;
        // From right to left: subtrees grow.
        for tile in &self.tiles {
            let mut end = tile.len();
            while end > 0 {
                let start = end & (end - 1); // without its lowest bit
                let peak = perfect(&tile[start..end]);
                root = Some(root.map_or(peak, |right| node(peak, right)));
                end = start;
            }
        }
        root.unwrap_or_else(empty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6962, 2.1, word by word.
    fn mth(records: &[Vec<u8>]) -> Hash {
        match records {
            [] => empty(),
            [one] => leaf(one),
            many => {
                let k = many.len().next_power_of_two() / 2;
                node(mth(&many[..k]), mth(&many[k..]))
            }
        }
    }

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
    }

    /// The records and roots that the Certificate Transparency project has tested with since 2012.
    #[test]
    fn known_roots() {
        let records =
            ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut edge = Edge::default();
        let nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(edge.root().to_string(), nothing);
        for (record, root) in records.iter().zip(roots) {
            assert_eq!(edge.push(leaf(&hex(record))), []);
            assert_eq!(edge.root().to_string(), root);
        }
    }

    #[test]
    fn the_edge_has_the_root_that_the_definition_gives() {
        let records: Vec<Vec<u8>> = (0..1030u32).map(|n| n.to_be_bytes().to_vec()).collect();
        let mut edge = Edge::default();
        for (n, record) in records.iter().enumerate() {
            if n % 37 == 0 || (250..260).contains(&n) || n >= 1020 {
                assert_eq!(edge.root(), mth(&records[..n]), "{n} records");
            }
            edge.push(leaf(record));
        }
    }

    #[test]
    fn tiles_are_those_of_the_specification() {
        let mut edge = Edge::default();
        let mut full = Vec::new();
        (0..70_000u32).for_each(|n| full.extend(edge.push(leaf(&n.to_be_bytes()))));
        let count = |level| full.iter().filter(|tile| tile.level == level).count();
        assert_eq!([count(0), count(1), count(2)], [273, 1, 0]);
        let partial: Vec<_> = edge.tiles().map(|(level, tile)| (level, tile.len())).collect();
        assert_eq!(partial, [(0, 112), (1, 17), (2, 1)]);
        assert_eq!(full.last().map(|tile| (tile.level, tile.number)), Some((0, 272)));

        let loaded = Edge::load(70_000, |level, number, width| {
            assert_eq!((number, width), [(273, 112), (1, 17), (0, 1)][usize::from(level)]);
            Ok::<_, ()>(edge.tiles[usize::from(level)].clone())
        });
        assert_eq!(loaded, Ok(edge));
    }

    #[test]
    fn the_largest_size_that_can_be_said_loads_nothing_odd() {
        let edge = Edge::load(u64::MAX, |level, _, width| {
            assert!(level < 8);
            Ok::<_, ()>(vec![empty(); width])
        });
        assert_eq!(edge.unwrap().tiles.len(), 8);
    }
}
