//! Which pages of a disk may have changed: marks that the kernel's programs set, and what has become of those that
//! were taken.
//!
//! A mark is *live* until a pass takes it; then it is *pending* for that pass until what was read is safe elsewhere.
//! Both outlive this process. So at every instant, and after a `kill -9` too, what may differ between the disk and the
//! copy elsewhere is what is live or pending.
//!
//! Never knows: how pages are read, where they go, or whether the marks can be trusted.

mod bitmap;
mod collect;
pub(crate) mod layout;
mod memory;
pub(crate) mod pinned;

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroU64;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) use self::memory::Mapped;
use self::pinned::Pinned;

/// What one commit covers: all marks that were collected under its number. The caller chooses numbers; one that was
/// committed or merged back may be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pass(pub NonZeroU64);

impl std::fmt::Display for Pass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Pages to read, in runs; see [`Marks::collect`].
pub type Collect = collect::Collect<Mapped>;
/// Pages in runs; see [`Marks::pending`].
pub type Look = collect::Look<Mapped>;

/// The marks of one disk. Any number of threads may use them at once.
#[derive(Debug)]
pub struct Marks {
    live: Arc<Pinned>,
    pending: Mutex<BTreeMap<Pass, Arc<Pinned>>>,
    /// Pending marks are pinned at this path with the pass's number behind.
    stem: PathBuf,
}

impl Marks {
    /// Marks, and those pending that are pinned at `stem` with a number behind.
    pub(crate) fn open(live: Pinned, stem: &Path, passes: impl IntoIterator<Item = Pass>) -> io::Result<Marks> {
        let marks = Marks { live: Arc::new(live), pending: Mutex::default(), stem: stem.to_path_buf() };
        for pass in passes {
            let pin = marks.pin(pass);
            match pinned::open(&pin)? {
                Some((pending, _)) if pending.shape() == marks.live.shape() => {
                    pending.mend();
                    marks.all_pending().insert(pass, Arc::new(pending));
                }
                // Its maker died before it took a mark.
                _ => std::fs::remove_file(&pin)?,
            }
        }
        Ok(marks)
    }

    /// Pages of the disk; the last may be less than a whole one.
    pub fn pages(&self) -> u64 {
        self.live.pages()
    }

    /// Makes room for the pending marks of a pass, so that [`Marks::collect`] allocates nothing. 32 MiB a TiB.
    ///
    /// # Errors
    /// `OutOfMemory`, and whatever else the kernel says.
    pub fn prepare(&self, pass: Pass) -> io::Result<()> {
        self.pending_of(pass).map(|_| ())
    }

    /// Takes the marks of all pages that may have changed since their marks were taken last, and gives the pages in
    /// runs. What a run names must be read past the page cache, after the run was given.
    ///
    /// May be called any number of times in a pass. Two at once share the marks between them.
    ///
    /// # Errors
    /// As [`Marks::prepare`], in the first call of a pass.
    pub fn collect(&self, pass: Pass) -> io::Result<Collect> {
        Ok(Collect::new(self.live.clone(), self.pending_of(pass)?))
    }

    /// What was read in the pass is safe: forgets its marks. Marks that were set since, or that another pass took,
    /// stay. Nothing happens if there are none.
    ///
    /// # Errors
    /// What the kernel says; then the marks may come back after a restart, which costs reading their pages again.
    pub fn committed(&self, pass: Pass) -> io::Result<()> {
        match self.all_pending().remove(&pass) {
            Some(_) => std::fs::remove_file(self.pin(pass)),
            None => Ok(()),
        }
    }

    /// What was read in the pass got nowhere: its marks are live again. No [`Collect`] of the pass may be in use.
    ///
    /// # Errors
    /// What the kernel says; then the marks are live, and may come back once more after a restart.
    pub fn merge_back(&self, pass: Pass) -> io::Result<()> {
        let Some(pending) = self.all_pending().remove(&pass) else {
            return Ok(());
        };
        let mut next = 0;
        while let Some(value) = pending.next_value(next) {
            self.live.add(value, &pending.peek(value));
            next = value + 1;
        }
        std::fs::remove_file(self.pin(pass))
    }

    /// Passes with pending marks, in order. After a restart: what was under way when the process before died.
    pub fn uncommitted(&self) -> Vec<Pass> {
        self.all_pending().keys().copied().collect()
    }

    /// The pages of a pass's pending marks, in runs.
    pub fn pending(&self, pass: Pass) -> Option<Look> {
        self.all_pending().get(&pass).map(|pending| Look::new(pending.clone()))
    }

    /// The pages with live marks, in runs; takes none.
    pub fn live(&self) -> Look {
        Look::new(self.live.clone())
    }

    /// How many pages have live marks: what the next [`Marks::collect`] would give, if nothing were written meanwhile.
    pub fn count(&self) -> u64 {
        self.live.count()
    }

    /// Marks pages as the kernel's programs do. For pages that could not be read, and for those that were never.
    pub fn mark(&self, pages: Range<u64>) {
        self.live.add_range(pages);
    }

    /// Whether all pages of a range have live marks.
    pub fn has(&self, pages: Range<u64>) -> bool {
        pages.end <= self.pages() && self.live.has(pages)
    }

    /// The header and all that is about the whole disk.
    pub(crate) fn header(&self) -> &Pinned {
        &self.live
    }

    fn pending_of(&self, pass: Pass) -> io::Result<Arc<Pinned>> {
        let mut all = self.all_pending();
        if let Some(pending) = all.get(&pass) {
            return Ok(pending.clone());
        }
        let pin = self.pin(pass);
        let shape = self.live.shape();
        let (pending, _) = match pinned::create(&pin, shape) {
            // Committed, but its pin could not be removed then.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                std::fs::remove_file(&pin)?;
                pinned::create(&pin, shape)?
            }
            made => made?,
        };
        pending.begin();
        let pending = Arc::new(pending);
        all.insert(pass, pending.clone());
        Ok(pending)
    }

    fn pin(&self, pass: Pass) -> PathBuf {
        let mut path = self.stem.clone().into_os_string();
        path.push(pass.to_string());
        PathBuf::from(path)
    }

    fn all_pending(&self) -> MutexGuard<'_, BTreeMap<Pass, Arc<Pinned>>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
