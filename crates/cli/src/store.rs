//! Opening a store from the command line: where it is, and the passphrase.
//!
//! Never knows: what is done with it.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backstay_env::objects::Objects;
use backstay_env::real::folder::{Folder, FolderError};
use backstay_env::real::system::{SystemClock, SystemRandom};
use backstay_format::names;
use backstay_vault::{Seams, Vault, VaultError};
use zeroize::Zeroizing;

use crate::args::Common;
use crate::failure::{Failure, sentence};
use crate::output::note;

/// Where a store is.
pub(crate) enum Location {
    /// A folder on this machine.
    Folder(PathBuf),
    /// Object storage.
    S3(String),
}

impl Location {
    /// From the command line.
    pub(crate) fn parse(text: &str) -> Result<Location, Failure> {
        match text.split_once("://") {
            Some(("s3", _)) => Ok(Location::S3(text.to_owned())),
            Some((other, _)) => {
                Err(Failure::usage(format!("{text}: a store is a folder or s3://bucket/prefix, not {other}://")))
            }
            None if text.is_empty() => Err(Failure::usage("which store? Name a folder or s3://bucket/prefix")),
            None => Ok(Location::Folder(text.into())),
        }
    }

    /// From --store or its environment variable.
    pub(crate) fn of(common: &Common) -> Result<Location, Failure> {
        let store = common.store.as_deref().filter(|s| !s.is_empty());
        let missing = match &common.server {
            Some(_) => "this is done on a store itself, not through a server; name the store with --store",
            None => "which store? Name it with --store or in the environment variable BACKSTAY_STORE",
        };
        store.ok_or_else(|| Failure::usage(missing)).and_then(Location::parse)
    }

    /// The folder, if it is one.
    pub(crate) fn folder(&self) -> Option<&Path> {
        match self {
            Location::Folder(path) => Some(path),
            Location::S3(_) => None,
        }
    }

    /// The world for a store here. A folder that is not a store is left alone unless one is to be made.
    pub(crate) fn seams(&self, create: bool) -> Result<Seams, Failure> {
        let (home, index_home) = match self {
            Location::Folder(path) => {
                if !create && path.is_dir() && path.join(names::STORE_HEADER).symlink_metadata().is_err_and(is_missing)
                {
                    return Err(VaultError::NoStore.into());
                }
                let opened = if create { Folder::create(path) } else { Folder::open(path) };
                let home: Arc<dyn Objects> = Arc::new(match opened {
                    Err(error @ FolderError::NotFolder(_)) if create => {
                        return Err(Failure::new(format!("{error}; name an empty folder or a new one")));
                    }
                    opened => opened?,
                });
                (home.clone(), home)
            }
            Location::S3(url) => s3_homes(url)?,
        };
        Ok(Seams { home, index_home, clock: Arc::new(SystemClock), random: Arc::new(SystemRandom) })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::Folder(path) => path.display().fmt(f),
            Location::S3(url) => f.write_str(url),
        }
    }
}

/// The store's home, and that of its dedup index.
type Homes = (Arc<dyn Objects>, Arc<dyn Objects>);

/// Bytes of packs kept on this machine in front of object storage.
#[cfg(feature = "s3")]
const CACHE: u64 = 4 << 30;

/// The bucket behind a bounded cache, and a folder on this machine for the dedup index.
#[cfg(feature = "s3")]
fn s3_homes(url: &str) -> Result<Homes, Failure> {
    use backstay_env::real::cache::Cached;
    use backstay_env::real::s3::S3;

    let fail = |e: &dyn std::error::Error| Failure::new(sentence(e));
    let bucket = S3::open(url).map_err(|e| fail(&e))?;
    let scope: String = url.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let local = cache_folder()?.join(scope);
    let index = Folder::create(local.join("index")).map_err(|e| fail(&e))?;
    // Packs are written once under names of their own; ledgers too, but they are small and read once.
    let is_pack = |key: &backstay_env::objects::Key| key.as_str().contains("/pack/");
    let cached = Cached::new(Arc::new(bucket), &local.join("blocks"), url, CACHE, is_pack);
    let cached = cached.map_err(|e| Failure::new(format!("the cache in {} cannot be used: {e}", local.display())))?;
    Ok((Arc::new(cached), Arc::new(index)))
}

/// Where this user's caches are, as the XDG base directory specification says.
#[cfg(feature = "s3")]
fn cache_folder() -> Result<PathBuf, Failure> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let base = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|h| h.join(".cache")));
    let missing = "no place for a cache: set HOME or XDG_CACHE_HOME";
    base.map(|b| b.join("backstay")).ok_or_else(|| Failure::usage(missing))
}

#[cfg(not(feature = "s3"))]
fn s3_homes(url: &str) -> Result<Homes, Failure> {
    Err(Failure::usage(format!("{url}: this program was built without object storage")))
}

#[allow(clippy::needless_pass_by_value)] // as `is_err_and` wants it
fn is_missing(error: std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::NotFound
}

/// Opens the vault that the command line names.
pub(crate) fn open(common: &Common) -> Result<Vault, Failure> {
    let location = Location::of(common)?;
    let about = |failure: Failure| failure.about(&location);
    let seams = location.seams(false).map_err(about)?;
    let passphrase = passphrase(common.passphrase_file.as_deref(), false)?;
    Vault::open(seams, common.vault(), &passphrase).map_err(|e| about(e.into()))
}

/// Longer than any paper.
const MOST_PAPER: u64 = 64 << 10;

/// Opens the vault that the command line names with its keys on paper, from a file or standard input.
pub(crate) fn open_with_paper(common: &Common, paper: &Path) -> Result<Vault, Failure> {
    let location = Location::of(common)?;
    let seams = location.seams(false).map_err(|failure| failure.about(&location))?;
    let mut text = Zeroizing::new(String::new());
    let read = match paper.to_str() {
        Some("-") => std::io::stdin().take(MOST_PAPER).read_to_string(&mut text),
        _ => std::fs::File::open(paper).and_then(|file| file.take(MOST_PAPER).read_to_string(&mut text)),
    };
    read.map_err(|e| Failure::new(format!("the keys on paper cannot be read from {}: {e}", paper.display())))?;
    Vault::open_with_paper(seams, common.vault(), &text).map_err(|e| Failure::from(e).about(&location))
}

/// Reads from the vault that the command line names, also when its newest changes are damaged: from what was before
/// them, and the damage is told when the work is done.
pub(crate) fn reading(common: &Common, work: impl FnOnce(&Vault) -> Result<(), Failure>) -> Result<(), Failure> {
    let location = Location::of(common)?;
    let about = |failure: Failure| failure.about(&location);
    let seams = location.seams(false).map_err(about)?;
    let passphrase = passphrase(common.passphrase_file.as_deref(), false)?;
    let opened = Vault::open_before_damage(seams, common.vault(), &passphrase).map_err(|e| about(e.into()))?;
    if opened.damage.is_some() {
        note!("note: the newest changes of the store are damaged; this is what it held before them");
    }
    work(&opened.vault)?;
    opened.damage.map_or(Ok(()), |error| Err(about(error.into())))
}

/// The passphrase from a file's first line, or from the terminal.
pub(crate) fn passphrase(file: Option<&Path>, new: bool) -> Result<Zeroizing<Vec<u8>>, Failure> {
    match file {
        Some(path) => from_file(path),
        None => from_terminal(new),
    }
}

fn from_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    first_line(path, "passphrase")
}

/// The first line of a file with a secret, and nothing else of it.
pub(crate) fn first_line(path: &Path, what: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let text = std::fs::read(path).map(Zeroizing::new);
    let text = text.map_err(|e| Failure::new(format!("the {what} file {} cannot be read: {e}", path.display())))?;
    let line = text.split(|b| *b == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() {
        return Err(Failure::usage(format!("the first line of the {what} file {} is empty", path.display())));
    }
    Ok(Zeroizing::new(line.to_vec()))
}

fn from_terminal(new: bool) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let ask = |prompt: &str| {
        let typed = rpassword::prompt_password(prompt).map(Zeroizing::new);
        typed.map_err(|_| {
            Failure::usage(
                "no passphrase: name a file with --passphrase-file or in BACKSTAY_PASSPHRASE_FILE, or use a terminal",
            )
        })
    };
    let first = ask(if new { "New passphrase: " } else { "Passphrase: " })?;
    if first.is_empty() {
        return Err(Failure::usage("an empty passphrase protects nothing"));
    }
    if new && *ask("Again: ")? != *first {
        return Err(Failure::usage("the two passphrases differ"));
    }
    Ok(Zeroizing::new(first.as_bytes().to_vec()))
}
