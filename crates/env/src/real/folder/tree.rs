//! Walking and listing the folders of a home, following no symbolic link.
//!
//! Never knows: how objects are written.

use std::ffi::CStr;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Dir, DirEntry, FileType, Mode, OFlags, ResolveFlags};
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
    if path.is_empty() {
        return root.try_clone().map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO));
    }
    match at_once(root, path) {
        // Older kernels and some sandboxes do not have it; and what is in the way shows best step by step.
        Err(error) if error != Errno::NOENT => by_steps(root, path),
        opened => opened,
    }
}

/// As [`walk`], all at once (`openat2`, Linux 5.6).
fn at_once(root: &OwnedFd, path: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
    rustix::fs::openat2(root, path, flags, Mode::empty(), resolve)
}

fn by_steps(root: &OwnedFd, path: &str) -> Result<OwnedFd, Errno> {
    let mut folder = root.try_clone().map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
    for segment in path.split('/') {
        folder = step(&folder, segment)?;
    }
    Ok(folder)
}

/// Every object whose name is `prefix`, `/` and more, in the order of names. Files whose names are not those of
/// objects are nobody's business.
pub(super) fn list(root: &OwnedFd, prefix: &Key) -> Result<Vec<Listed>, Errno> {
    let mut found = Vec::new();
    each(root, prefix, |folder, name, key| {
        match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => {} // deleted since
            about => found.push(Listed { key, size: about?.st_size as u64 }),
        }
        Ok(())
    })?;
    found.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    Ok(found)
}

/// The names of [`list`].
pub(super) fn names(root: &OwnedFd, prefix: &Key) -> Result<Vec<Key>, Errno> {
    let mut found = Vec::new();
    each(root, prefix, |_, _, key| {
        found.push(key);
        Ok(())
    })?;
    found.sort_unstable();
    Ok(found)
}

/// Shows every object under a prefix, in any order.
fn each(
    root: &OwnedFd,
    prefix: &Key,
    mut show: impl FnMut(&OwnedFd, &CStr, Key) -> Result<(), Errno>,
) -> Result<(), Errno> {
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
            match kind(&folder, &entry) {
                Err(Errno::NOENT) => {} // deleted since
                kind => match kind? {
                    FileType::RegularFile => show(&folder, name, key)?,
                    FileType::Directory => folders.push(key),
                    _ => return Err(Errno::LOOP),
                },
            }
        }
    }
    Ok(())
}

/// What an entry of a folder is. Some file systems do not say while they are listed.
fn kind(folder: &OwnedFd, entry: &DirEntry) -> Result<FileType, Errno> {
    match entry.file_type() {
        FileType::Unknown => {
            let about = rustix::fs::statat(folder, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)?;
            Ok(FileType::from_raw_mode(about.st_mode))
        }
        kind => Ok(kind),
    }
}
