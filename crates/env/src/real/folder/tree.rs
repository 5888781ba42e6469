//! Walking and listing the folders of a home, following no symbolic link.
//!
//! Never knows: how objects are written.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::objects::{Key, Listed};

/// Opens the folder `name` in `folder`. `NOTDIR`: it is a plain file. `LOOP`: a symbolic link or something stranger.
pub(super) fn step(folder: &OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(folder, name, flags, Mode::empty());
    if let Err(Errno::NOTDIR) = opened {
        let about = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(about.st_mode) != FileType::RegularFile {
            return Err(Errno::LOOP);
        }
    }
    opened
}

/// Opens the folder that `path`, segments joined by `/`, leads to; empty: `root` itself.
pub(super) fn walk(root: &OwnedFd, path: &str) -> Result<OwnedFd, Errno> {
    let mut segments = path.split('/').filter(|s| !s.is_empty());
    let Some(first) = segments.next() else {
        return root.try_clone().map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO));
    };
    segments.try_fold(step(root, first)?, |folder, segment| step(&folder, segment))
}

/// Every object whose name is `prefix`, `/` and more, in the order of names. Files whose names are not those of
/// objects are nobody's business.
pub(super) fn list(root: &OwnedFd, prefix: &Key) -> Result<Vec<Listed>, Errno> {
    let mut found = Vec::new();
    let mut folders = vec![prefix.clone()];
    while let Some(prefix) = folders.pop() {
        let folder = match walk(root, prefix.as_str()) {
            Err(Errno::NOENT) => continue, // removed since
            folder => folder?,
        };
        for entry in Dir::read_from(&folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(key) = name.to_str().ok().and_then(|name| Key::new(format!("{prefix}/{name}"))) else {
                continue;
            };
            let about = match rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue, // deleted since
                about => about?,
            };
            match FileType::from_raw_mode(about.st_mode) {
                FileType::RegularFile => found.push(Listed { key, size: about.st_size as u64 }),
                FileType::Directory => folders.push(key),
                _ => return Err(Errno::LOOP),
            }
        }
    }
    found.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    Ok(found)
}
