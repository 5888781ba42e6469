//! Proofs: that a record is in a tree, and that a tree begins with another one (RFC 6962, 2.1; checked as RFC 9162 says).
//!
//! Never knows: where hashes come from, or who signed what.

use crate::tree::{Hash, empty, node};

/// Gives roots of perfect subtrees: 2^`level` records from record `number` × 2^`level` on.
pub trait Subtrees {
    /// Why it could not.
    type Error;

    /// The root of one.
    ///
    /// # Errors
    /// When it is not there.
    fn subtree(&self, level: u8, number: u64) -> Result<Hash, Self::Error>;
}

/// The largest power of two below `size`, which is above 1.
fn split(size: u64) -> u64 {
    1 << (63 - (size - 1).leading_zeros())
}

/// The root of the records from `from` to `to`, as RFC 6962 defines it for a list of its own. `from` is a multiple of the
/// next power of two of their number, as it is for all parts of a tree.
fn root_of<S: Subtrees + ?Sized>(tree: &S, from: u64, to: u64) -> Result<Hash, S::Error> {
    let size = to - from;
    if size.is_power_of_two() {
        let level = size.trailing_zeros() as u8;
        return tree.subtree(level, from >> level);
    }
    let middle = from + split(size);
    Ok(node(root_of(tree, from, middle)?, root_of(tree, middle, to)?))
}

/// The root of the first `size` records.
///
/// # Errors
/// Those of `tree`.
pub fn root<S: Subtrees + ?Sized>(tree: &S, size: u64) -> Result<Hash, S::Error> {
    if size == 0 { Ok(empty()) } else { root_of(tree, 0, size) }
}

/// That record `index` is in the tree of `size` records: hashes from the leaf's sibling up.
///
/// # Errors
/// Those of `tree`.
///
/// # Panics
/// When the tree has no such record.
pub fn inclusion<S: Subtrees + ?Sized>(tree: &S, index: u64, size: u64) -> Result<Vec<Hash>, S::Error> {
    assert!(index < size, "record {index} is not in a tree of {size}");
    let (mut from, mut to) = (0, size);
    let mut path = Vec::new();
    while to - from > 1 {
        let middle = from + split(to - from);
        if index < middle {
            path.push(root_of(tree, middle, to)?);
            to = middle;
        } else {
            path.push(root_of(tree, from, middle)?);
            from = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// That the tree of `new` records begins with the tree of `old` records.
///
/// # Errors
/// Those of `tree`.
///
/// # Panics
/// When `old` is larger than `new`.
pub fn consistency<S: Subtrees + ?Sized>(tree: &S, old: u64, new: u64) -> Result<Vec<Hash>, S::Error> {
    assert!(old <= new, "a tree of {new} has not begun with one of {old}");
    let mut path = Vec::new();
    if old == 0 || old == new {
        return Ok(path);
    }
    let (mut from, mut to) = (0, new);
    while old != to {
        let middle = from + split(to - from);
        if old <= middle {
            path.push(root_of(tree, middle, to)?);
            to = middle;
        } else {
            path.push(root_of(tree, from, middle)?);
            from = middle;
        }
    }
    // The verifier has the old root already where the old tree is a subtree from the first record on.
    if from > 0 {
        path.push(root_of(tree, from, to)?);
    }
    path.reverse();
    Ok(path)
}

/// Checks a proof of [`inclusion`].
pub fn includes(root: Hash, size: u64, index: u64, leaf: Hash, path: &[Hash]) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last, mut hash) = (index, size - 1, leaf);
    for &sibling in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = node(sibling, hash);
            skip(&mut at, &mut last);
        } else {
            hash = node(hash, sibling);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && hash == root
}

/// Checks a proof of [`consistency`].
pub fn continues(old: (u64, Hash), new: (u64, Hash), path: &[Hash]) -> bool {
    let ((old_size, old_root), (new_size, new_root)) = (old, new);
    if old_size > new_size {
        return false;
    }
    if old_size == new_size {
        return path.is_empty() && old_root == new_root;
    }
    if old_size == 0 {
        return path.is_empty() && old_root == empty();
    }
    let (mut at, mut last) = (old_size - 1, new_size - 1);
    let trailing = at.trailing_ones();
    (at, last) = (at >> trailing, last >> trailing);
    let (first, path) = match path.split_first() {
        _ if old_size.is_power_of_two() => (old_root, path),
        Some((first, rest)) => (*first, rest),
        None => return false,
    };
    let (mut old_hash, mut new_hash) = (first, first);
    for &sibling in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            (old_hash, new_hash) = (node(sibling, old_hash), node(sibling, new_hash));
            skip(&mut at, &mut last);
        } else {
            new_hash = node(new_hash, sibling);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && old_hash == old_root && new_hash == new_root
}

/// Goes up past the levels at which the node is a left one without a sibling.
fn skip(at: &mut u64, last: &mut u64) {
    while *at & 1 == 0 && *at != 0 {
        (*at, *last) = (*at >> 1, *last >> 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Edge, leaf, perfect};

    struct Leaves(Vec<Hash>);

    impl Subtrees for Leaves {
        type Error = ();
        fn subtree(&self, level: u8, number: u64) -> Result<Hash, ()> {
            let from = (number as usize) << level;
            self.0.get(from..from + (1 << level)).map(perfect).ok_or(())
        }
    }

    fn leaves(count: u32) -> (Leaves, Vec<Hash>) {
        let leaves: Vec<Hash> = (0..count).map(|n| leaf(&n.to_be_bytes())).collect();
        let mut edge = Edge::default();
        let mut roots = vec![edge.root()];
        for leaf in &leaves {
            edge.push(*leaf);
            roots.push(edge.root());
        }
        (Leaves(leaves), roots)
    }

    #[test]
    fn every_proof_of_every_small_tree_holds_and_no_other() {
        let (tree, roots) = leaves(40);
        for size in 1..=40 {
            let top = roots[size as usize];
            assert_eq!(root(&tree, size), Ok(top));
            for index in 0..size {
                let path = inclusion(&tree, index, size).unwrap();
                let leaf = tree.0[index as usize];
                assert!(includes(top, size, index, leaf, &path));
                assert!(!includes(top, size, index, empty(), &path));
                assert!(!includes(empty(), size, index, leaf, &path));
                assert!((0..=40).all(|other| other == index || !includes(top, size, other, leaf, &path)));
                assert!(path.is_empty() || !includes(top, size, index, leaf, &path[1..]));
                assert!(!includes(top, size, index, leaf, &[path.as_slice(), &[empty()]].concat()));
            }
            for old in 0..=size {
                let path = consistency(&tree, old, size).unwrap();
                let before = (old, roots[old as usize]);
                assert!(continues(before, (size, top), &path), "{old} to {size}");
                assert!(old == 0 || !continues((old, roots[old as usize - 1]), (size, top), &path));
                assert!(old == 0 || !continues(before, (size, empty()), &path));
                assert!(old == size || !continues((size, top), before, &path));
                let longer = [path.as_slice(), &[empty()]].concat();
                assert!(!continues(before, (size, top), &longer));
                assert!(path.is_empty() || !continues(before, (size, top), &path[..path.len() - 1]));
                (0..path.len()).for_each(|at| {
                    let mut bad = path.clone();
                    bad[at].0[7] ^= 1;
                    assert!(!continues(before, (size, top), &bad));
                });
            }
        }
    }

    #[test]
    fn sizes_at_the_end_of_the_numbers_do_no_harm() {
        let path = vec![empty(); 70];
        assert!(!includes(empty(), u64::MAX, u64::MAX - 1, empty(), &path));
        assert!(!includes(empty(), 0, 0, empty(), &[]));
        assert!(!continues((u64::MAX - 1, empty()), (u64::MAX, empty()), &path));
        assert!(!continues((1 << 63, empty()), (u64::MAX, empty()), &path));
    }
}
