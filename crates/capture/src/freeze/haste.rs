//! Making the kernel hurry while it freezes.
//!
//! To keep writers out, each freeze waits three times until every processor has passed a quiet moment (a grace period of RCU).
//! The kernel takes its time over these, some 20 ms each, and writers wait meanwhile. It can be asked to interrupt processors
//! instead, which takes well below a millisecond. Where the administrator set `rcu_normal`, the kernel ignores that.
//!
//! Never knows: what is frozen.
//! Invariant: what was switched on is switched off again, by the watchdog if this process dies; what somebody else switched on stays on.

use std::ffi::CStr;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::{pread, pwrite};

use super::watchdog::shared::Shared;

const SWITCH: &CStr = c"/sys/kernel/rcu_expedited";

/// The kernel hurries until this is dropped. Without the right to ask for it, it takes its time.
pub(super) struct Haste<'a> {
    shared: &'a Shared,
    /// `None`: not switched on by us.
    switch: Option<OwnedFd>,
}

impl<'a> Haste<'a> {
    /// Begins, before anything is frozen. Allocates nothing; the file is none of any disk.
    pub(super) fn begin(shared: &'a Shared) -> Haste<'a> {
        Haste { shared, switch: switch_on(SWITCH, shared) }
    }
}

impl Drop for Haste<'_> {
    fn drop(&mut self) {
        if let Some(switch) = &self.switch {
            let _ = pwrite(switch, b"0", 0);
            self.shared.set_hurried(false);
        }
    }
}

/// Switches off what a process left on that died.
pub(super) fn end_for(shared: &Shared) {
    if shared.hurried() {
        let _ = open(SWITCH, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).map(|switch| pwrite(&switch, b"0", 0));
        shared.set_hurried(false);
    }
}

fn switch_on(at: &CStr, shared: &Shared) -> Option<OwnedFd> {
    let switch = open(at, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut now = [0];
    if pread(&switch, &mut now, 0) != Ok(1) || now != *b"0" {
        return None;
    }
    // Said first: who dies between the two leaves nothing to be switched off, which does no harm.
    shared.set_hurried(true);
    if pwrite(&switch, b"1", 0).is_err() {
        shared.set_hurried(false);
        return None;
    }
    Some(switch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_off_is_switched_on_and_off_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("switch");
        let name = std::ffi::CString::new(path.to_str().expect("plain")).expect("plain");
        let (shared, _file) = Shared::new().expect("a page");
        let content = || std::fs::read(&path).expect("the switch");
        std::fs::write(&path, "0\n").expect("the switch");
        let haste = Haste { shared: &shared, switch: switch_on(&name, &shared) };
        assert!(content() == b"1\n" && shared.hurried());
        let second = Haste { shared: &shared, switch: switch_on(&name, &shared) };
        drop(second);
        assert!(content() == b"1\n" && shared.hurried(), "it was on already");
        drop(haste);
        assert!(content() == b"0\n" && !shared.hurried());
        std::fs::remove_file(&path).expect("the switch");
        assert!(switch_on(&name, &shared).is_none() && !shared.hurried(), "an old kernel");
    }
}
