//! `backstay files get`.
//!
//! Never knows: file systems beyond the tree they show.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use backstay_items::tree::{FileTree, Metadata, NodeId, NodeKind, TreeError};
use backstay_recover::TWICE;
use backstay_recover::kept::is_left_out;
use serde_json::json;

use crate::args::Common;
use crate::failure::{Failure, sentence};
use crate::output::{self, many, note, say, size};
use crate::progress::Meter;
use crate::stop::Stop;

use super::{DEEPEST, tree_failure, walk};

pub(super) fn get(common: &Common, tree: &dyn FileTree, path: &str, to: &Path) -> Result<(), Failure> {
    let node = walk(tree, path)?;
    let target = target_of(path, to)?;
    let is_file = tree.metadata(node).map_err(|e| tree_failure(path, &e))?.kind == NodeKind::File;
    let meter = Meter::new(format!("copying {path}"), common.json);
    let mut copy = Copy::new(tree, is_file, Stop::listen()?, meter);
    copy.node(node, &target, 0)?;
    let Copy { meter, copied, .. } = copy;
    drop(meter);
    tell_copied(common, (path, &target, is_file), &copied)
}

/// Where a file or folder goes: into a folder, or by a name that is not there yet.
pub(in crate::cmd) fn target_of(path: &str, to: &Path) -> Result<PathBuf, Failure> {
    let name = path.trim_end_matches('/').rsplit('/').next().filter(|n| !n.is_empty() && *n != ".");
    let target = match name {
        Some(name) if to.is_dir() => to.join(name),
        None if to.is_dir() => return Err(Failure::usage("name a new folder with --to for the whole file system")),
        _ => to.to_owned(),
    };
    match fs::symlink_metadata(&target) {
        Ok(_) => Err(Failure::refused(format!("{} is there already; it is not overwritten", target.display()))),
        Err(_) => Ok(target),
    }
}

/// What was copied, and what was not.
#[derive(Default)]
pub(in crate::cmd) struct Copied {
    pub(in crate::cmd) files: u64,
    pub(in crate::cmd) bytes: u64,
    /// What is no data: devices, pipes, sockets.
    pub(in crate::cmd) skipped: Vec<String>,
    /// Files whose content is not in the point, by choice.
    pub(in crate::cmd) left_out: Vec<String>,
    pub(in crate::cmd) trouble: Vec<String>,
}

/// Tells what came of a copy.
pub(in crate::cmd) fn tell_copied(
    common: &Common,
    (path, target, is_file): (&str, &Path, bool),
    copied: &Copied,
) -> Result<(), Failure> {
    let Copied { files, bytes, skipped, left_out, trouble } = copied;
    if is_file && !left_out.is_empty() {
        let what = "was excluded when the point was made; `backstay show` tells by which rule";
        return Err(Failure::refused(format!("{path} {what}")));
    }
    match common.json {
        true => output::json(&json!({
            "target": target.display().to_string(), "files": files, "bytes": bytes,
            "skipped": skipped, "excluded": left_out, "unreadable": trouble,
        }))?,
        false => say!("{}: {}, {}", target.display(), many(*files, "file"), size(*bytes))?,
    }
    left_out.iter().for_each(|path| note!("{path}: excluded when the point was made"));
    skipped.iter().chain(trouble).for_each(|t| note!("{t}"));
    match (trouble.len(), left_out.len()) {
        (0, 0) => Ok(()),
        (0, count) => {
            let what = "is not in the point, for it was excluded; everything else was copied";
            Err(Failure::refused(format!("the content of {} {what}", many(count as u64, "file"))))
        }
        _ => Err(Failure::damaged("some files could not be read; everything else was copied")),
    }
}

/// A copy under way. Names come from an image that may lie: each is created fresh, never followed or overwritten.
struct Copy<'a> {
    tree: &'a dyn FileTree,
    stop: Stop,
    meter: Meter,
    /// It is of one file, whose size is known.
    alone: bool,
    /// Folders that were met.
    seen: HashSet<NodeId>,
    copied: Copied,
}

impl<'a> Copy<'a> {
    fn new(tree: &'a dyn FileTree, alone: bool, stop: Stop, meter: Meter) -> Self {
        Copy { tree, stop, meter, alone, seen: HashSet::new(), copied: Copied::default() }
    }

    fn node(&mut self, node: NodeId, target: &Path, depth: usize) -> Result<(), Failure> {
        self.check_stop(target)?;
        let about = match self.tree.metadata(node) {
            Ok(about) => about,
            Err(error) => return self.unreadable(target, &error),
        };
        match about.kind {
            NodeKind::File => self.file(node, &about, target),
            NodeKind::Directory if depth < DEEPEST => self.folder(node, &about, target, depth),
            NodeKind::Symlink => match self.tree.link_target(node) {
                Ok(to) => self.link(&to, &about, target),
                Err(error) => self.unreadable(target, &error),
            },
            NodeKind::Directory => {
                self.copied.trouble.push(format!("{}: too deep to be true", target.display()));
                Ok(())
            }
            _ => {
                self.copied.skipped.push(format!("{}: a {} is not copied", target.display(), about.kind.name()));
                Ok(())
            }
        }
    }

    fn check_stop(&self, target: &Path) -> Result<(), Failure> {
        match self.stop.asked() {
            true => Err(Failure::new(format!("interrupted at {}; the files before it are whole", target.display()))),
            false => Ok(()),
        }
    }

    fn link(&self, to: &OsStr, about: &Metadata, target: &Path) -> Result<(), Failure> {
        use std::os::unix::fs::{lchown, symlink};
        symlink(to, target).map_err(|e| written(target, &e))?;
        match rustix::process::geteuid().is_root() {
            true => lchown(target, Some(about.uid), Some(about.gid)).map_err(|e| written(target, &e)),
            false => Ok(()),
        }
    }

    fn unreadable(&mut self, target: &Path, error: &TreeError) -> Result<(), Failure> {
        self.copied.trouble.push(format!("{}: {}", target.display(), sentence(error)));
        Ok(())
    }

    fn folder(&mut self, node: NodeId, about: &Metadata, target: &Path, depth: usize) -> Result<(), Failure> {
        if !self.seen.insert(node) {
            self.copied.trouble.push(format!("{}: {TWICE}", target.display()));
            return Ok(());
        }
        let entries = match self.tree.entries(node) {
            Ok(entries) => entries,
            Err(error) => return self.unreadable(target, &error),
        };
        // Ours alone until it has its own permissions; files the same.
        fs::DirBuilder::new().mode(0o700).create(target).map_err(|e| written(target, &e))?;
        for entry in entries {
            match safe_name(&entry.name) {
                Some(name) => self.node(entry.node, &target.join(name), depth + 1)?,
                None => self.copied.trouble.push(format!("{}: holds a name that is no file name", target.display())),
            }
        }
        self.dress(about, target)
    }

    fn file(&mut self, node: NodeId, about: &Metadata, target: &Path) -> Result<(), Failure> {
        let file = fs::File::options().write(true).create_new(true).mode(0o600).open(target);
        let file = file.map_err(|e| written(target, &e))?;
        let outcome = self.fill(node, about.size, &file, target);
        if !matches!(outcome, Ok(Ok(_))) {
            fs::remove_file(target).map_err(|e| written(target, &e))?;
        }
        match outcome? {
            Err(error) if is_left_out(&error) => {
                self.copied.left_out.push(target.display().to_string());
                Ok(())
            }
            Err(error) => self.unreadable(target, &error),
            Ok(size) => {
                self.copied.files += 1;
                self.copied.bytes += size;
                self.dress(about, target)
            }
        }
    }

    /// Copies the bytes; zeros become holes. The size, or why the file cannot be read.
    fn fill(&self, node: NodeId, size: u64, file: &fs::File, target: &Path) -> Result<Result<u64, TreeError>, Failure> {
        let mut buffer = vec![0; 1 << 20];
        let mut at = 0;
        loop {
            self.check_stop(target)?;
            let read = match self.tree.read(node, at, &mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) => return Ok(Err(error)),
            };
            if buffer[..read].iter().any(|b| *b != 0) {
                file.write_all_at(&buffer[..read], at).map_err(|e| written(target, &e))?;
            }
            at += read as u64;
            match self.alone {
                true => self.meter.show(at, size),
                false => self.meter.so_far(self.copied.files, self.copied.bytes + at),
            }
        }
        file.set_len(at).map_err(|e| written(target, &e))?;
        Ok(Ok(at))
    }

    /// Permissions and time, and the owner if that is ours to give.
    fn dress(&self, about: &Metadata, target: &Path) -> Result<(), Failure> {
        use std::os::unix::fs::{PermissionsExt as _, chown};
        let fail = |e: std::io::Error| written(target, &e);
        if rustix::process::geteuid().is_root() {
            chown(target, Some(about.uid), Some(about.gid)).map_err(fail)?;
        }
        let seconds = about.modified.seconds;
        if let Ok(seconds) = u64::try_from(seconds) {
            let time = std::time::UNIX_EPOCH + std::time::Duration::new(seconds, about.modified.nanos);
            fs::File::open(target).and_then(|f| f.set_modified(time)).map_err(fail)?;
        }
        // Last: they may shut ourselves out.
        fs::set_permissions(target, fs::Permissions::from_mode(about.permissions.into())).map_err(fail)
    }
}

/// A name that stays in its folder.
fn safe_name(name: &OsString) -> Option<PathBuf> {
    let bytes = name.as_bytes();
    let plain = !bytes.is_empty() && bytes != b"." && bytes != b".." && !bytes.contains(&b'/') && !bytes.contains(&0);
    plain.then(|| PathBuf::from(name))
}

fn written(target: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("{} cannot be written: {error}", target.display()))
}
