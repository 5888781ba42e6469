//! What all disks of a tracker share, pinned: which set of programs marks, and who they are.
//!
//! Never knows: how programs are loaded.
//! Invariant: the number of the set is written last, so that a set that is named here is attached.

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;

use aya::maps::{Array, MapData};

use super::programs::PROGRAMS;
use crate::marks::Mapped;
use crate::marks::layout::{VALUE_BYTES, VALUE_WORDS};
use crate::marks::pinned::plain;

/// `bsstate` and a zero.
const MAGIC: u64 = u64::from_le_bytes(*b"bsstate\0");
/// Goes up with every change of this file.
const VERSION: u64 = 1;
/// `BPF_F_MMAPABLE`.
const FLAGS: u32 = 1 << 10;

/// Where things are, in words.
mod word {
    pub(super) const MAGIC: usize = 0;
    pub(super) const VERSION: usize = 1;
    pub(super) const SET: usize = 2;
    pub(super) const OBJECT: usize = 3;
    /// Numbers of the programs of even and of odd sets.
    pub(super) const IDS: [usize; 2] = [8, 24];
}

/// The shared state.
#[derive(Debug)]
pub(crate) struct State(Mapped);

impl State {
    /// Opens or makes it.
    ///
    /// # Errors
    /// What the kernel says; `InvalidData` for what another version of the program left.
    pub(crate) fn open(pin: &Path) -> io::Result<State> {
        if !pin.exists() {
            let map = Array::<MapData, [u8; VALUE_BYTES]>::create(1, FLAGS).map_err(plain)?;
            map.pin(pin).map_err(plain)?;
        }
        let map = MapData::from_pin(pin).map_err(plain)?;
        let state = State(Mapped::new(map.fd(), VALUE_WORDS)?);
        match (state.get(word::MAGIC), state.get(word::VERSION)) {
            (0, _) => {
                state.put(word::VERSION, VERSION);
                state.put(word::MAGIC, MAGIC);
                Ok(state)
            }
            (MAGIC, VERSION) => Ok(state),
            (_, version) => {
                let sentence = format!("what is pinned there is of version {version}, not {VERSION}");
                Err(io::Error::new(io::ErrorKind::InvalidData, sentence))
            }
        }
    }

    /// The set of programs that marks; 0 before there was one.
    pub(crate) fn set(&self) -> u64 {
        self.get(word::SET)
    }

    /// Stands for the object that the set was loaded from.
    pub(crate) fn object(&self) -> u64 {
        self.get(word::OBJECT)
    }

    /// The numbers of a set's programs, in the order of [`PROGRAMS`].
    pub(crate) fn ids(&self, set: u64) -> [u32; PROGRAMS.len()] {
        std::array::from_fn(|at| self.get(word::IDS[(set % 2) as usize] + at) as u32)
    }

    /// From now on this set marks.
    pub(crate) fn switch(&self, set: u64, object: u64, ids: [u32; PROGRAMS.len()]) {
        for (at, id) in ids.iter().enumerate() {
            self.put(word::IDS[(set % 2) as usize] + at, u64::from(*id));
        }
        self.put(word::OBJECT, object);
        self.put(word::SET, set);
    }

    fn get(&self, at: usize) -> u64 {
        self.0[at].load(Ordering::SeqCst)
    }

    fn put(&self, at: usize, value: u64) {
        self.0[at].store(value, Ordering::SeqCst);
    }
}
