//! A home of objects in a local folder: one plain file for each object, at the path that is its name.
//!
//! Never knows: what the objects mean, or which other processes use the folder.
//! Invariant: a file under the name of an object is whole and was made durable before it got that name. What is being
//! written, and what a crash left behind, lies in `.tmp`, which no name of an object can reach.

mod temp;
mod tree;
mod write;

use std::collections::HashSet;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use self::temp::Temp;
use crate::objects::{Abilities, Key, Listed, Object, ObjectError, Objects};

/// Objects in a local folder.
///
/// Needs a file system with hard links or exclusive renames, and whose `fsync` tells the truth. Files are made for
/// their owner only (mode 0600, folders 0700).
///
/// Guarantees beyond [`Objects`]: an object opened stays readable after it was deleted or replaced. A full disk
/// leaves nothing behind but empty folders.
///
/// Non-guarantees: an object may be seen by others before the `put` that makes it returned, and may then vanish in a
/// power loss unless [`Objects::settle`] was called. One name cannot be an object and the beginning of another object's name (`a` and `a/b`): the second
/// is refused.
pub struct Folder {
    root: OwnedFd,
    path: PathBuf,
    /// Folders whose own name is known to be durable.
    settled: Mutex<HashSet<String>>,
}

/// Why a folder could not be opened as a home.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Nothing there.
    #[error("there is no folder {}", .0.display())]
    Missing(PathBuf),
    /// A file, a device or something else.
    #[error("{} is not a folder", .0.display())]
    NotFolder(PathBuf),
    /// Rights missing, or read-only where a folder would have to be made.
    #[error("not permitted to use the folder {}", .path.display())]
    Denied {
        /// Which folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Anything else.
    #[error("the folder {} could not be used", .path.display())]
    Io {
        /// Which folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Folder {
    /// Opens a folder that is there, and removes what crashed writers left in it; never what a living one is at.
    /// A folder that cannot be written is opened for reading.
    ///
    /// # Errors
    /// [`FolderError`], each case.
    pub fn open(path: impl AsRef<Path>) -> Result<Folder, FolderError> {
        let path = path.as_ref();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| cannot_open(path, e))?;
        match temp::sweep(&root) {
            Ok(()) | Err(Errno::ROFS | Errno::ACCESS | Errno::PERM) => {}
            Err(e) => return Err(cannot_open(path, e)),
        }
        Ok(Folder { root, path: path.to_path_buf(), settled: Mutex::default() })
    }

    /// Makes the folder, and those above it, unless they are there; then as [`Folder::open`]. On `Ok` the folder
    /// survives a power loss. Says nothing of what is in it.
    ///
    /// # Errors
    /// [`FolderError`], each case but `Missing`.
    pub fn create(path: impl AsRef<Path>) -> Result<Folder, FolderError> {
        let path = path.as_ref();
        let failed = |e: io::Error| cannot_open(path, Errno::from_io_error(&e).unwrap_or(Errno::IO));
        make_durably(&std::path::absolute(path).map_err(failed)?).map_err(failed)?;
        Folder::open(path)
    }

    /// The folder, as it was named when opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the folder that holds `key`, making it if asked, and returns it with the last part of the name.
    fn parent<'k>(&self, key: &'k Key, make: bool) -> Result<(OwnedFd, &'k str), ObjectError> {
        let (folders, name) = key.as_str().rsplit_once('/').unwrap_or(("", key.as_str()));
        let folder = match make {
            true => self.make_folders(folders),
            false => tree::walk(&self.root, folders),
        };
        let folder = folder.map_err(|e| match e {
            // `a` is an object, so nothing is there under the name `a/b`.
            Errno::NOTDIR if !make => self.failed(key, Errno::NOENT),
            e => self.failed(key, e),
        });
        Ok((folder?, name))
    }

    /// As [`tree::walk`], but makes what is missing, and sees to it that each name on the way is durable: it may have
    /// been made a moment ago by a process that has not come to that yet.
    fn make_folders(&self, folders: &str) -> Result<OwnedFd, Errno> {
        if self.settled().contains(folders) {
            match tree::walk(&self.root, folders) {
                Err(Errno::NOENT) => {} // removed by somebody
                opened => return opened,
            }
        }
        let mut folder = self.root.try_clone().map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
        let mut end = 0;
        for segment in folders.split('/').filter(|s| !s.is_empty()) {
            end += segment.len();
            let so_far = &folders[..end];
            end += 1;
            let made = match rustix::fs::mkdirat(&folder, segment, Mode::RWXU) {
                Ok(()) => true,
                Err(Errno::EXIST) => false,
                Err(e) => return Err(e),
            };
            if made || !self.settled().contains(so_far) {
                rustix::fs::fsync(&folder)?;
                self.settled().insert(so_far.to_string());
            }
            folder = tree::step(&folder, segment)?;
        }
        Ok(folder)
    }

    fn settled(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes `parts` under a temporary name, then lets `name_it` give it the name, and makes that durable.
    fn write(
        &self,
        key: &Key,
        parts: &[&[u8]],
        name_it: impl Fn(&Temp, &OwnedFd, &str) -> Result<(), Errno>,
    ) -> Result<(), ObjectError> {
        let (folder, name) = self.parent(key, true)?;
        let written = || {
            let temp = Temp::new(&self.root)?;
            write::write_all(temp.file(), parts)?;
            rustix::fs::fdatasync(temp.file())?;
            name_it(&temp, &folder, name)?;
            rustix::fs::fsync(&folder)
        };
        written().map_err(|e| self.failed(key, e))
    }

    /// Opens the file of an object; refuses what is not a plain file.
    fn file(&self, key: &Key) -> Result<(std::fs::File, u64), ObjectError> {
        let (folder, name) = self.parent(key, false)?;
        // NONBLOCK: a pipe of that name must not hold us up.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&folder, name, flags, Mode::empty());
        let file = std::fs::File::from(opened.map_err(|e| self.failed(key, e))?);
        let about = file.metadata().map_err(|source| ObjectError::Io { key: key.clone(), source })?;
        match about.file_type() {
            kind if kind.is_file() => Ok((file, about.len())),
            kind if kind.is_dir() => Err(self.failed(key, Errno::NOENT)),
            _ => Err(self.failed(key, Errno::LOOP)),
        }
    }

    /// What there is under a prefix, as `list` sees it.
    fn listing<T>(
        &self,
        prefix: &Key,
        list: impl FnOnce(&OwnedFd, &Key) -> Result<Vec<T>, Errno>,
    ) -> Result<Vec<T>, ObjectError> {
        let listed = match tree::walk(&self.root, prefix.as_str()) {
            // `a` as an object is not under the prefix `a/`.
            Err(Errno::NOTDIR) => return Ok(Vec::new()),
            folder => folder.and_then(|_| list(&self.root, prefix)),
        };
        match listed.map_err(|e| self.failed(prefix, e)) {
            Err(ObjectError::NotFound(_)) => Ok(Vec::new()),
            listed => listed,
        }
    }

    /// Turns what the system said into what the caller asked. "Not found" is believed only while the folder is there.
    fn failed(&self, key: &Key, error: Errno) -> ObjectError {
        let said = |text: String| io::Error::other(text);
        let path = || self.path.join(key.as_str());
        let key = key.clone();
        match error {
            Errno::NOENT if self.is_gone() => {
                let source = said(format!("the folder {} is gone", self.path.display()));
                ObjectError::Io { key, source }
            }
            Errno::NOENT => ObjectError::NotFound(key),
            Errno::EXIST => ObjectError::Exists(key),
            Errno::NOSPC | Errno::DQUOT => ObjectError::NoSpace(key),
            Errno::ROFS | Errno::ACCESS | Errno::PERM => ObjectError::Denied { key, source: error.into() },
            Errno::LOOP | Errno::NOTDIR | Errno::ISDIR => {
                let text = "something that is not a plain file or folder of this home (a symbolic link, perhaps)";
                let source = said(format!("{text} is in the way of {}", path().display()));
                ObjectError::Io { key, source }
            }
            Errno::XDEV => {
                let text = "lies on another file system than the folder it is in, which does not work";
                let source = said(format!("{} {text}", path().display()));
                ObjectError::Io { key, source }
            }
            _ => ObjectError::Io { key, source: error.into() },
        }
    }

    /// Whether the folder was removed since it was opened.
    fn is_gone(&self) -> bool {
        rustix::fs::fstat(&self.root).is_ok_and(|about| about.st_nlink == 0)
    }
}

impl Objects for Folder {
    fn abilities(&self) -> Abilities {
        Abilities { local: true }
    }

    fn put(&self, key: &Key, parts: &[&[u8]]) -> Result<(), ObjectError> {
        self.write(key, parts, |temp, folder, name| temp.rename(folder, name, RenameFlags::empty()))
    }

    fn put_new(&self, key: &Key, parts: &[&[u8]]) -> Result<(), ObjectError> {
        self.write(key, parts, |temp, folder, name| {
            match temp.rename(folder, name, RenameFlags::NOREPLACE) {
                // A file system without exclusive renames (NFS): a hard link never replaces either.
                Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => temp.link(folder, name),
                done => done,
            }
        })
    }

    fn get(&self, key: &Key) -> Result<Vec<u8>, ObjectError> {
        let (file, size) = self.file(key)?;
        let failed = |source| ObjectError::Io { key: key.clone(), source };
        let mut bytes = Vec::new();
        let room = usize::try_from(size).ok().and_then(|size| bytes.try_reserve_exact(size).ok());
        room.ok_or_else(|| failed(io::Error::from(io::ErrorKind::OutOfMemory)))?;
        bytes.resize(size as usize, 0);
        file.read_exact_at(&mut bytes, 0).map_err(failed)?;
        Ok(bytes)
    }

    fn open(&self, key: &Key) -> Result<Box<dyn Object>, ObjectError> {
        let (file, size) = self.file(key)?;
        Ok(Box::new(OpenFile { key: key.clone(), file, size }))
    }

    fn list(&self, prefix: &Key) -> Result<Vec<Listed>, ObjectError> {
        self.listing(prefix, tree::list)
    }

    fn names(&self, prefix: &Key) -> Result<Vec<Key>, ObjectError> {
        self.listing(prefix, tree::names)
    }

    fn delete(&self, key: &Key) -> Result<(), ObjectError> {
        let (folder, name) = match self.parent(key, false) {
            Err(ObjectError::NotFound(_)) => return Ok(()),
            parent => parent?,
        };
        let deleted = match rustix::fs::unlinkat(&folder, name, AtFlags::empty()) {
            // Deleted by someone else perhaps, who has not come to making it durable yet.
            Ok(()) | Err(Errno::NOENT) => rustix::fs::fsync(&folder),
            Err(Errno::ISDIR) => Ok(()),
            Err(e) => Err(e),
        };
        deleted.map_err(|e| self.failed(key, e))
    }

    fn delete_all(&self, keys: &[Key]) -> Result<(), ObjectError> {
        let folder_of = |key: &Key| key.as_str().rsplit_once('/').map(|(folder, _)| folder.to_owned());
        for same in keys.chunk_by(|a, b| folder_of(a) == folder_of(b)) {
            let folder = match self.parent(&same[0], false) {
                Err(ObjectError::NotFound(_)) => continue,
                parent => parent?.0,
            };
            for key in same {
                let name = key.as_str().rsplit('/').next().unwrap_or_default();
                match rustix::fs::unlinkat(&folder, name, AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT | Errno::ISDIR) => {}
                    Err(e) => return Err(self.failed(key, e)),
                }
            }
            rustix::fs::fsync(&folder).map_err(|e| self.failed(&same[0], e))?;
        }
        Ok(())
    }

    fn settle(&self, folder: &Key) -> Result<(), ObjectError> {
        let settled = match tree::walk(&self.root, folder.as_str()) {
            Err(Errno::NOTDIR) => return Ok(()),
            found => found.and_then(rustix::fs::fsync),
        };
        match settled.map_err(|e| self.failed(folder, e)) {
            Err(ObjectError::NotFound(_)) => Ok(()),
            settled => settled,
        }
    }
}

/// An object as an open file. The file never changes: a replacement is another file.
struct OpenFile {
    key: Key,
    file: std::fs::File,
    size: u64,
}

impl Object for OpenFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ObjectError> {
        let end = offset.checked_add(buf.len() as u64);
        if end.is_none_or(|end| end > self.size) {
            return Err(ObjectError::Short(self.key.clone()));
        }
        let read = self.file.read_exact_at(buf, offset);
        read.map_err(|source| ObjectError::Io { key: self.key.clone(), source })
    }
}

/// Makes a folder and those above it, each durable in the one above; what was there is left as it is.
fn make_durably(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    if path.is_dir() {
        return Ok(());
    }
    let above = path.parent().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    make_durably(above)?;
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    std::fs::File::open(above)?.sync_all()
}

fn cannot_open(path: &Path, error: Errno) -> FolderError {
    let path = path.to_path_buf();
    match error {
        Errno::NOENT => FolderError::Missing(path),
        Errno::NOTDIR | Errno::EXIST => FolderError::NotFolder(path),
        Errno::ACCESS | Errno::PERM | Errno::ROFS => FolderError::Denied { path, source: error.into() },
        _ => FolderError::Io { path, source: error.into() },
    }
}
