//! `backstay files`: which file system is meant, and the way to a path in it.
//!
//! Never knows: file systems beyond the tree they show.

mod get;
mod list;

pub(super) use get::{Copied, target_of, tell_copied};
pub(super) use list::{Listed, tell_found, tell_listed};

use backstay_items::partition::partitions;
use backstay_items::tree::{self, FileTree, NodeId, TreeError};
use backstay_recover::kept;
use backstay_vault::Vault;

use crate::args::{At, Common, Files};
use crate::failure::{Failure, sentence};
use crate::spec::{self, Found};

/// Folders deeper than this are an image that lies.
const DEEPEST: usize = 1024;

pub(super) fn run(common: &Common, vault: &Vault, command: &Files) -> Result<(), Failure> {
    let at = match command {
        Files::Ls { at, .. } | Files::Find { at, .. } | Files::Get { at, .. } => at,
    };
    let tree = open(vault, at)?;
    match command {
        Files::Ls { path, .. } => list::ls(common, &*tree, path),
        Files::Find { pattern, .. } => list::find(common, &*tree, pattern),
        Files::Get { path, to, .. } => get::get(common, &*tree, path, to),
    }
}

/// The file system that is meant: of the partition named, or the only one there is.
fn open(vault: &Vault, at: &At) -> Result<Box<dyn FileTree>, Failure> {
    let found = spec::find(vault, at)?;
    if let Some(number) = found.spec.partition {
        let disk = spec::disk(vault, &found)?;
        let place = spec::partition(&disk, number)?;
        return kept::open(&disk, Some(place)).map_err(|e| Failure::new(format!("{}: {}", at.machine, sentence(&e))));
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
            out.extend(kept::open(&disk, None).ok().map(|tree| (name, tree)));
            continue;
        }
        for part in table.partitions.iter().filter(|p| !p.container) {
            let tree = kept::open(&disk, Some(part.start..part.end())).ok();
            out.extend(tree.map(|tree| (format!("{name}:{}", part.index), tree)));
        }
    }
    Ok(out)
}

/// Why a path leads on from something that is no folder.
fn through(tree: &dyn FileTree, node: NodeId, path: &str) -> Failure {
    match tree.link_target(node) {
        Ok(target) => {
            let target = target.to_string_lossy();
            Failure::new(format!("{path} leads through a symbolic link to {target}; name the path it leads to"))
        }
        Err(_) => Failure::new(format!("{path} leads through something that is not a folder")),
    }
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
    tree::walk(tree, path).map_err(|(node, error)| match error {
        TreeError::WrongKind(_) => through(tree, node, path),
        error => tree_failure(path, &error),
    })
}
