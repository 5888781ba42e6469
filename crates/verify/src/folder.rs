//! A store's home: a folder.
//!
//! Never knows: what objects hold. Writes nothing.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Most bytes of a small object that this reader takes.
const SMALL_MOST: u64 = 1 << 30;

/// Objects by name, beneath one folder.
#[derive(Debug, Clone)]
pub(crate) struct Folder(PathBuf);

/// The names in a folder: those that are numbers as the pages write them,
/// and the rest.
#[derive(Debug, Default)]
pub(crate) struct Numbered {
    pub(crate) numbers: Vec<u64>,
    pub(crate) others: Vec<String>,
}

impl Folder {
    pub(crate) fn new(root: &Path) -> Self {
        Self(root.to_owned())
    }

    /// Names directly beneath `prefix`, sorted; none if it does not exist.
    pub(crate) fn list(&self, prefix: &str) -> io::Result<Vec<String>> {
        let entries = match std::fs::read_dir(self.0.join(prefix)) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e),
        };
        let mut names = Vec::new();
        for entry in entries {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    /// Objects beneath `prefix` whose names are 16 lower-case hex digits.
    pub(crate) fn numbered(&self, prefix: &str) -> io::Result<Numbered> {
        let mut found = Numbered::default();
        for name in self.list(prefix)? {
            match number(&name) {
                Some(number) => found.numbers.push(number),
                None => found.others.push(name),
            }
        }
        Ok(found)
    }

    /// A whole small object.
    pub(crate) fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let file = File::open(self.0.join(name))?;
        if file.metadata()?.len() > SMALL_MOST {
            return Err(io::Error::other("it is too large for a small object"));
        }
        let mut bytes = Vec::new();
        file.take(SMALL_MOST).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// `length` bytes of an object from `offset`. Fails, before it allocates,
    /// if the object has not that many.
    pub(crate) fn read_range(&self, name: &str, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        let file = File::open(self.0.join(name))?;
        let has = file.metadata()?.len();
        if offset.checked_add(length).is_none_or(|end| end > has) {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("the object has only {has} bytes")));
        }
        let mut bytes = vec![0; length as usize];
        file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }
}

fn number(name: &str) -> Option<u64> {
    let plain = name.len() == 16 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if plain { u64::from_str_radix(name, 16).ok() } else { None }
}
