//! What may go wrong in a simulated home: the table of faults, and the log of those that were injected.
//!
//! Never knows: how a fault is carried out.

use std::ops::Range;

use crate::objects::Key;

/// The table of faults: nothing that it does not allow ever happens. The empty table, the default, is a perfect world
/// in which the power can still fail.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// What may happen to which objects: the first zone whose prefix a name starts with (as text) rules. An object in
    /// no zone is never harmed.
    pub zones: Vec<(String, Zone)>,
    /// Of a million operations, how many fail with [`crate::objects::ObjectError::Io`] and are perhaps done anyway.
    pub failed_ppm: u32,
    /// Of a million puts, how many find no space.
    pub no_space_ppm: u32,
    /// Bytes that all objects together may take.
    pub space: Option<u64>,
    /// Others may see a change before the one who makes it was told `Ok`, and a power loss may then undo it, each
    /// on its own, unless the folder is settled before: as a local folder does, and an object server does not.
    pub early_sight: bool,
}

/// What may happen to the objects of a zone. All rates count in a million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Zone {
    /// Puts under way when the power fails that leave the object under its name with some of its 4 KiB blocks zeros,
    /// or without its end: the disk lied about the order of writes.
    pub torn_ppm: u32,
    /// Puts that said `Ok` and are undone by the next power loss: the disk lied about a flush.
    pub lost_ppm: u32,
    /// Deletions that said `Ok` and are undone by the next power loss.
    pub undeleted_ppm: u32,
    /// Changes, anywhere, that also overwrite an aligned block of 4 KiB of a random object if it is in this zone.
    pub misdirected_ppm: u32,
    /// Operations, anywhere, at which a bit of a random object flips if it is in this zone.
    pub flipped_ppm: u32,
    /// How many blocks of 4 KiB of one object may be overwritten or have flipped bits, in its life.
    pub damages: u32,
}

/// A fault that was injected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injected {
    /// At which operation of the world, counted from 1.
    pub operation: u64,
    /// What was done.
    pub fault: Fault,
}

/// What was done to the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The power failed.
    PowerLoss,
    /// A process was killed.
    Killed {
        /// Its number, in the order in which processes were made.
        process: u64,
    },
    /// A change that was under way when the power failed survived, or did not.
    Unfinished {
        /// The object.
        key: Key,
        /// Whether the new state survived.
        survived: bool,
    },
    /// A put under way when the power failed left a torn object.
    Torn {
        /// The object.
        key: Key,
    },
    /// A put that had said `Ok` was undone by the power loss.
    Lost {
        /// The object.
        key: Key,
    },
    /// A deletion that had said `Ok` was undone by the power loss.
    Undeleted {
        /// The object.
        key: Key,
    },
    /// A block was overwritten with what belongs elsewhere.
    Misdirected {
        /// The object.
        key: Key,
        /// The bytes of the object that were overwritten.
        range: Range<u64>,
    },
    /// A bit was flipped.
    Flipped {
        /// The object.
        key: Key,
        /// In which byte.
        offset: u64,
        /// Which bit.
        bit: u8,
    },
    /// A put was told that there is no space.
    NoSpace {
        /// The object.
        key: Key,
    },
    /// An operation failed.
    Failed {
        /// The object, or prefix of a listing.
        key: Key,
        /// Whether it was done anyway. Never for reading.
        done: bool,
    },
    /// The test changed the bytes itself.
    Tampered {
        /// The object.
        key: Key,
    },
}

impl Faults {
    /// What may happen to `key`.
    pub fn zone(&self, key: &Key) -> Zone {
        let zone = self.zones.iter().find(|(prefix, _)| key.as_str().starts_with(prefix.as_str()));
        zone.map(|(_, zone)| *zone).unwrap_or_default()
    }
}
