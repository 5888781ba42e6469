//! A folder of a point as a tar archive, sent as it is read.
//!
//! Never knows: how an archive is written.

use std::ffi::OsString;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use backstay_items::tree::{FileTree, NodeId, NodeKind};
use backstay_recover::tar::{self, ArchiveError};

use super::error::{Answer, Failure};
use super::look::{Where, found, looking, tree};
use super::pour::{self, Stopped, Tap};
use crate::{Server, words};

/// What an archive holds, and how it is called.
struct Meant {
    tree: Box<dyn FileTree>,
    node: NodeId,
    /// The name of what it holds; empty for the top of a file system.
    name: OsString,
}

/// Downloads a folder or file of a point as a tar archive. What cannot be read any more is not in it; then the connection ends
/// before the archive does, and an alert names it. What the archive lacks for other reasons is listed in its last file.
#[utoipa::path(get, path = "/api/v1/machines/{machine}/points/{point}/archive",
    params(("machine" = String, Path), ("point" = u64, Path), Where),
    responses((status = 200, body = Vec<u8>, content_type = "application/x-tar"), (status = "4XX", body = Answer)))]
pub(crate) async fn archive(
    State(server): State<Arc<Server>>,
    Path((name, number)): Path<(String, u64)>,
    Query(at): Query<Where>,
) -> Result<(HeaderMap, Body), Failure> {
    let seat = server.download_seat()?;
    let (machine, path) = (name.clone(), at.path().to_owned());
    let opened = looking(&server, (&machine, number, &path), move |server| meant(server, (&name, number), &at));
    let meant = opened.await?;
    let called = match meant.name.to_string_lossy() {
        name if name.is_empty() => format!("{machine}-{number}.tar"),
        name => format!("{name}.tar"),
    };
    let mut headers = pour::attachment(&called);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-tar"));
    let body = pour::body(seat, move |tap| {
        let sent = send(&meant, tap);
        if let Err(Stopped::Damaged(what)) = &sent {
            tap.wait_for(server.found_damaged(&machine, number, what));
        }
        sent
    });
    Ok((headers, body))
}

fn meant(server: &Server, point: (&str, u64), at: &Where) -> Result<Meant, Failure> {
    let tree = tree(server, point, at)?;
    let (node, about) = found(&*tree, at.path())?;
    if !matches!(about.kind, NodeKind::Directory | NodeKind::File) {
        return Err(Failure::wrong("this is neither a folder nor a file"));
    }
    let last = at.path().split('/').rfind(|name| !name.is_empty() && *name != ".");
    Ok(Meant { tree, node, name: last.unwrap_or_default().into() })
}

fn send(meant: &Meant, tap: &mut Tap) -> Result<(), Stopped> {
    match tar::write(&*meant.tree, meant.node, &meant.name, tap) {
        Ok(lacks) if lacks.damaged.is_empty() => Ok(()),
        Ok(lacks) => Err(Stopped::Damaged(lacks.damaged.join("; "))),
        Err(ArchiveError::Write(_)) => Err(Stopped::Gone),
        Err(error) => Err(Stopped::Damaged(words(&error))),
    }
}
