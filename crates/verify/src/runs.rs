//! Reading a span's run: all of its extents, or which of them are lost.
//!
//! Never knows: how runs lie over each other.

use crate::bytes::{Id, Malformed};
use crate::map::{BlockRef, Content, Extent, Root, block, root};
use crate::packs::{PackError, Packs, Pages, Which};
use crate::rows::Span;

/// Why a root or block cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RunError {
    #[error(transparent)]
    Pack(#[from] PackError),
    #[error("frame {frame} of pack {pack} is not what the span says: {cause}")]
    Malformed { pack: Id, frame: u64, cause: Malformed },
    #[error("the block in frame {frame} of pack {pack} is not the one that the root describes")]
    Block { pack: Id, frame: u64 },
}

/// Extents that a block held which cannot be read: from disk and page to
/// disk and page, both included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LostBlock {
    pub(crate) first: (u64, u64),
    pub(crate) last: (u64, u64),
    pub(crate) why: String,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) packs: Vec<Id>,
    pub(crate) extents: Vec<Extent>,
    pub(crate) lost: Vec<LostBlock>,
    /// Its root names blocks, rather than hold the extents itself.
    pub(crate) in_blocks: bool,
    /// The packs that blocks lie in.
    pub(crate) block_packs: Vec<Id>,
}

impl Run {
    /// Where the pages of a data extent are; `None` for other extents.
    pub(crate) fn pages(&self, extent: &Extent) -> Option<Pages> {
        let Content::Data { pack, chunk, inside, tag } = extent.content else {
            return None;
        };
        let pack = self.packs[pack as usize]; // `block` has checked it
        Some(Pages { pack, chunk, inside, pages: extent.pages, tag })
    }
}

/// Reads a run. Each blob is read from the first of the `copies` that serves.
///
/// # Errors
/// If the root cannot be read. Blocks that cannot be read are in `lost`.
pub(crate) fn load(packs: &Packs, span: &Span, copies: &[Which]) -> Result<Run, RunError> {
    let Root { packs: table, blocks, inline } = first_of(copies, |which| read_root(packs, span, which))?;
    let mut run =
        Run { extents: inline, lost: Vec::new(), in_blocks: !blocks.is_empty(), block_packs: Vec::new(), packs: table };
    for at in &blocks {
        let pack = run.packs[at.pack as usize]; // `root` has checked it
        run.block_packs.push(pack);
        match first_of(copies, |which| read_block(packs, at, pack, run.packs.len(), which)) {
            Ok(extents) => run.extents.extend(extents),
            Err(e) => run.lost.push(LostBlock { first: at.first, last: at.last, why: e.to_string() }),
        }
    }
    Ok(run)
}

/// Both copies, the first one preferred.
pub(crate) const EITHER: &[Which] = &[Which::First, Which::Second];

fn first_of<T>(copies: &[Which], read: impl Fn(Which) -> Result<T, RunError>) -> Result<T, RunError> {
    let mut result = read(copies[0]);
    for &which in &copies[1..] {
        if result.is_ok() {
            break;
        }
        result = result.or_else(|first| read(which).map_err(|_| first));
    }
    result
}

fn read_root(packs: &Packs, span: &Span, which: Which) -> Result<Root, RunError> {
    let plain = packs.blob(span.pack, span.frame, which)?;
    root(&plain).map_err(|cause| RunError::Malformed { pack: span.pack, frame: span.frame, cause })
}

fn read_block(packs: &Packs, at: &BlockRef, pack: Id, table: usize, which: Which) -> Result<Vec<Extent>, RunError> {
    let plain = packs.blob(pack, at.frame, which)?;
    let extents = block(&plain, table).map_err(|cause| RunError::Malformed { pack, frame: at.frame, cause })?;
    let described = extents.len() as u64 == at.extents
        && extents.first().is_some_and(|extent| (extent.disk, extent.page) == at.first)
        && extents.last().is_some_and(|extent| (extent.disk, extent.end() - 1) == at.last);
    if described { Ok(extents) } else { Err(RunError::Block { pack, frame: at.frame }) }
}
