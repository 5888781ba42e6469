//! `backstay files`.
//!
//! Never knows: file systems beyond the tree they show.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backstay_env::volume::Volume;
use backstay_format::units::Timestamp;
use backstay_items::partition::partitions;
use backstay_items::tree::{FileTree, Metadata, NodeId, NodeKind, TreeError};
use backstay_vault::Vault;
use serde_json::json;

use crate::args::{At, Common, Files};
use crate::failure::{Failure, sentence};
use crate::moment;
use crate::output::{self, note, say, size};
use crate::spec::{self, Found};
use crate::stop::Stop;

/// Folders deeper than this are an image that lies.
const DEEPEST: usize = 1024;

pub(super) fn run(common: &Common, vault: &Vault, command: &Files) -> Result<(), Failure> {
    let at = match command {
        Files::Ls { at, .. } | Files::Find { at, .. } | Files::Get { at, .. } => at,
    };
    let tree = open(vault, at)?;
    match command {
        Files::Ls { path, .. } => ls(common, &*tree, path),
        Files::Find { pattern, .. } => find(common, &*tree, pattern),
        Files::Get { path, to, .. } => get(common, &*tree, path, to),
    }
}

/// The file system that is meant: of the partition named, or the only one there is.
fn open(vault: &Vault, at: &At) -> Result<Box<dyn FileTree>, Failure> {
    let found = spec::find(vault, at)?;
    if found.spec.partition.is_some() {
        return open_volume(spec::volume(vault, &found)?, &at.machine);
    }
    let mut candidates = candidates(vault, &found)?;
    match candidates.len() {
        0 => Err(Failure::new(format!(
            "{} holds no file system that can be read; `backstay show` tells what it holds",
            at.machine
        ))),
        1 => Ok(candidates.remove(0).1),
        _ => {
            let names: Vec<&str> = candidates.iter().map(|c| c.0.as_str()).collect();
            Err(Failure::usage(format!("{} has several file systems; name one: {}", at.machine, names.join(", "))))
        }
    }
}

/// A file system, and what to call it on the command line.
type Named = (String, Box<dyn FileTree>);

fn candidates(vault: &Vault, found: &Found) -> Result<Vec<Named>, Failure> {
    let mut out = Vec::new();
    for disk in spec::disks(vault, found)? {
        let name = format!("{}:{}", found.spec.machine, disk.info().name);
        let table = partitions(&*disk).map_err(|e| Failure::new(format!("{name}: {}", sentence(&e))))?;
        if table.partitions.is_empty() {
            out.extend(backstay_items::detect::open(disk).ok().map(|tree| (name, tree)));
            continue;
        }
        for part in table.partitions.iter().filter(|p| !p.container) {
            let volume = spec::partition(disk.clone(), part.index)?;
            out.extend(backstay_items::detect::open(volume).ok().map(|tree| (format!("{name}:{}", part.index), tree)));
        }
    }
    Ok(out)
}

fn open_volume(volume: Arc<dyn Volume>, name: &str) -> Result<Box<dyn FileTree>, Failure> {
    backstay_items::detect::open(volume).map_err(|e| Failure::new(format!("{name}: {}", sentence(&e))))
}

fn tree_failure(path: &str, error: &TreeError) -> Failure {
    match error {
        TreeError::NotFound => {
            Failure::new(format!("there is no {path} at that moment; `backstay files find` looks for names"))
        }
        TreeError::Damaged(_) => Failure::damaged(format!("{path}: {}", sentence(error))),
        error => Failure::new(format!("{path}: {}", sentence(error))),
    }
}

/// Walks to a path. Symbolic links on the way are not followed: they may lead out of the file system.
fn walk(tree: &dyn FileTree, path: &str) -> Result<NodeId, Failure> {
    let mut node = tree.root();
    for name in path.split('/').filter(|n| !n.is_empty() && *n != ".") {
        node = tree.lookup(node, OsStr::new(name)).map_err(|e| tree_failure(path, &e))?;
    }
    Ok(node)
}

fn ls(common: &Common, tree: &dyn FileTree, path: &str) -> Result<(), Failure> {
    let node = walk(tree, path)?;
    let about = tree.metadata(node).map_err(|e| tree_failure(path, &e))?;
    let mut listed = Vec::new();
    if about.kind == NodeKind::Directory {
        let mut entries = tree.entries(node).map_err(|e| tree_failure(path, &e))?;
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        for entry in entries {
            let about = tree.metadata(entry.node).map_err(|e| tree_failure(path, &e))?;
            listed.push((entry.name.to_string_lossy().into_owned(), entry.node, about));
        }
    } else {
        listed.push((path.to_owned(), node, about));
    }
    if common.json {
        let value = |(name, _, m): &(String, NodeId, Metadata)| {
            json!({
                "name": name, "kind": kind_name(m.kind), "bytes": m.size, "permissions": m.permissions,
                "uid": m.uid, "gid": m.gid, "modified": moment::rfc3339(stamp(m)),
            })
        };
        return output::json(&listed.iter().map(value).collect::<Vec<_>>());
    }
    let row = |(name, node, m): &(String, NodeId, Metadata)| {
        let arrow = match m.kind {
            NodeKind::Symlink => {
                tree.link_target(*node).map(|t| format!(" -> {}", t.to_string_lossy())).unwrap_or_default()
            }
            NodeKind::Directory => "/".to_owned(),
            _ => String::new(),
        };
        vec![
            format!("{:04o}", m.permissions),
            format!("{}:{}", m.uid, m.gid),
            size(m.size),
            moment::show(stamp(m)),
            format!("{name}{arrow}"),
        ]
    };
    let rows = listed.iter().map(row).collect();
    output::table(&["MODE", "OWNER", "SIZE", "MODIFIED", "NAME"], rows, "nothing in it")
}

fn stamp(about: &Metadata) -> Timestamp {
    let nanos = about.modified.seconds.saturating_mul(1_000_000_000);
    Timestamp(nanos.saturating_add(about.modified.nanos.into()))
}

fn kind_name(kind: NodeKind) -> &'static str {
    match kind {
        NodeKind::File => "file",
        NodeKind::Directory => "directory",
        NodeKind::Symlink => "symlink",
        NodeKind::CharDevice => "character device",
        NodeKind::BlockDevice => "block device",
        NodeKind::Fifo => "fifo",
        NodeKind::Socket => "socket",
    }
}

fn find(common: &Common, tree: &dyn FileTree, pattern: &str) -> Result<(), Failure> {
    let mut found = Vec::new();
    let mut trouble = Vec::new();
    let mut folders = vec![(String::new(), tree.root(), 0)];
    while let Some((path, node, depth)) = folders.pop() {
        let entries = match tree.entries(node) {
            Ok(entries) => entries,
            Err(error) => {
                trouble.push(format!("{path}/: {}", sentence(&error)));
                continue;
            }
        };
        for entry in entries {
            let name = entry.name.to_string_lossy().into_owned();
            let full = format!("{path}/{name}");
            if matches(pattern, &name) {
                found.push(full.clone());
            }
            if entry.kind == NodeKind::Directory && depth < DEEPEST {
                folders.push((full, entry.node, depth + 1));
            }
        }
    }
    found.sort();
    if common.json {
        output::json(&found)?;
    } else {
        found.iter().try_for_each(|f| say!("{f}"))?;
    }
    if trouble.is_empty() {
        return Ok(());
    }
    trouble.iter().for_each(|t| note!("{t}"));
    Err(Failure::damaged("some folders could not be read; the list is not complete"))
}

/// A text that the name contains, or a pattern with `*` and `?` that it matches whole.
fn matches(pattern: &str, name: &str) -> bool {
    if !pattern.contains(['*', '?']) {
        return name.contains(pattern);
    }
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        if p < pattern.len() && pattern[p] == '*' {
            star = Some((p, n));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == '?' || pattern[p] == name[n]) {
            (p, n) = (p + 1, n + 1);
        } else if let Some((at, from)) = star {
            (p, n) = (at + 1, from + 1);
            star = Some((at, from + 1));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

fn get(common: &Common, tree: &dyn FileTree, path: &str, to: &Path) -> Result<(), Failure> {
    let node = walk(tree, path)?;
    let name = path.trim_end_matches('/').rsplit('/').next().filter(|n| !n.is_empty() && *n != ".");
    let target = match name {
        Some(name) if to.is_dir() => to.join(name),
        None if to.is_dir() => return Err(Failure::usage("name a new folder with --to for the whole file system")),
        _ => to.to_owned(),
    };
    if fs::symlink_metadata(&target).is_ok() {
        return Err(Failure::refused(format!("{} is there already; it is not overwritten", target.display())));
    }
    let mut copy = Copy { tree, stop: Stop::listen()?, files: 0, bytes: 0, skipped: Vec::new(), trouble: Vec::new() };
    copy.node(node, &target, 0)?;
    match common.json {
        true => output::json(&json!({
            "target": target.display().to_string(), "files": copy.files, "bytes": copy.bytes,
            "skipped": copy.skipped, "unreadable": copy.trouble,
        }))?,
        false => say!("{}: {} files, {}", target.display(), copy.files, size(copy.bytes))?,
    }
    copy.skipped.iter().chain(&copy.trouble).for_each(|t| note!("{t}"));
    if copy.trouble.is_empty() {
        return Ok(());
    }
    Err(Failure::damaged("some files could not be read; everything else was copied"))
}

/// A copy under way. Names come from an image that may lie: each is created fresh, never followed or overwritten.
struct Copy<'a> {
    tree: &'a dyn FileTree,
    stop: Stop,
    files: u64,
    bytes: u64,
    /// What is no data: devices, pipes, sockets.
    skipped: Vec<String>,
    trouble: Vec<String>,
}

impl Copy<'_> {
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
                self.trouble.push(format!("{}: too deep to be true", target.display()));
                Ok(())
            }
            _ => {
                self.skipped.push(format!("{}: a {} is not copied", target.display(), kind_name(about.kind)));
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
        self.trouble.push(format!("{}: {}", target.display(), sentence(error)));
        Ok(())
    }

    fn folder(&mut self, node: NodeId, about: &Metadata, target: &Path, depth: usize) -> Result<(), Failure> {
        let entries = match self.tree.entries(node) {
            Ok(entries) => entries,
            Err(error) => return self.unreadable(target, &error),
        };
        // Ours alone until it has its own permissions; files the same.
        fs::DirBuilder::new().mode(0o700).create(target).map_err(|e| written(target, &e))?;
        for entry in entries {
            match safe_name(&entry.name) {
                Some(name) => self.node(entry.node, &target.join(name), depth + 1)?,
                None => self.trouble.push(format!("{}: holds a name that is no file name", target.display())),
            }
        }
        self.dress(about, target)
    }

    fn file(&mut self, node: NodeId, about: &Metadata, target: &Path) -> Result<(), Failure> {
        let file = fs::File::options().write(true).create_new(true).mode(0o600).open(target);
        let file = file.map_err(|e| written(target, &e))?;
        let outcome = self.fill(node, &file, target);
        if !matches!(outcome, Ok(Ok(_))) {
            fs::remove_file(target).map_err(|e| written(target, &e))?;
        }
        match outcome? {
            Err(error) => self.unreadable(target, &error),
            Ok(size) => {
                self.files += 1;
                self.bytes += size;
                self.dress(about, target)
            }
        }
    }

    /// Copies the bytes; zeros become holes. The size, or why the file cannot be read.
    fn fill(&self, node: NodeId, file: &fs::File, target: &Path) -> Result<Result<u64, TreeError>, Failure> {
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

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("note", "my-notes.txt", true),
            ("*.txt", "a.txt", true),
            ("*.txt", "a.txt.bak", false),
            ("a?c*", "abcdef", true),
            ("*a*b*", "xxaxxbxx", true),
            ("?", "", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
