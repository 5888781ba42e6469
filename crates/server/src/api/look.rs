//! Looking into a point: which disk, which file system, which path is meant. Every look is a look at somebody's data.
//!
//! Never knows: what is done with what it finds.

use std::io::ErrorKind;
use std::sync::Arc;

use backstay_format::units::PointNo;
use backstay_items::partition::partitions;
use backstay_items::tree::{FileTree, Metadata, NodeId, TreeError, walk};
use backstay_recover::kept::{self, is_left_out};
use backstay_vault::disk::PointDisk;
use serde::Deserialize;
use utoipa::IntoParams;

use super::blocking;
use super::error::Failure;
use crate::{Server, words};

/// Where in a point.
#[derive(Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Where {
    /// The disk; may be left out if there is one.
    pub(super) disk: Option<String>,
    /// The partition's number; none: the whole disk.
    pub(super) partition: Option<u32>,
    /// The path, from the top of the file system.
    pub(super) path: Option<String>,
}

impl Where {
    /// The path; the top if none was named.
    pub(super) fn path(&self) -> &str {
        self.path.as_deref().unwrap_or("/")
    }
}

/// The disks of a point.
pub(super) fn disks(server: &Server, name: &str, number: u64) -> Result<Vec<Arc<PointDisk>>, Failure> {
    let machine = server.vault.machine(name)?;
    let point = server.vault.point(&machine, PointNo(number))?;
    Ok(server.vault.disks(&machine, &point)?.into_iter().map(Arc::new).collect())
}

/// The one disk that is meant.
pub(super) fn disk(
    server: &Server,
    (name, number): (&str, u64),
    which: Option<&str>,
) -> Result<Arc<PointDisk>, Failure> {
    let mut disks = disks(server, name, number)?;
    disks.retain(|disk| which.is_none_or(|name| *name == disk.info().name));
    match disks.len() {
        0 => Err(Failure::missing("such disk")),
        1 => Ok(disks.remove(0)),
        _ => Err(Failure::wrong("the point has several disks; name one")),
    }
}

/// The file system that is meant.
pub(super) fn tree(server: &Server, (name, number): (&str, u64), at: &Where) -> Result<Box<dyn FileTree>, Failure> {
    let disk = disk(server, (name, number), at.disk.as_deref())?;
    let place = match at.partition {
        None => None,
        Some(number) => {
            let table = partitions(&*disk).map_err(|e| trouble(&e))?;
            let part = table.partitions.iter().find(|part| part.index == number);
            Some(part.map(|part| part.start..part.end()).ok_or_else(|| Failure::missing("such partition"))?)
        }
    };
    kept::open(&disk, place).map_err(|e| trouble(&e))
}

/// Why a file system did not answer.
pub(super) fn trouble(error: &TreeError) -> Failure {
    match error {
        TreeError::NotFound => Failure::missing("such file at that point"),
        TreeError::WrongKind(_) => Failure::wrong("the path leads through something that is no folder"),
        TreeError::Damaged(_) => Failure::damaged(error.to_string()),
        error if is_left_out(error) => Failure::missing("content: it was excluded when the point was made"),
        TreeError::Unsupported(_) => Failure::wrong(error.to_string()),
        TreeError::Io(cause) if cause.kind() == ErrorKind::InvalidData => Failure::damaged(words(error)),
        TreeError::Io(_) => Failure::broken(words(error)),
    }
}

/// Looks into a point, on a thread that may wait for disks. What turns out to be damaged is named in an alert, with `what` it is of.
pub(super) async fn looking<T: Send + 'static>(
    server: &Arc<Server>,
    (machine, point, what): (&str, u64, &str),
    work: impl FnOnce(&Arc<Server>) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let done = blocking(server, work).await;
    if let Err(failure) = done.as_ref()
        && failure.is_damage()
    {
        server.found_damaged(machine, point, &format!("{what}: {}", failure.message)).await;
    }
    done
}

/// What a path leads to.
pub(super) fn found(tree: &dyn FileTree, path: &str) -> Result<(NodeId, Metadata), Failure> {
    let node = walk(tree, path).map_err(|(_, error)| trouble(&error))?;
    Ok((node, tree.metadata(node).map_err(|e| trouble(&e))?))
}
