//! What is tried in guests.
//!
//! Never knows: how a guest is run.

mod abandoned;
mod follow;
mod host;
mod layers;
mod libvirt;
mod nodes;
mod outside;
mod own;
mod packages;
mod power;
mod restart;
mod space;
mod stack;

use crate::fail::Result;
use crate::guest::Parts;

/// Answers what it found, in a sentence.
type Scenario = fn(&Parts<'_>) -> Result<String>;

/// All of them: name, what is tried, how.
pub(crate) const ALL: &[(&str, &str, Scenario)] = &[
    ("stack", "vfat, ext4, xfs on LVM and ext4 in LUKS on one disk are followed under writers", stack::run),
    ("nodes", "md and dm nodes as sources, and both legs of a mirror", nodes::run),
    ("power", "the power goes while a disk is followed", power::run),
    ("layers", "a clean restart of a disk with vfat, LVM and LUKS on it", layers::run),
    ("outside", "a guest with an agent is captured through QEMU, killed, and shut down", outside::run),
    ("space", "no room for saved blocks while a guest is captured through QEMU", space::run),
    ("abandoned", "protect and its watchdogs are killed while the guest is held still", abandoned::run),
    ("libvirt", "a guest of libvirt's is captured, and refusals", libvirt::run),
    ("own", "a clean restart of the disk that the system is on", own::run),
    ("packages", "the packages: installed, enrolled, upgraded, restarted, removed", packages::run),
    ("restart", "clean restarts, with and without a change while the machine was off", restart::run),
];
