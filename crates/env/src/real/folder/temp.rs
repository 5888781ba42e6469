//! Temporary files of a folder: what is being written, until it gets its name.
//!
//! Never knows: which object a file will become.
//! Invariant: whoever removes a file it did not make holds that file's lock, and a writer holds it from before the
//! first byte until the file has its name; so what a living writer is at is never removed.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::tree;

/// The folder of temporary files. A name of an object cannot start with a dot.
const FOLDER: &str = ".tmp";

/// A file that has no name as an object yet. Gone when dropped, unless it got one.
pub(super) struct Temp {
    folder: OwnedFd,
    name: String,
    file: OwnedFd,
    named: std::cell::Cell<bool>,
}

impl Temp {
    /// Makes an empty file under a name nobody else uses, and locks it.
    pub(super) fn new(root: &OwnedFd) -> Result<Temp, Errno> {
        loop {
            let temp = Temp::make(folder(root)?)?;
            match rustix::io::retry_on_intr(|| rustix::fs::flock(&temp.file, FlockOperation::LockExclusive)) {
                // Without locks nobody can prove a file abandoned, so nobody removes it.
                Ok(()) | Err(Errno::NOTSUP | Errno::NOLCK | Errno::NOSYS | Errno::INVAL) => {}
                Err(e) => return Err(e),
            }
            if rustix::fs::fstat(&temp.file)?.st_nlink > 0 {
                return Ok(temp);
            }
            // Swept away between making and locking it: it is not ours any more.
            temp.named.set(true);
        }
    }

    fn make(folder: OwnedFd) -> Result<Temp, Errno> {
        let mut random = [0; 16];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
        let name: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&folder, &name, flags, Mode::RUSR | Mode::WUSR)?;
        Ok(Temp { folder, name, file, named: false.into() })
    }

    pub(super) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Gives the file its name.
    pub(super) fn rename(&self, folder: &OwnedFd, name: &str, flags: RenameFlags) -> Result<(), Errno> {
        match flags.is_empty() {
            true => rustix::fs::renameat(&self.folder, &self.name, folder, name)?,
            false => rustix::fs::renameat_with(&self.folder, &self.name, folder, name, flags)?,
        }
        self.named.set(true);
        Ok(())
    }

    /// Gives the file its name as a second one; the temporary one goes when this is dropped.
    pub(super) fn link(&self, folder: &OwnedFd, name: &str) -> Result<(), Errno> {
        rustix::fs::linkat(&self.folder, &self.name, folder, name, AtFlags::empty())
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        if !self.named.get() {
            // Should it fail, the file is a leftover as after a crash, and swept away later.
            let _leftover = rustix::fs::unlinkat(&self.folder, &self.name, AtFlags::empty());
        }
    }
}

/// The folder of temporary files, made if it is not there.
fn folder(root: &OwnedFd) -> Result<OwnedFd, Errno> {
    match tree::step(root, FOLDER) {
        Err(Errno::NOENT) => {}
        opened => return opened,
    }
    match rustix::fs::mkdirat(root, FOLDER, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => tree::step(root, FOLDER),
        Err(e) => Err(e),
    }
}

/// Removes the temporary files that no living writer holds.
pub(super) fn sweep(root: &OwnedFd) -> Result<(), Errno> {
    let folder = match tree::step(root, FOLDER) {
        Err(Errno::NOENT) => return Ok(()),
        folder => folder?,
    };
    for entry in Dir::read_from(&folder)? {
        let entry = entry?;
        let name = entry.file_name();
        // Anything else is not of our making, nor is the folder, perhaps.
        if !is_ours(name.to_bytes()) {
            continue;
        }
        match sweep_one(&folder, name) {
            Ok(()) | Err(Errno::NOENT | Errno::WOULDBLOCK | Errno::LOOP | Errno::ISDIR) => {}
            Err(Errno::NOTSUP | Errno::NOLCK | Errno::NOSYS | Errno::INVAL) => return Ok(()),
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Whether a name is one that [`Temp::make`] gives.
fn is_ours(name: &[u8]) -> bool {
    name.len() == 32 && name.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn sweep_one(folder: &OwnedFd, name: &std::ffi::CStr) -> Result<(), Errno> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(folder, name, flags, Mode::empty())?;
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    rustix::fs::unlinkat(folder, name, AtFlags::empty())
}
