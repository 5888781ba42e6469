//! Blocks of objects in a local folder, bounded in bytes.
//!
//! Never knows: where objects come from.
//! Invariant: a block is given out only if its checksum vouches for its bytes, its object and its place; so nothing
//! here needs to be durable, and a crash or rot costs a block, never an answer.
//!
//! A block is the file `<object>/<index>`: 16 hex digits of a hash of the object's name, and the block's number. Its
//! header, 64 bytes, integers little-endian:
//!
//! | field | bytes | stops |
//! |---|---|---|
//! | magic | 8 | another kind of file: `BKSTBLK1` |
//! | object size | u64 | asking the home for it |
//! | index | u64 | a block in the place of another |
//! | length | u64 | a truncated file |
//! | digest | 32 | torn writes, rot, another object: BLAKE3 of the object's name, the fields above and the bytes |

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::objects::Key;
use crate::random::Random;
use crate::real::system::SystemRandom;

/// The size of a block, in bytes; the last one of an object has the rest.
pub(super) const BLOCK: u64 = 1 << 20;
const MAGIC: [u8; 8] = *b"BKSTBLK1";
const HEADER: usize = 64;

/// A block as it was found.
pub(super) struct Block {
    pub(super) object_size: u64,
    pub(super) bytes: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Blocks {
    folder: PathBuf,
    scope: String,
    limit: u64,
    /// Bytes in the folder as far as we know; other processes add and remove too.
    used: AtomicU64,
    /// Bytes that we added since we last looked.
    added: AtomicU64,
    trimming: Mutex<()>,
}

impl Blocks {
    pub(super) fn open(folder: &Path, scope: &str, limit: u64) -> io::Result<Blocks> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let blocks = Blocks {
            folder: folder.to_path_buf(),
            scope: scope.to_string(),
            limit,
            used: AtomicU64::new(0),
            added: AtomicU64::new(0),
            trimming: Mutex::default(),
        };
        blocks.trim()?;
        Ok(blocks)
    }

    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn object_folder(&self, key: &Key) -> PathBuf {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.scope.as_bytes()).update(&[0]).update(key.as_str().as_bytes());
        self.folder.join(&hasher.finalize().to_hex()[..16])
    }

    /// The block, if it is here and whole. One that is not whole is removed.
    pub(super) fn get(&self, key: &Key, index: u64) -> io::Result<Option<Block>> {
        let path = self.object_folder(key).join(index.to_string());
        let mut file = match fs::File::open(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut bytes = Vec::new();
        (&mut file).take(HEADER as u64 + BLOCK + 1).read_to_end(&mut bytes)?;
        let block = self.decode(key, index, bytes);
        match block {
            // What is used last goes last.
            Some(_) => file.set_modified(SystemTime::now())?,
            None => remove_if_there(fs::remove_file(&path))?,
        }
        Ok(block)
    }

    /// Whether something is kept as that block; reading it may yet show that it is not whole.
    pub(super) fn has(&self, key: &Key, index: u64) -> bool {
        self.object_folder(key).join(index.to_string()).exists()
    }

    pub(super) fn put(&self, key: &Key, object_size: u64, index: u64, bytes: &[u8]) -> io::Result<()> {
        let folder = self.object_folder(key);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let temp = folder.join(format!("{:016x}.tmp", random()));
        let header = self.header(key, object_size, index, bytes);
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temp)?;
        let written = file.write_all(&header).and_then(|()| file.write_all(bytes));
        if let Err(e) = written.and_then(|()| fs::rename(&temp, folder.join(index.to_string()))) {
            remove_if_there(fs::remove_file(&temp))?;
            return Err(e);
        }
        self.count((HEADER + bytes.len()) as u64)
    }

    /// Forgets an object. Its folder goes out of the way first: others may be adding to it.
    pub(super) fn forget(&self, key: &Key) -> io::Result<()> {
        let aside = self.folder.join(format!("{:016x}.gone", random()));
        match fs::rename(self.object_folder(key), &aside) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            // Another process may be trimming it.
            renamed => renamed.and_then(|()| remove_if_there(fs::remove_dir_all(&aside))),
        }
    }

    fn header(&self, key: &Key, object_size: u64, index: u64, bytes: &[u8]) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        header[..8].copy_from_slice(&MAGIC);
        header[8..16].copy_from_slice(&object_size.to_le_bytes());
        header[16..24].copy_from_slice(&index.to_le_bytes());
        header[24..32].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.scope.as_bytes()).update(&[0]).update(key.as_str().as_bytes()).update(&[0]);
        hasher.update(&header[..32]).update(bytes);
        header[32..].copy_from_slice(hasher.finalize().as_bytes());
        header
    }

    fn decode(&self, key: &Key, index: u64, mut file: Vec<u8>) -> Option<Block> {
        let object_size = u64::from_le_bytes(file.get(8..16)?.try_into().ok()?);
        let (header, bytes) = file.split_at_checked(HEADER)?;
        let is_whole = *header == self.header(key, object_size, index, bytes);
        let len = object_size.checked_sub(index.checked_mul(BLOCK)?)?.min(BLOCK);
        (is_whole && bytes.len() as u64 == len).then(|| Block { object_size, bytes: file.split_off(HEADER) })
    }

    /// Counts what was added, and looks at the folder when it may be full: other processes add to it too.
    fn count(&self, added: u64) -> io::Result<()> {
        let used = self.used.fetch_add(added, Ordering::Relaxed) + added;
        let since = self.added.fetch_add(added, Ordering::Relaxed) + added;
        match used > self.limit || since > self.limit / 16 {
            true => self.trim(),
            false => Ok(()),
        }
    }

    /// Removes what was not used for longest, until a sixteenth of the limit is free.
    fn trim(&self) -> io::Result<()> {
        // One at a time, and nobody waits for another one's trimming.
        let Ok(_alone) = self.trimming.try_lock().or_else(|e| match e {
            std::sync::TryLockError::Poisoned(lock) => Ok(PoisonError::into_inner(lock)),
            std::sync::TryLockError::WouldBlock => Err(()),
        }) else {
            return Ok(());
        };
        self.added.store(0, Ordering::Relaxed);
        let mut files = self.files()?;
        let mut used: u64 = files.iter().map(|(_, size, _)| size).sum();
        if used > self.limit {
            files.sort_unstable();
            for (_, size, path) in files {
                if used <= self.limit - self.limit / 16 {
                    break;
                }
                remove_if_there(fs::remove_file(&path))?;
                used -= size;
                // Only an empty folder goes; it comes back when it is needed.
                let _not_empty = path.parent().map(fs::remove_dir);
            }
        }
        self.used.store(used, Ordering::Relaxed);
        Ok(())
    }

    /// All files: when last used, bytes, path.
    fn files(&self) -> io::Result<Vec<(SystemTime, u64, PathBuf)>> {
        let mut files = Vec::new();
        for folder in fs::read_dir(&self.folder)? {
            let folder = folder?.path();
            let entries = match fs::read_dir(&folder) {
                Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                    continue;
                }
                entries => entries?,
            };
            for entry in entries {
                let entry = entry?;
                match entry.metadata() {
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {} // another process trims too
                    about => {
                        let about = about?;
                        files.push((about.modified()?, about.len(), entry.path()));
                    }
                }
            }
        }
        Ok(files)
    }
}

fn random() -> u64 {
    let mut random = [0; 8];
    SystemRandom.fill(&mut random);
    u64::from_le_bytes(random)
}

fn remove_if_there(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
