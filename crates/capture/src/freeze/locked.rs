//! Memory that does not go away while everything is still: a page that has to be read in, or made room for by writing, may
//! wait for a file system that is frozen.
//!
//! Not for much longer than that: what is locked cannot be given back to the machine, and buffers of a busy hour would stay. But letting go
//! takes milliseconds, and can wait until nobody waits for the point.
//!
//! Never knows: what is in it.
#![allow(unsafe_code)]

use std::fs;
use std::io;

use rustix::mm::{MlockAllFlags, mlock, mlockall, munlockall};

/// Whether the memory of this process is locked; dropped, it is not. One in a process: it is about all of it.
#[derive(Debug, Default)]
pub struct MemoryLock {
    held: bool,
}

impl MemoryLock {
    /// Locks all memory of this process that is there, and reads in and locks its programs: it stays until it is let go. What is touched
    /// for the first time later is not locked: touch it before.
    ///
    /// # Errors
    /// What the kernel says, such as `PermissionDenied` without CAP_IPC_LOCK; then nothing is locked.
    pub fn lock(&mut self) -> io::Result<()> {
        let mappings = fs::read_to_string("/proc/self/maps")?;
        mlockall(MlockAllFlags::CURRENT | MlockAllFlags::ONFAULT)?;
        self.held = true;
        for (start, len) in mappings.lines().filter_map(program) {
            // SAFETY: locking changes nothing of what is in memory, whatever is there by now.
            let locked = unsafe { mlock(std::ptr::without_provenance_mut(start), len) };
            locked.inspect_err(|_| self.let_go())?;
        }
        Ok(())
    }

    /// It need not stay any more.
    pub fn let_go(&mut self) {
        if std::mem::take(&mut self.held) {
            // Fails for no reason that there is.
            let _ = munlockall();
        }
    }
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// Where a mapping of a file that is run lies: `start-end r-xp offset device inode /path`.
fn program(line: &str) -> Option<(usize, usize)> {
    let mut words = line.split_ascii_whitespace();
    let (place, rights) = (words.next()?, words.next()?);
    let is_file = words.nth(3)?.starts_with('/');
    let (start, end) = place.split_once('-')?;
    let (start, end) = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
    (is_file && rights.starts_with("r-x")).then_some((start, end.checked_sub(start)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found() {
        let line = "555afb718000-555afbb2f000 r-xp 00000000 fe:00 1234                       /usr/bin/it";
        assert_eq!(program(line), Some((0x555a_fb71_8000, 0x41_7000)));
        assert_eq!(program("7f00-7f10 rw-p 00000000 fe:00 1234 /usr/bin/it"), None);
        assert_eq!(program("7f00-7f10 r-xp 00000000 00:00 0 [vdso]"), None);
        assert_eq!(program("7f00-7f10 rw-p 00000000 00:00 0"), None);
    }

    #[test]
    fn locked_and_let_go() {
        let locked = || {
            let status = fs::read_to_string("/proc/self/status").expect("status");
            let line = status.lines().find_map(|line| line.strip_prefix("VmLck:")).expect("VmLck").to_owned();
            line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number")
        };
        let mut memory = MemoryLock::default();
        memory.lock().expect("locks");
        assert!(locked() > 1000);
        memory.let_go();
        // Other tests of this process may have a page locked just now.
        assert!(locked() < 1000);
    }
}
