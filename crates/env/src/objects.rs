//! Object homes: where a store keeps its objects. A folder, an S3 bucket, or a simulated one, behind one seam.
//!
//! Never knows: what the objects mean, or which of them belong together.

use std::fmt;
use std::io;

/// The name of an object: segments of `[a-z0-9._-]` joined by `/`, none empty, none starting with a dot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

impl Key {
    /// Checks the name. `None`: not a key.
    pub fn new(name: impl Into<String>) -> Option<Key> {
        let name = name.into();
        let plain = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
        let segment = |s: &str| !s.is_empty() && !s.starts_with('.') && s.bytes().all(plain);
        name.split('/').all(segment).then_some(Key(name))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An object as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub key: Key,
    /// Its size in bytes.
    pub size: u64,
}

/// What a home can do beyond the minimum: facts, asked once, so that nobody needs to know the vendor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// The home is on this machine: a small read costs microseconds, not a round trip.
    pub local: bool,
}

/// Why a home did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// No object of that name.
    #[error("there is no object {0}")]
    NotFound(Key),
    /// `put_new` found an object of that name; it was left as it is.
    #[error("object {0} exists already")]
    Exists(Key),
    /// The range asked for is not inside the object.
    #[error("object {0} is shorter than it should be")]
    Short(Key),
    /// No space left, or a quota reached. The home is as it was.
    #[error("no space left for object {0}")]
    NoSpace(Key),
    /// Not allowed: read-only, or rights missing.
    #[error("not permitted to access object {key}")]
    Denied {
        /// Which object.
        key: Key,
        /// What the system said.
        source: io::Error,
    },
    /// Anything else; trying again may help.
    #[error("object {key} could not be accessed")]
    Io {
        /// Which object.
        key: Key,
        /// What the system said.
        source: io::Error,
    },
}

/// An object opened for many reads. Stays readable while held on a local home even if the object is deleted;
/// elsewhere it may turn into [`ObjectError::NotFound`].
pub trait Object: Send + Sync {
    /// Size in bytes.
    fn size(&self) -> u64;

    /// Fills `buf` from `offset`, whole or not at all.
    ///
    /// # Errors
    /// [`ObjectError::Short`] past the end.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ObjectError>;
}

/// A home of objects. Every method may be called from many threads and many processes at once.
///
/// Guarantees of every implementation, proved by [`crate::suite`]:
/// - an object appears whole or not at all, and never changes under a reader who opened it;
/// - on `Ok` from `put`, `put_new` and `delete` the change survives a power loss, and with it whatever could be seen
///   before in the same folder (the name up to the last `/`);
/// - of many `put_new` of one name exactly one succeeds;
/// - a listing that starts after a change returned shows the change.
///
/// Not guaranteed: that what is seen of a change before it returned survives a power loss, not even where a later one that
/// did not return either survives; [`Objects::settle`] makes it survive. No name may be an object and the beginning of
/// another object's name (`a` and `a/b`): some homes refuse that.
///
/// Why: a local folder shows a name when it is given, and keeps it when the folder was flushed. A flush of a folder (ext4,
/// XFS, btrfs, and NFS by its server) keeps all names that it shows, whoever gave them. Names that nobody flushed
/// come back in the order of a journal on ext4 and XFS, but btrfs may keep a later one alone (seen with Linux 6.18): when
/// another file is flushed, it keeps the new name of a file that was flushed since the last commit, and not that of one
/// flushed before it. An object server shows only what it keeps.
pub trait Objects: Send + Sync {
    /// What this home can do.
    fn abilities(&self) -> Abilities;

    /// Writes an object made of `parts` one after the other, replacing what was there.
    ///
    /// # Errors
    /// On any error the old object, or its absence, is as it was or the new one is there whole.
    fn put(&self, key: &Key, parts: &[&[u8]]) -> Result<(), ObjectError>;

    /// As [`Objects::put`], but never replaces: the one primitive that orders writers.
    ///
    /// # Errors
    /// [`ObjectError::Exists`]. After [`ObjectError::Io`] the object may or may not be there: read it to know.
    fn put_new(&self, key: &Key, parts: &[&[u8]]) -> Result<(), ObjectError>;

    /// Reads an object whole.
    ///
    /// # Errors
    /// [`ObjectError::NotFound`].
    fn get(&self, key: &Key) -> Result<Vec<u8>, ObjectError>;

    /// Opens an object for reading in parts.
    ///
    /// # Errors
    /// [`ObjectError::NotFound`].
    fn open(&self, key: &Key) -> Result<Box<dyn Object>, ObjectError>;

    /// Every object whose name starts with `prefix` followed by `/`, in the order of names.
    ///
    /// # Errors
    /// [`ObjectError::Io`]; never part of a listing.
    fn list(&self, prefix: &Key) -> Result<Vec<Listed>, ObjectError>;

    /// The names alone of what [`Objects::list`] lists: cheaper where each size has to be asked for.
    ///
    /// # Errors
    /// As [`Objects::list`].
    fn names(&self, prefix: &Key) -> Result<Vec<Key>, ObjectError> {
        Ok(self.list(prefix)?.into_iter().map(|listed| listed.key).collect())
    }

    /// Removes an object; one that is not there is no error.
    ///
    /// # Errors
    /// [`ObjectError::Denied`], [`ObjectError::Io`].
    fn delete(&self, key: &Key) -> Result<(), ObjectError>;

    /// As [`Objects::delete`] of each, in this order for all who look; but until this returned, a power loss may bring back
    /// any of them. Cheaper where each deletion would have to be flushed.
    ///
    /// # Errors
    /// As [`Objects::delete`]: some may be gone.
    fn delete_all(&self, keys: &[Key]) -> Result<(), ObjectError> {
        keys.iter().try_for_each(|key| self.delete(key))
    }

    /// Makes what can be seen in a folder, but not in folders below it, survive a power loss, whoever changed it; one that is
    /// not there is no error. Costs nothing where only what survives can be seen, and else a flush that mostly finds
    /// nothing to do. For whoever is about to build on what others may not have seen through.
    ///
    /// # Errors
    /// [`ObjectError::Io`]: it may survive or not.
    fn settle(&self, folder: &Key) -> Result<(), ObjectError>;
}
