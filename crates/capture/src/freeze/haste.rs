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
            switch_off(switch, self.shared);
        }
    }
}

/// Switches off what a process left on that died. `false`: it is on still.
pub(super) fn end_for(shared: &Shared) -> bool {
    end_at(SWITCH, shared)
}

fn end_at(at: &CStr, shared: &Shared) -> bool {
    let open = || open(at, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
    !shared.hurried() || open().is_ok_and(|switch| switch_off(&switch, shared))
}

/// What cannot be switched off stays told, for the next freeze or the watchdog to try again.
fn switch_off(switch: &OwnedFd, shared: &Shared) -> bool {
    let is_off = pwrite(switch, b"0", 0) == Ok(1);
    if is_off {
        shared.set_hurried(false);
    }
    is_off
}

fn switch_on(at: &CStr, shared: &Shared) -> Option<OwnedFd> {
    let switch = open(at, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut now = [0];
    if pread(&switch, &mut now, 0) != Ok(1) {
        return None;
    }
    // On, and said so: by us, and it could not be switched off.
    if now == *b"1" && shared.hurried() {
        return Some(switch);
    }
    if now != *b"0" {
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
    use std::ffi::CString;
    use std::path::Path;

    use super::*;

    fn named(path: &Path) -> CString {
        CString::new(path.to_str().expect("plain")).expect("plain")
    }

    #[test]
    fn only_what_was_off_is_switched_on_and_off_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("switch");
        let name = named(&path);
        let (shared, _file) = Shared::new().expect("a page");
        let (others, _file) = Shared::new().expect("a page");
        let content = || std::fs::read(&path).expect("the switch");
        std::fs::write(&path, "0\n").expect("the switch");
        let haste = Haste { shared: &shared, switch: switch_on(&name, &shared) };
        assert!(content() == b"1\n" && shared.hurried());
        let second = Haste { shared: &others, switch: switch_on(&name, &others) };
        drop(second);
        assert!(content() == b"1\n" && shared.hurried() && !others.hurried(), "it was on already");
        drop(haste);
        assert!(content() == b"0\n" && !shared.hurried());
        std::fs::remove_file(&path).expect("the switch");
        assert!(switch_on(&name, &shared).is_none() && !shared.hurried(), "an old kernel");
    }

    #[test]
    fn what_could_not_be_switched_off_is_tried_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("switch");
        let name = named(&path);
        let (shared, _file) = Shared::new().expect("a page");
        std::fs::write(&path, "0\n").expect("the switch");
        let switch = switch_on(&name, &shared).expect("switched on");
        // Every write to it fails.
        let broken = open(c"/dev/full", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).expect("a full device");
        drop(Haste { shared: &shared, switch: Some(broken) });
        assert!(shared.hurried(), "it is on still");
        drop(switch);
        // The watchdog cannot reach it at first.
        assert!(!end_at(&named(&folder.path().join("elsewhere")), &shared) && shared.hurried());
        assert!(!end_at(c"/dev/full", &shared) && shared.hurried());
        // The next freeze knows it as its own.
        drop(Haste { shared: &shared, switch: switch_on(&name, &shared) });
        assert!(std::fs::read(&path).expect("the switch") == b"0\n" && !shared.hurried());
        drop(switch_on(&name, &shared).expect("switched on"));
        assert!(end_at(&name, &shared) && !shared.hurried());
        assert_eq!(std::fs::read(&path).expect("the switch"), b"0\n");
        assert!(end_at(&name, &shared), "nothing is on");
    }
}
