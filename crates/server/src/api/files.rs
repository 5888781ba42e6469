//! What is in a point: disks, file systems, files. Every look is a look at somebody's data.
//!
//! Never knows: file systems beyond the tree they show.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use backstay_format::units::Timestamp;
use backstay_items::disk::allocated;
use backstay_items::tree::{FileTree, Metadata, NodeId, NodeKind};
use backstay_recover::kept;
use backstay_vault::disk::PointDisk;
use serde::Serialize;
use utoipa::ToSchema;

use super::blocking;
use super::error::{Answer, Failure};
use super::look::{Where, disks, found, looking, tree, trouble};
use super::pour::{self, Stopped, Tap};
use crate::moment::{SECOND, rfc3339};
use crate::{Server, words};

/// Bytes that are read at once.
const PIECE: usize = 1 << 20;
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
    /// Where it begins on the disk.
    offset: u64,
    bytes: u64,
    used_bytes: u64,
    /// The file system's name, or what else it is.
    kind: String,
    /// Why all of it counts as used although its kind is known.
    doubt: Option<String>,
    /// Its files can be looked into.
    has_files: bool,
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
    /// Where a symbolic link leads.
    target: Option<String>,
}

fn entry(tree: &dyn FileTree, name: String, (node, about): (NodeId, &Metadata)) -> EntryText {
    let target = (about.kind == NodeKind::Symlink).then(|| tree.link_target(node).ok()).flatten();
    EntryText {
        name,
        target: target.map(|target| target.to_string_lossy().into_owned()),
        kind: about.kind.name().to_owned(),
        bytes: about.size,
        permissions: about.permissions,
        uid: about.uid,
        gid: about.gid,
        modified: modified(about),
    }
}

/// When a file's content was changed last.
pub(super) fn modified(about: &Metadata) -> String {
    let seconds = about.modified.seconds.saturating_mul(SECOND);
    rfc3339(Timestamp(seconds.saturating_add(about.modified.nanos.into())))
}

fn listed(tree: &dyn FileTree, path: &str) -> Result<Listing, Failure> {
    let (node, about) = found(tree, path)?;
    if about.kind != NodeKind::Directory {
        let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        return Ok(Listing { entries: vec![entry(tree, name.to_owned(), (node, &about))], cut: false });
    }
    let mut names = tree.entries(node).map_err(|e| trouble(&e))?;
    names.sort_by(|a, b| a.name.cmp(&b.name));
    let cut = names.len() > MOST;
    names.truncate(MOST);
    let one = |one: &backstay_items::tree::Entry| {
        let about = tree.metadata(one.node).map_err(|e| trouble(&e))?;
        Ok(entry(tree, one.name.to_string_lossy().into_owned(), (one.node, &about)))
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
            offset: part.place.start,
            bytes: part.place.end - part.place.start,
            used_bytes: part.used,
            kind: part.kind.to_owned(),
            doubt: part.doubt.clone(),
            has_files: kept::open(disk, Some(part.place.clone())).is_ok(),
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
    let (machine, path) = (name.clone(), at.path().to_owned());
    let found = looking(&server, (&machine, number, &path), move |server| {
        listed(&*tree(server, (&name, number), &at)?, at.path())
    });
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
    let seat = server.download_seat()?;
    let mut headers = pour::attachment(at.path().trim_end_matches('/').rsplit('/').next().unwrap_or_default());
    let (machine, path) = (name.clone(), at.path().to_owned());
    let opened = looking(&server, (&machine, number, &path), move |server| {
        let tree = tree(server, (&name, number), &at)?;
        let (node, about) = found(&*tree, at.path())?;
        if about.kind != NodeKind::File {
            return Err(Failure::wrong("this is no file"));
        }
        // Before the answer begins, so that what cannot be read at all is told as such.
        let mut first = vec![0; piece(about.size)];
        let read = tree.read(node, 0, &mut first).map_err(|e| trouble(&e))?;
        first.truncate(read);
        Ok((tree, node, about.size, first))
    });
    let (tree, node, size, first) = opened.await?;
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(size));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    let body = pour::body(seat, move |tap| {
        let sent = send(&*tree, (node, size), first, tap);
        if let Err(Stopped::Damaged(why)) = &sent {
            tap.wait_for(server.found_damaged(&machine, number, &format!("{path}: {why}")));
        }
        sent
    });
    Ok((headers, body))
}

fn piece(size: u64) -> usize {
    PIECE.min(usize::try_from(size).unwrap_or(PIECE))
}

/// Reads a file piece by piece, for as long as somebody takes them.
fn send(tree: &dyn FileTree, (node, size): (NodeId, u64), first: Vec<u8>, tap: &mut Tap) -> Result<(), Stopped> {
    let (mut bytes, mut at) = (first, 0);
    loop {
        at += bytes.len() as u64;
        let ends = bytes.is_empty();
        tap.send(bytes.into())?;
        match at >= size {
            true => return Ok(()),
            false if ends => return Err(Stopped::Damaged("it ends before its size says".to_owned())),
            false => {}
        }
        bytes = vec![0; piece(size - at)];
        let read = tree.read(node, at, &mut bytes).map_err(|error| Stopped::Damaged(words(&error)))?;
        bytes.truncate(read);
    }
}
