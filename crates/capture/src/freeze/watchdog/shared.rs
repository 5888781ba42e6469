//! What the freezing process and its watchdog both see: one page of memory with who froze what, and whether the limit
//! has passed.
//!
//! ```text
//!          arm              stop reading           all thawed
//!  Idle ────────▶ Armed ──────────────▶ Thawing ─────────────▶ Idle
//!                   │                      │                    ▲
//!                   │ limit, or the freezing process died       │ all thawed
//!                   ├──────────────────────┼──────▶ Expired ────┤
//!                   │ the watchdog died    │                    │
//!                   └──────────────────────┴────▶ Unguarded ────┘
//! ```
//!
//! The edges out of Armed exclude each other and happen before any thaw. So who gets from Armed to Thawing knows: when
//! it stopped reading, nobody on our side had thawed anything.
//!
//! Never knows: time, or which process it is in.

use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};

use crate::freeze::ioctl;

/// As many file systems as one message can hand over.
pub(crate) const MOST: usize = 253;

/// Where a freeze stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    Idle,
    Armed,
    Thawing,
    Expired,
    Unguarded,
}

/// What is known of one file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Slot {
    /// Not frozen by us.
    Free,
    /// The call that freezes it may be under way.
    Freezing,
    /// Frozen by us.
    Frozen,
    /// It has no freeze.
    Cannot,
}

#[repr(C)]
struct Page {
    phase: AtomicU8,
    /// The kernel was asked to hurry.
    hurried: AtomicU8,
    slots: [AtomicU8; MOST],
}

const LENGTH: usize = 4096;
const _: () = assert!(size_of::<Page>() <= LENGTH);

/// The page, in this process.
pub(crate) struct Shared {
    page: NonNull<Page>,
}

// SAFETY: the page stays mapped until the drop, and everything in it is atomic.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// A new page, and the file by which another process maps it.
    pub(crate) fn new() -> rustix::io::Result<(Shared, OwnedFd)> {
        let file = rustix::fs::memfd_create("freeze", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        rustix::fs::ftruncate(&file, LENGTH as u64)?;
        rustix::fs::fcntl_add_seals(&file, SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
        Ok((Shared::map(&file)?, file))
    }

    /// The page behind a file of [`Shared::new`].
    pub(super) fn map(file: impl AsFd) -> rustix::io::Result<Shared> {
        if rustix::fs::fstat(&file)?.st_size != LENGTH as i64 {
            return Err(Errno::INVAL);
        }
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED | MapFlags::POPULATE);
        // SAFETY: a new mapping at an address of the kernel's choice; the file is long enough, and sealed against
        // becoming shorter.
        let address = unsafe { rustix::mm::mmap(std::ptr::null_mut(), LENGTH, access, flags, file, 0) }?;
        // SAFETY: the mapping was made on the line above, and is LENGTH long.
        unsafe { rustix::mm::mlock(address, LENGTH) }?;
        Ok(Shared { page: NonNull::new(address.cast()).ok_or(Errno::INVAL)? })
    }

    fn page(&self) -> &Page {
        // SAFETY: mapped until the drop, page-aligned, long enough; any bytes are a valid Page, and all access by this
        // and the other process is atomic.
        unsafe { self.page.as_ref() }
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.page().phase.load(SeqCst) {
            0 => Phase::Idle,
            1 => Phase::Armed,
            2 => Phase::Thawing,
            3 => Phase::Expired,
            _ => Phase::Unguarded,
        }
    }

    /// Goes along one edge; `false` if the phase was another.
    pub(crate) fn enter(&self, from: Phase, to: Phase) -> bool {
        self.page().phase.compare_exchange(from as u8, to as u8, SeqCst, SeqCst).is_ok()
    }

    /// Says that our side is about to thaw for this reason, unless it did so already.
    pub(super) fn end(&self, why: Phase) {
        let _ended = self.enter(Phase::Armed, why) || self.enter(Phase::Thawing, why);
    }

    /// Back to where nothing is frozen, for the next freeze. What cannot be frozen is forgotten.
    pub(crate) fn reset(&self) {
        self.page().slots.iter().for_each(|slot| slot.store(Slot::Free as u8, SeqCst));
        self.page().phase.store(Phase::Idle as u8, SeqCst);
    }

    /// Whether the freezing process asked the kernel to hurry, and has not said yet that it need not any more.
    pub(crate) fn hurried(&self) -> bool {
        self.page().hurried.load(SeqCst) != 0
    }

    pub(crate) fn set_hurried(&self, hurried: bool) {
        self.page().hurried.store(hurried.into(), SeqCst);
    }

    pub(crate) fn slot(&self, at: usize) -> Slot {
        match self.page().slots[at].load(SeqCst) {
            0 => Slot::Free,
            1 => Slot::Freezing,
            2 => Slot::Frozen,
            _ => Slot::Cannot,
        }
    }

    pub(crate) fn set_slot(&self, at: usize, slot: Slot) {
        self.page().slots[at].store(slot as u8, SeqCst);
    }

    /// Says that the call that froze it has returned; `false` if somebody on our side thawed it already.
    pub(crate) fn froze(&self, at: usize) -> bool {
        let slot = &self.page().slots[at];
        slot.compare_exchange(Slot::Freezing as u8, Slot::Frozen as u8, SeqCst, SeqCst).is_ok()
    }

    /// Thaws, in reverse order, what was frozen by us and is still. Answers whether nothing is left. `freezing_ended`:
    /// no call that freezes can be under way any more.
    pub(super) fn thaw_all(&self, files: &[OwnedFd], freezing_ended: bool) -> bool {
        let mut nothing_left = true;
        for (at, file) in files.iter().enumerate().rev() {
            let slot = self.slot(at);
            if !matches!(slot, Slot::Freezing | Slot::Frozen) {
                continue;
            }
            match ioctl::thaw(file) {
                Ok(()) => self.set_slot(at, Slot::Free),
                // Not frozen: thawed by somebody, or never reached.
                Err(Errno::INVAL) if slot == Slot::Frozen || freezing_ended => self.set_slot(at, Slot::Free),
                Err(_) => nothing_left = false,
            }
        }
        nothing_left
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: mapped by `map` with this length; no reference into it outlives `self`.
        let _ = unsafe { rustix::mm::munmap(self.page.as_ptr().cast(), LENGTH) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Phase; 5] = [Phase::Idle, Phase::Armed, Phase::Thawing, Phase::Expired, Phase::Unguarded];

    #[test]
    fn both_sides_see_one_page() {
        let (ours, file) = Shared::new().expect("a page");
        let theirs = Shared::map(&file).expect("the page again");
        assert_eq!((theirs.phase(), theirs.slot(MOST - 1)), (Phase::Idle, Slot::Free));
        for from in ALL {
            for to in ALL {
                assert!(ours.enter(ours.phase(), from));
                assert!(!theirs.enter(ALL[(from as usize + 1) % ALL.len()], to));
                assert!(theirs.enter(from, to));
                assert_eq!(ours.phase(), to);
            }
        }
        for slot in [Slot::Freezing, Slot::Frozen, Slot::Cannot, Slot::Free] {
            ours.set_slot(MOST - 1, slot);
            assert_eq!(theirs.slot(MOST - 1), slot);
        }
        theirs.reset();
        assert_eq!(ours.phase(), Phase::Idle);
        assert!(!ours.froze(3), "thawed by somebody");
    }

    #[test]
    fn another_file_is_not_mapped() {
        let short = rustix::fs::memfd_create("short", MemfdFlags::CLOEXEC).expect("a file");
        assert_eq!(Shared::map(short).err(), Some(Errno::INVAL));
    }
}
