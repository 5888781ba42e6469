//! The data folder: what is secret is ours alone, and what is written is there whole or not at all.
//!
//! Never knows: what the files mean.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::ServerError;

/// A data folder that no other server has.
pub(crate) struct Place {
    root: PathBuf,
    /// Held for as long as the server lives.
    _lock: File,
}

impl Place {
    /// Takes the folder, making it if need be.
    ///
    /// # Errors
    /// [`ServerError::Busy`] if another server has it; [`ServerError::Place`].
    pub(crate) fn take(root: &Path) -> Result<Place, ServerError> {
        folder(root)?;
        let path = root.join("lock");
        let lock = File::options().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let lock = lock.map_err(failed(&path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ServerError::Busy(root.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed(&path)(error)),
        }
        for name in ["ca", "keys"] {
            folder(&root.join(name))?;
        }
        Ok(Place { root: root.to_owned(), _lock: lock })
    }

    /// A file or folder in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// A file's text; `None`: there is none.
    ///
    /// # Errors
    /// [`ServerError::Place`].
    pub(crate) fn read(&self, name: &str) -> Result<Option<Zeroizing<String>>, ServerError> {
        let path = self.path(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(Zeroizing::new(text))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&path)(error)),
        }
    }

    /// Writes a file that only we may read. When this returns it survives a power loss; before that, there is none.
    ///
    /// # Errors
    /// [`ServerError::Place`].
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<(), ServerError> {
        let (path, new) = (self.path(name), self.path(&format!("{name}.new")));
        let write = || -> io::Result<()> {
            let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(content.as_ref())?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
        };
        write().map_err(failed(&path))
    }

    /// A file's text; what `make` says, kept, if there is none yet.
    ///
    /// # Errors
    /// [`ServerError::Place`].
    pub(crate) fn keep(&self, name: &str, make: impl FnOnce() -> String) -> Result<Zeroizing<String>, ServerError> {
        if let Some(text) = self.read(name)? {
            return Ok(text);
        }
        let text = Zeroizing::new(make());
        self.write(name, text.as_str())?;
        Ok(text)
    }
}

/// Makes a folder that is ours alone, if it is not there yet.
pub(crate) fn folder(path: &Path) -> Result<(), ServerError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed(path))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> ServerError {
    let place = path.to_owned();
    move |source| ServerError::Place { place, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn one_server_has_it_and_secrets_are_its_own() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("data");
        let place = Place::take(&root).unwrap();
        assert!(matches!(Place::take(&root), Err(ServerError::Busy(_))));
        assert_eq!(*place.keep("keys/store", || "one".into()).unwrap(), "one");
        assert_eq!(*place.keep("keys/store", || "two".into()).unwrap(), "one");
        let mode = |name: &str| fs::metadata(place.path(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("keys"), mode("keys/store"), mode("ca")), (0o700, 0o600, 0o700));
        drop(place);
        assert!(Place::take(&root).is_ok());
    }
}
