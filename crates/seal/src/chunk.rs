//! Where a run of pages is cut into chunks, and what a chunk is called.
//!
//! A page ends a chunk when a keyed hash of it says so, so the same file is cut in the same places wherever on whatever
//! disk it lies, and nobody without the key can tell from lengths of chunks which known file they are. The hash is NH of
//! UMAC (RFC 4418, section 5.2; Black et al. 1999): a proven universal family that compilers turn into vector code.
//!
//! Cuts are no part of the format: a reader needs none of this. They only decide what deduplicates with what.
//! Never knows: disks, packs.

use crate::Secret;
use backstay_format::units::{ChunkId, PAGE_SIZE};

/// Names chunks of one vault.
#[derive(Clone)]
pub struct ChunkNamer([u8; 32]);

impl ChunkNamer {
    /// For the vault's chunk key.
    pub fn new(key: &Secret) -> Self {
        ChunkNamer(key.0)
    }

    /// The id of a chunk with this plaintext.
    pub fn name(&self, plaintext: &[u8]) -> ChunkId {
        ChunkId(*blake3::keyed_hash(&self.0, plaintext).as_bytes())
    }
}

/// How long chunks are, in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutSize {
    /// No cut before so many.
    pub least: usize,
    /// After that one page in 2^`bits` ends a chunk.
    pub bits: u32,
    /// A cut at the latest after so many.
    pub most: usize,
}

const WORDS: usize = PAGE_SIZE / 4;

/// Cuts runs of pages of one vault.
#[derive(Clone)]
pub struct Cutter {
    key: Box<[u32; WORDS]>,
    size: CutSize,
}

impl Cutter {
    /// For the vault's cut key.
    pub fn new(key: &Secret, size: CutSize) -> Self {
        let mut bytes = vec![0; PAGE_SIZE];
        blake3::Hasher::new_keyed(&key.0).finalize_xof().fill(&mut bytes);
        let mut words = Box::new([0; WORDS]);
        for (word, four) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *word = u32::from_le_bytes(*four);
        }
        Cutter { key: words, size }
    }

    /// Lengths in pages of the chunks of a run, which must be whole pages.
    pub fn cut<'a>(&'a self, run: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
        assert!(run.len().is_multiple_of(PAGE_SIZE), "a run of {} bytes is not whole pages", run.len());
        let mut rest = run.as_chunks::<PAGE_SIZE>().0;
        std::iter::from_fn(move || {
            let len = self.first_cut(rest);
            rest = &rest[len..];
            (len > 0).then_some(len)
        })
    }

    fn first_cut(&self, pages: &[[u8; PAGE_SIZE]]) -> usize {
        let most = pages.len().min(self.size.most);
        let candidates = (self.size.least.max(1)..most).find(|n| self.ends_chunk(&pages[n - 1]));
        candidates.unwrap_or(most)
    }

    fn ends_chunk(&self, page: &[u8; PAGE_SIZE]) -> bool {
        let mixed = self.hash(page).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed >> (64 - self.size.bits) == 0
    }

    /// NH: the sum of products of pairs of words, each with a key word added; pairs are eight words apart for the
    /// vector units' sake.
    fn hash(&self, page: &[u8; PAGE_SIZE]) -> u64 {
        let mut sums = [0u64; 8];
        let keys = self.key.as_chunks::<16>().0;
        for (block, key) in page.as_chunks::<64>().0.iter().zip(keys) {
            let word = |i: usize| {
                let bytes = [block[4 * i], block[4 * i + 1], block[4 * i + 2], block[4 * i + 3]];
                u32::from_le_bytes(bytes).wrapping_add(key[i])
            };
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum = sum.wrapping_add(u64::from(word(i)) * u64::from(word(i + 8)));
            }
        }
        sums.iter().fold(0, |total, sum| total.wrapping_add(*sum))
    }
}

/// Whether a page holds only zeros.
pub fn is_zero(page: &[u8]) -> bool {
    let (head, rest) = page.as_chunks::<64>();
    let any = |c: &[u8; 64]| c.as_chunks::<8>().0.iter().fold(0, |acc, w| acc | u64::from_le_bytes(*w));
    head.iter().all(|c| any(c) == 0) && rest.iter().all(|b| *b == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: CutSize = CutSize { least: 4, bits: 4, most: 64 };

    fn pages(count: usize, seed: u64) -> Vec<u8> {
        let mut out = vec![0; count * PAGE_SIZE];
        blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut out);
        out
    }

    #[test]
    fn cuts_cover_the_run_within_bounds_and_near_the_mean() {
        let cutter = Cutter::new(&Secret([1; 32]), SIZE);
        let run = pages(4000, 1);
        let cuts: Vec<usize> = cutter.cut(&run).collect();
        assert_eq!(cuts.iter().sum::<usize>(), 4000);
        assert!(cuts[..cuts.len() - 1].iter().all(|c| (4..=64).contains(c)));
        let mean = 4000 / cuts.len();
        assert!((14..=24).contains(&mean), "mean of {mean} pages");
    }

    #[test]
    fn cuts_follow_the_content_wherever_it_lies() {
        let cutter = Cutter::new(&Secret([1; 32]), SIZE);
        let file = pages(400, 2);
        let ends = |prefix: usize| {
            let run = [pages(prefix, 3), file.clone()].concat();
            let mut at = 0;
            let cuts = cutter.cut(&run).map(|n| {
                at += n;
                at.saturating_sub(prefix)
            });
            cuts.collect::<std::collections::BTreeSet<_>>()
        };
        let shared = ends(0).intersection(&ends(13)).count();
        assert!(shared * 10 > ends(0).len() * 8, "{shared} of {} cuts are shared", ends(0).len());
    }

    #[test]
    fn cuts_depend_on_the_key() {
        let run = pages(500, 4);
        let cuts = |key| Cutter::new(&Secret([key; 32]), SIZE).cut(&run).collect::<Vec<_>>();
        assert_ne!(cuts(1), cuts(2));
    }

    #[test]
    fn golden_cuts() {
        // Cuts decide what deduplicates with what is stored already: they must not drift.
        let cutter = Cutter::new(&Secret([7; 32]), SIZE);
        let cuts: Vec<usize> = cutter.cut(&pages(100, 5)).collect();
        assert_eq!(cuts, GOLDEN_CUTS);
    }

    const GOLDEN_CUTS: [usize; 8] = [26, 6, 4, 21, 10, 11, 21, 1];

    #[test]
    fn zero_pages_are_seen() {
        let mut page = vec![0; PAGE_SIZE];
        assert!(is_zero(&page));
        for at in [0, 63, 64, 4095] {
            page[at] = 1;
            assert!(!is_zero(&page), "byte {at}");
            page[at] = 0;
        }
    }
}
