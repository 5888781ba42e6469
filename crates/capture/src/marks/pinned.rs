//! Marks in maps of the kernel, pinned so that they outlive this process.
//!
//! Never knows: what a pass is, or which programs mark.

use std::io;
use std::path::Path;

use aya::maps::{Array, MapData};

use super::bitmap::Bitmap;
use super::layout::{Shape, VALUE_BYTES};
use super::memory::Mapped;

/// The marks of one disk, live or pending.
pub(crate) type Pinned = Bitmap<Mapped>;

/// `BPF_F_MMAPABLE` and `BPF_F_INNER_MAP`: mapped by us; of any size in one map of maps.
const FLAGS: u32 = 1 << 10 | 1 << 12;

/// Makes a map without marks and pins it.
///
/// # Errors
/// `AlreadyExists`; `OutOfMemory` and whatever else the kernel says.
pub(crate) fn create(pin: &Path, shape: Shape) -> io::Result<(Pinned, MapData)> {
    let map = Array::<MapData, [u8; VALUE_BYTES]>::create(shape.values() as u32, FLAGS).map_err(plain)?;
    map.pin(pin).map_err(plain)?;
    let map = MapData::from_pin(pin).map_err(plain)?;
    let marks = Bitmap::new(Mapped::new(map.fd(), shape.words())?, shape);
    Ok((marks, map))
}

/// Opens a pinned map. `None`: it is none of ours, or was not finished.
///
/// # Errors
/// What the kernel says.
pub(crate) fn open(pin: &Path) -> io::Result<Option<(Pinned, MapData)>> {
    let map = MapData::from_pin(pin).map_err(plain)?;
    let info = map.info().map_err(plain)?;
    if info.value_size() as usize != VALUE_BYTES {
        return Ok(None);
    }
    let words = info.max_entries() as usize * VALUE_BYTES / size_of::<u64>();
    let marks = Bitmap::existing(Mapped::new(map.fd(), words)?);
    Ok(marks.map(|marks| (marks, map)))
}

/// The cause as the system's own error, where there is one, so that callers can tell what happened.
pub(crate) fn plain(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(inner) = cause {
        if let Some(system) = inner.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return io::Error::from_raw_os_error(system);
        }
        cause = inner.source();
    }
    io::Error::other(error)
}
