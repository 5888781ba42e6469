//! An archive that a server sends, as files and folders here. Names come from an image that may lie: each is created fresh, never
//! followed or overwritten, and stays below the target.
//!
//! Never knows: servers.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tar::{Archive, Entry, EntryType};

use crate::failure::Failure;

/// What the last file of an archive says of what it lacks.
const LACKS: &[u8] = b"NOT-IN-THIS-ARCHIVE.txt";
/// Bytes of that file, at most.
const MOST: u64 = 16 << 20;

/// What came of an archive.
#[derive(Debug, Default)]
pub(crate) struct Unpacked {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    /// What is no data: devices, pipes, sockets.
    pub(crate) skipped: Vec<String>,
    /// Files whose content is not in the point, by choice.
    pub(crate) left_out: Vec<String>,
    /// What could not be read at the server.
    pub(crate) trouble: Vec<String>,
    /// It ended before its end, for what was left could not be read.
    pub(crate) cut: bool,
}

/// Where files go, and who is told how far it is and may end it.
pub(crate) struct Unpacking<'u> {
    target: &'u Path,
    /// The name of what is in the archive; empty: of the top of a file system.
    name: &'u [u8],
    go_on: &'u dyn Fn(u64, u64) -> bool,
    done: Unpacked,
    /// Folders get their permissions and times when all is in them.
    folders: Vec<(PathBuf, Dress)>,
}

/// Permissions, owner and time of a file.
struct Dress {
    mode: u32,
    owner: (u32, u32),
    modified: Option<std::time::SystemTime>,
}

/// Unpacks an archive of one file or folder as `target`, which is not there yet. `go_on` is told files and bytes so far.
pub(crate) fn unpack(
    archive: impl Read,
    (name, target): (&str, &Path),
    go_on: &dyn Fn(u64, u64) -> bool,
) -> Result<Unpacked, Failure> {
    let done = Unpacked::default();
    let mut unpacking = Unpacking { target, name: name.as_bytes(), go_on, done, folders: Vec::new() };
    if name.is_empty() {
        folder(target)?;
    }
    let mut archive = Archive::new(archive);
    let entries = archive.entries().map_err(|e| Failure::new(format!("the archive cannot be read: {e}")))?;
    for entry in entries {
        let Ok(mut entry) = entry else {
            unpacking.done.cut = true;
            break;
        };
        if !unpacking.one(&mut entry)? {
            unpacking.done.cut = true;
            break;
        }
    }
    for (path, dress) in unpacking.folders.iter().rev() {
        dress.put(path)?;
    }
    Ok(unpacking.done)
}

impl Unpacking<'_> {
    /// Puts one member in its place; whether it came whole.
    fn one(&mut self, entry: &mut Entry<'_, impl Read>) -> Result<bool, Failure> {
        let name = entry.path_bytes().into_owned();
        let name = name.strip_suffix(b"/").unwrap_or(&name).to_vec();
        if name == LACKS && self.name != LACKS {
            return Ok(self.lacks(entry));
        }
        let Some(path) = self.place(&name) else {
            self.done.trouble.push(format!("{}: no name for a file here", String::from_utf8_lossy(&name)));
            return Ok(true);
        };
        if !(self.go_on)(self.done.files, self.done.bytes) {
            return Err(Failure::new(format!("interrupted at {}; the files before it are whole", path.display())));
        }
        let dress = Dress::of(entry);
        match entry.header().entry_type() {
            EntryType::Directory => {
                folder(&path)?;
                self.folders.push((path, dress));
            }
            EntryType::Regular | EntryType::Continuous => return self.file(entry, &path, &dress),
            EntryType::Link => {
                let first = entry.link_name_bytes().and_then(|name| self.place(&name));
                let first = first.ok_or_else(|| Failure::new(format!("{}: a link to nowhere", path.display())))?;
                // Not if what stands there came through a link of the image.
                fs::hard_link(first, &path).map_err(|e| written(&path, &e))?;
                self.done.files += 1;
            }
            EntryType::Symlink => {
                let to = entry.link_name_bytes().unwrap_or_default().into_owned();
                std::os::unix::fs::symlink(OsStr::from_bytes(&to), &path).map_err(|e| written(&path, &e))?;
                if is_root() {
                    let (uid, gid) = dress.owner;
                    std::os::unix::fs::lchown(&path, Some(uid), Some(gid)).map_err(|e| written(&path, &e))?;
                }
            }
            _ => self.done.skipped.push(format!("{}: it is no data, and is not copied", path.display())),
        }
        Ok(true)
    }

    /// The place of a member; `None`: its name leads elsewhere.
    fn place(&self, name: &[u8]) -> Option<PathBuf> {
        let below = match self.name {
            b"" => name,
            top => match name.strip_prefix(top)? {
                b"" => return Some(self.target.to_owned()),
                rest => rest.strip_prefix(b"/")?,
            },
        };
        let is_safe = |part: &[u8]| !part.is_empty() && part != b"." && part != b".." && !part.contains(&0);
        let safe = below.split(|byte| *byte == b'/').all(is_safe);
        let path = self.target.join(OsStr::from_bytes(below));
        // No folder on the way is a link that was unpacked before: folders are ours, or they are not there.
        let parents = path.ancestors().skip(1).take_while(|parent| parent.starts_with(self.target));
        let mut parents = parents.filter(|parent| *parent != self.target);
        (safe && parents.all(|parent| fs::symlink_metadata(parent).is_ok_and(|about| about.is_dir()))).then_some(path)
    }

    /// Copies the bytes; zeros become holes. One that does not come whole is not kept.
    fn file(&mut self, entry: &mut Entry<'_, impl Read>, path: &Path, dress: &Dress) -> Result<bool, Failure> {
        let file = fs::File::options().write(true).create_new(true).mode(0o600).open(path);
        let file = file.map_err(|e| written(path, &e))?;
        let (size, mut at, mut buffer) = (entry.size(), 0, vec![0; 1 << 20]);
        while at < size {
            if !(self.go_on)(self.done.files, self.done.bytes + at) {
                drop(fs::remove_file(path));
                return Err(Failure::new(format!("interrupted at {}; the files before it are whole", path.display())));
            }
            let read = match entry.read(&mut buffer) {
                Ok(read) if read > 0 => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                _ => {
                    drop(fs::remove_file(path));
                    self.done.trouble.push(format!("{}: the server could not send all of it", path.display()));
                    return Ok(false);
                }
            };
            if buffer[..read].iter().any(|byte| *byte != 0) {
                file.write_all_at(&buffer[..read], at).map_err(|e| written(path, &e))?;
            }
            at += read as u64;
        }
        file.set_len(at).map_err(|e| written(path, &e))?;
        self.done.files += 1;
        self.done.bytes += at;
        dress.put(path)?;
        Ok(true)
    }

    /// What the archive says that it lacks; whether that came whole.
    fn lacks(&mut self, entry: &mut Entry<'_, impl Read>) -> bool {
        let mut text = Vec::new();
        let whole = entry.take(MOST).read_to_end(&mut text).is_ok();
        for line in String::from_utf8_lossy(&text).lines() {
            let line = line.to_owned();
            match &line {
                line if line.ends_with(": excluded when the point was made") => {
                    let name = line.trim_end_matches(": excluded when the point was made");
                    self.done.left_out.push(name.to_owned());
                }
                line if line.ends_with(": a socket") => self.done.skipped.push(line.clone()),
                _ => self.done.trouble.push(line),
            }
        }
        whole
    }
}

fn folder(path: &Path) -> Result<(), Failure> {
    // Ours alone until it has its own permissions.
    fs::DirBuilder::new().mode(0o700).create(path).map_err(|e| written(path, &e))
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

impl Dress {
    fn of(entry: &mut Entry<'_, impl Read>) -> Dress {
        let exact = modified(entry);
        let header = entry.header();
        // Headers can say times that no clock has.
        let seconds = header.mtime().ok().map(std::time::Duration::from_secs);
        let seconds = seconds.and_then(|length| std::time::UNIX_EPOCH.checked_add(length));
        let id = |id: io::Result<u64>| u32::try_from(id.unwrap_or(0)).unwrap_or(0);
        let (mut uid, mut gid) = (id(header.uid()), id(header.gid()));
        let mode = header.mode().unwrap_or(0o600) & 0o7777;
        if let Ok(Some(records)) = entry.pax_extensions() {
            for record in records.flatten() {
                let value = record.value().ok().and_then(|value| value.parse().ok());
                match record.key() {
                    Ok("uid") => uid = value.unwrap_or(uid),
                    Ok("gid") => gid = value.unwrap_or(gid),
                    _ => {}
                }
            }
        }
        Dress { mode, owner: (uid, gid), modified: exact.or(seconds) }
    }

    /// Permissions and time, and the owner if that is ours to give.
    fn put(&self, path: &Path) -> Result<(), Failure> {
        let fail = |e: io::Error| written(path, &e);
        if is_root() {
            std::os::unix::fs::chown(path, Some(self.owner.0), Some(self.owner.1)).map_err(fail)?;
        }
        if let Some(time) = self.modified {
            fs::File::open(path).and_then(|file| file.set_modified(time)).map_err(fail)?;
        }
        // Last: they may shut ourselves out.
        fs::set_permissions(path, fs::Permissions::from_mode(self.mode)).map_err(fail)
    }
}

/// The time to the nanosecond, where the archive says it.
fn modified(entry: &mut Entry<'_, impl Read>) -> Option<std::time::SystemTime> {
    let records = entry.pax_extensions().ok()??;
    let text = records.flatten().find(|record| record.key() == Ok("mtime"))?.value().ok()?.to_owned();
    let (back, text) = (text.starts_with('-'), text.trim_start_matches('-'));
    let (seconds, nanos) = text.split_once('.').unwrap_or((text, "0"));
    let length = std::time::Duration::new(seconds.parse().ok()?, format!("{nanos:0<9}").get(..9)?.parse().ok()?);
    match back {
        true => std::time::UNIX_EPOCH.checked_sub(length),
        false => std::time::UNIX_EPOCH.checked_add(length),
    }
}

fn written(target: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("{} cannot be written: {error}", target.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    const NAMES: &[&str] = &[
        "a",
        "a/b",
        "a/b/c",
        "b",
        "b/c",
        "",
        ".",
        "./a",
        "..",
        "../kept",
        "../kept/file",
        KEPT,
        "a/../../kept/file",
        "a//b",
        "a/b/",
        "NOT-IN-THIS-ARCHIVE.txt",
    ];
    const KINDS: &[EntryType] = &[
        EntryType::Directory,
        EntryType::Regular,
        EntryType::Symlink,
        EntryType::Link,
        EntryType::Fifo,
        EntryType::GNULongName,
        EntryType::XHeader,
    ];

    /// Stands for the whole path of a file that is not below the target.
    const KEPT: &str = "(kept)";

    /// A member as no honest program writes it: its names are whatever they are.
    fn member((kind, name, to, mode): (EntryType, &str, &str, u32)) -> Vec<u8> {
        let mut header = tar::Header::new_ustar();
        let old = header.as_old_mut();
        old.name[..name.len()].copy_from_slice(name.as_bytes());
        old.linkname[..to.len()].copy_from_slice(to.as_bytes());
        let content = match kind {
            EntryType::Regular | EntryType::GNULongName => format!("{to}\n"),
            EntryType::XHeader => format!("{} path={to}\n", "00 path=\n".len() + to.len()),
            _ => String::new(),
        };
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(mode);
        header.set_mtime(1);
        header.set_cksum();
        let mut out = [header.as_bytes(), content.as_bytes()].concat();
        out.resize(out.len().next_multiple_of(512), 0);
        out
    }

    fn members() -> impl Strategy<Value = Vec<(EntryType, &'static str, &'static str, u32)>> {
        let name = || proptest::sample::select(NAMES);
        proptest::collection::vec((proptest::sample::select(KINDS), name(), name(), 0..0o10000_u32), 0..12)
    }

    fn flips() -> impl Strategy<Value = Vec<(proptest::sample::Index, u8)>> {
        proptest::collection::vec(any::<(proptest::sample::Index, u8)>(), 0..3)
    }

    proptest! {
        #[test]
        fn no_archive_reaches_what_is_not_below_its_target(
            members in members(), flips in flips(), name in proptest::sample::select(&["", "a", "a/b"][..])
        ) {
            let folder = tempfile::tempdir().unwrap();
            let (kept, target) = (folder.path().join("kept"), folder.path().join("out"));
            let file = kept.join("file");
            fs::create_dir(&kept).unwrap();
            fs::write(&file, "kept").unwrap();
            let whole = |name| if name == KEPT { file.to_str().unwrap() } else { name };
            let members = members.into_iter().map(|(kind, name, to, mode)| member((kind, whole(name), whole(to), mode)));
            let mut archive = members.collect::<Vec<_>>().concat();
            if !archive.is_empty() {
                flips.into_iter().for_each(|(at, with)| *at.get_mut(&mut archive) ^= with);
            }
            let looks = |path: &Path| {
                let about = fs::symlink_metadata(path).unwrap();
                (about.permissions().mode(), about.modified().unwrap(), about.len())
            };
            let there = |folder: &Path| fs::read_dir(folder).unwrap().map(|one| one.unwrap().file_name()).collect::<Vec<_>>();
            let before = [looks(&kept), looks(&file)];
            drop(unpack(&archive[..], (name, &target), &|_, _| true));
            prop_assert_eq!(before, [looks(&kept), looks(&file)]);
            prop_assert_eq!(fs::read(&file).unwrap(), b"kept");
            prop_assert_eq!(there(&kept), ["file"]);
            prop_assert!(there(folder.path()).iter().all(|name| name == "kept" || name == "out"));
        }
    }

    #[test]
    fn a_time_that_no_clock_has_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let mut archive = tar::Builder::new(Vec::new());
        for (name, at) in [("far", u64::MAX), ("near", 1_000_000_000)] {
            let mut header = tar::Header::new_ustar();
            header.set_size(1);
            header.set_mode(0o600);
            header.set_mtime(at);
            archive.append_data(&mut header, name, &b"x"[..]).unwrap();
        }
        let archive = archive.into_inner().unwrap();
        let target = folder.path().join("out");
        let done = unpack(&archive[..], ("", &target), &|_, _| true).unwrap();
        assert!(done.files == 2 && !done.cut && done.trouble.is_empty());
        let near = fs::metadata(target.join("near")).unwrap().modified().unwrap();
        assert_eq!(near.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs(), 1_000_000_000);
    }
}
