//! What is in a point: disks, file systems, files. Every look is a look at somebody's data.
//!
//! Never knows: file systems beyond the tree they show.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use backstay_format::units::{PointNo, Timestamp};
use backstay_items::disk::allocated;
use backstay_items::partition::partitions;
use backstay_items::tree::{FileTree, Metadata, NodeId, NodeKind, TreeError, walk};
use backstay_recover::kept::{self, is_left_out};
use backstay_vault::disk::PointDisk;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use utoipa::{IntoParams, ToSchema};

use super::blocking;
use super::error::{Answer, Failure};
use crate::Server;
use crate::moment::{SECOND, rfc3339};

/// Bytes that are read at once.
const PIECE: usize = 1 << 20;
/// A download ends when nobody took anything of it for so long.
const PATIENCE: Duration = Duration::from_secs(60);
/// Names in one answer, at most: a folder with more is listed up to there, and the answer says so.
const MOST: usize = 10_000;

/// A disk at a point.
#[derive(Serialize, ToSchema)]
pub(crate) struct DiskParts {
    disk: String,
    bytes: u64,
    parts: Vec<PartText>,
}

/// What lies on a disk.
#[derive(Serialize, ToSchema)]
pub(crate) struct PartText {
    /// The partition's number; nothing: it is the whole disk.
    partition: Option<u32>,
    bytes: u64,
    used_bytes: u64,
    /// The file system's name, or what else it is.
    kind: String,
}

/// Where in a point.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Where {
    /// The disk; may be left out if there is one.
    disk: Option<String>,
    /// The partition's number; none: the whole disk.
    partition: Option<u32>,
    /// The path, from the top of the file system.
    path: Option<String>,
}

/// A folder, or a file.
#[derive(Serialize, ToSchema)]
pub(crate) struct Listing {
    entries: Vec<EntryText>,
    /// There are more than are listed.
    cut: bool,
}

/// A name in a folder.
#[derive(Serialize, ToSchema)]
pub(crate) struct EntryText {
    name: String,
    /// `file`, `directory`, `symlink` and so on.
    kind: String,
    bytes: u64,
    permissions: u16,
    uid: u32,
    gid: u32,
    modified: String,
}

impl Where {
    fn path(&self) -> &str {
        self.path.as_deref().unwrap_or("/")
    }
}

fn disks(server: &Server, name: &str, number: u64) -> Result<Vec<Arc<PointDisk>>, Failure> {
    let machine = server.vault.machine(name)?;
    let point = server.vault.point(&machine, PointNo(number))?;
    Ok(server.vault.disks(&machine, &point)?.into_iter().map(Arc::new).collect())
}

/// The file system that is meant.
fn tree(server: &Server, (name, number): (&str, u64), at: &Where) -> Result<Box<dyn FileTree>, Failure> {
    let mut disks = disks(server, name, number)?;
    disks.retain(|disk| at.disk.as_ref().is_none_or(|name| *name == disk.info().name));
    let disk = match &disks[..] {
        [one] => one,
        [] => return Err(Failure::missing("such disk")),
        _ => return Err(Failure::wrong("the point has several disks; name one")),
    };
    let place = match at.partition {
        None => None,
        Some(number) => {
            let table = partitions(&**disk).map_err(|e| trouble(&e))?;
            let part = table.partitions.iter().find(|part| part.index == number);
            Some(part.map(|part| part.start..part.end()).ok_or_else(|| Failure::missing("such partition"))?)
        }
    };
    kept::open(disk, place).map_err(|e| trouble(&e))
}

fn trouble(error: &TreeError) -> Failure {
    match error {
        TreeError::NotFound => Failure::missing("such file at that point"),
        TreeError::WrongKind(_) => Failure::wrong("the path leads through something that is no folder"),
        TreeError::Damaged(_) => Failure::damaged(error.to_string()),
        error if is_left_out(error) => Failure::missing("content: it was excluded when the point was made"),
        TreeError::Unsupported(_) => Failure::wrong(error.to_string()),
        TreeError::Io(_) => Failure::broken(error.to_string()),
    }
}

fn found(tree: &dyn FileTree, path: &str) -> Result<(NodeId, Metadata), Failure> {
    let node = walk(tree, path).map_err(|(_, error)| trouble(&error))?;
    Ok((node, tree.metadata(node).map_err(|e| trouble(&e))?))
}

fn entry(name: String, about: &Metadata) -> EntryText {
    let seconds = about.modified.seconds.saturating_mul(SECOND);
    EntryText {
        name,
        kind: about.kind.name().to_owned(),
        bytes: about.size,
        permissions: about.permissions,
        uid: about.uid,
        gid: about.gid,
        modified: rfc3339(Timestamp(seconds.saturating_add(about.modified.nanos.into()))),
    }
}

fn listed(tree: &dyn FileTree, path: &str) -> Result<Listing, Failure> {
    let (node, about) = found(tree, path)?;
    if about.kind != NodeKind::Directory {
        let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        return Ok(Listing { entries: vec![entry(name.to_owned(), &about)], cut: false });
    }
    let mut names = tree.entries(node).map_err(|e| trouble(&e))?;
    names.sort_by(|a, b| a.name.cmp(&b.name));
    let cut = names.len() > MOST;
    names.truncate(MOST);
    let one = |one: &backstay_items::tree::Entry| {
        let about = tree.metadata(one.node).map_err(|e| trouble(&e))?;
        Ok(entry(one.name.to_string_lossy().into_owned(), &about))
    };
    Ok(Listing { entries: names.iter().map(one).collect::<Result<_, Failure>>()?, cut })
}

/// Lists the disks of a point, and what lies on them.
#[utoipa::path(get, path = "/api/v1/machines/{machine}/points/{point}/disks",
    params(("machine" = String, Path), ("point" = u64, Path)),
    responses((status = 200, body = Vec<DiskParts>), (status = "4XX", body = Answer)))]
pub(crate) async fn parts(
    State(server): State<Arc<Server>>,
    Path((name, number)): Path<(String, u64)>,
) -> Result<Json<Vec<DiskParts>>, Failure> {
    let one = |disk: &Arc<PointDisk>| {
        let part = |part: &backstay_items::disk::Part| PartText {
            partition: part.index,
            bytes: part.place.end - part.place.start,
            used_bytes: part.used,
            kind: part.kind.to_owned(),
        };
        let info = disk.info();
        let parts = allocated(&**disk).parts.iter().map(part).collect();
        DiskParts { disk: info.name.clone(), bytes: info.size, parts }
    };
    let found = blocking(&server, move |server| Ok(disks(server, &name, number)?.iter().map(one).collect()));
    Ok(Json(found.await?))
}

/// Lists a folder of a point.
#[utoipa::path(get, path = "/api/v1/machines/{machine}/points/{point}/files",
    params(("machine" = String, Path), ("point" = u64, Path), Where),
    responses((status = 200, body = Listing), (status = "4XX", body = Answer)))]
pub(crate) async fn list(
    State(server): State<Arc<Server>>,
    Path((name, number)): Path<(String, u64)>,
    Query(at): Query<Where>,
) -> Result<Json<Listing>, Failure> {
    let found = blocking(&server, move |server| listed(&*tree(server, (&name, number), &at)?, at.path()));
    Ok(Json(found.await?))
}

/// Downloads a file of a point. One that turns out to be damaged ends early, and so does the connection.
#[utoipa::path(get, path = "/api/v1/machines/{machine}/points/{point}/file",
    params(("machine" = String, Path), ("point" = u64, Path), Where),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream"), (status = "4XX", body = Answer)))]
pub(crate) async fn download(
    State(server): State<Arc<Server>>,
    Path((name, number)): Path<(String, u64)>,
    Query(at): Query<Where>,
) -> Result<(HeaderMap, Body), Failure> {
    let seat = server.downloads.clone().try_acquire_owned();
    let seat = seat.map_err(|_| Failure::too_many("too many downloads at once", 10))?;
    let file = file_name(at.path());
    let opened = blocking(&server, move |server| {
        let tree = tree(server, (&name, number), &at)?;
        let (node, about) = found(&*tree, at.path())?;
        if about.kind != NodeKind::File {
            return Err(Failure::wrong("this is no file"));
        }
        // Before the answer begins, so that what cannot be read at all is told as such.
        let mut first = vec![0; PIECE.min(usize::try_from(about.size).unwrap_or(PIECE))];
        let read = tree.read(node, 0, &mut first).map_err(|e| trouble(&e))?;
        first.truncate(read);
        Ok((tree, node, about.size, first))
    });
    let (tree, node, size, first) = opened.await?;
    let (send, receive) = mpsc::channel(2);
    let handle = Handle::current();
    tokio::task::spawn_blocking(move || {
        let _seat = seat;
        pour(&*tree, (node, size), first, &handle, &send);
    });
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(size));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_DISPOSITION, file);
    Ok((headers, Body::from_stream(ReceiverStream::new(receive))))
}

/// Reads a file piece by piece, for as long as somebody takes them.
fn pour(
    tree: &dyn FileTree,
    (node, size): (NodeId, u64),
    first: Vec<u8>,
    handle: &Handle,
    to: &mpsc::Sender<Result<Bytes, std::io::Error>>,
) {
    let mut piece = Ok(Bytes::from(first));
    let mut at = 0;
    loop {
        let (length, failed) = (piece.as_ref().map_or(0, Bytes::len), piece.is_err());
        let sent = handle.block_on(tokio::time::timeout(PATIENCE, to.send(piece)));
        at += length as u64;
        if !matches!(sent, Ok(Ok(()))) || failed || length == 0 || at >= size {
            return;
        }
        let mut buffer = vec![0; PIECE.min(usize::try_from(size - at).unwrap_or(PIECE))];
        piece = match tree.read(node, at, &mut buffer) {
            Ok(read) => {
                buffer.truncate(read);
                Ok(Bytes::from(buffer))
            }
            Err(error) => Err(std::io::Error::other(error.to_string())),
        };
    }
}

/// What a browser calls the file. Names come from an image and may be anything.
fn file_name(path: &str) -> HeaderValue {
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._".contains(byte);
    let escaped = |byte: u8| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    let name: String = name.bytes().map(escaped).collect();
    HeaderValue::from_str(&format!("attachment; filename*=UTF-8''{name}")).expect("it is made of plain characters")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_breaks_out_of_its_header() {
        assert_eq!(file_name("/a/b \"\r\nX: y"), "attachment; filename*=UTF-8''b%20%22%0D%0AX%3A%20y");
        assert_eq!(file_name("/"), "attachment; filename*=UTF-8''");
    }
}
