//! Memory that does not go away while everything is still: a page that has to be read in, or made room for by writing, may
//! wait for a file system that is frozen.
//!
//! Not for longer than that: what is locked cannot be given back to the machine, and buffers of a busy hour would stay.
//!
//! Never knows: what is in it.
#![allow(unsafe_code)]

use std::fs;
use std::io;

use rustix::mm::{MlockAllFlags, mlock, mlockall, munlockall};

/// All memory that this process has touched stays until this is dropped.
#[derive(Debug)]
#[must_use]
pub struct Locked(());

/// Locks all memory of this process that is there, and reads in and locks its programs. What is touched for the first time
/// later is not locked: touch it before.
///
/// # Errors
/// What the kernel says, such as `PermissionDenied` without CAP_IPC_LOCK; then nothing is locked.
pub fn lock_memory() -> io::Result<Locked> {
    let mappings = fs::read_to_string("/proc/self/maps")?;
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::ONFAULT)?;
    let locked = Locked(());
    for (start, len) in mappings.lines().filter_map(program) {
        // SAFETY: locking changes nothing of what is in memory, whatever is there by now.
        unsafe { mlock(std::ptr::without_provenance_mut(start), len) }?;
    }
    Ok(locked)
}

impl Drop for Locked {
    fn drop(&mut self) {
        // Fails for no reason that there is.
        let _ = munlockall();
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
        let guard = lock_memory().expect("locks");
        assert!(locked() > 1000);
        drop(guard);
        // Other tests of this process may have a page locked just now.
        assert!(locked() < 1000);
    }
}
