//! What changed between two points, and looking for names in one.
//!
//! Never knows: how file systems are compared or searched.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{Path, Query, State};
use backstay_items::tree::Metadata;
use backstay_recover::compare::{Change, Comparison, compare};
use backstay_recover::find;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::{Answer, Failure};
use super::files::modified;
use super::look::{Where, found, looking, tree, trouble};
use crate::Server;

/// Changes or names in one answer, at most.
const MOST: usize = 10_000;
/// How long is looked, at most.
const LONGEST: Duration = Duration::from_secs(60);

/// Two points, and where in them.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Between {
    /// The number of one point.
    from: u64,
    /// The number of the other, mostly a later one.
    to: u64,
    /// The disk; may be left out if there is one.
    disk: Option<String>,
    /// The partition's number; none: the whole disk.
    partition: Option<u32>,
    /// The folder, or file; the top if not said.
    path: Option<String>,
}

/// What changed from one point to another.
#[derive(Serialize, ToSchema)]
pub(crate) struct Compared {
    from: u64,
    to: u64,
    changes: Vec<ChangeText>,
    /// What could not be read in one of them.
    unreadable: Vec<String>,
    /// There is more than is listed.
    cut: bool,
}

/// What became of a name.
#[derive(Serialize, ToSchema)]
pub(crate) struct ChangeText {
    path: String,
    /// `added`, `removed` or `changed`. Of a folder that came or went only itself is named.
    kind: &'static str,
    before: Option<StateText>,
    after: Option<StateText>,
}

/// What a file is at a point.
#[derive(Serialize, ToSchema)]
pub(crate) struct StateText {
    /// `file`, `directory`, `symlink` and so on.
    kind: &'static str,
    bytes: u64,
    modified: String,
    permissions: u16,
    uid: u32,
    gid: u32,
}

/// What is looked for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Pattern {
    /// A text that names contain, or a pattern with * and ? that they match whole.
    pattern: String,
}

/// Names that were found.
#[derive(Serialize, ToSchema)]
pub(crate) struct FoundText {
    /// Paths from the top of the file system, in order.
    paths: Vec<String>,
    /// Folders that could not be read.
    unreadable: Vec<String>,
    /// There may be more than are listed.
    cut: bool,
}

/// Compares a folder, and all below it, at two points: by sizes, times, owners and permissions of files, not by their content.
#[utoipa::path(get, path = "/api/v1/machines/{machine}/compare", params(("machine" = String, Path), Between),
    responses((status = 200, body = Compared), (status = "4XX", body = Answer)))]
pub(crate) async fn between(
    State(server): State<Arc<Server>>,
    Path(name): Path<String>,
    Query(which): Query<Between>,
) -> Result<Json<Compared>, Failure> {
    let (machine, from, to) = (name.clone(), which.from, which.to);
    let at = Where { disk: which.disk, partition: which.partition, path: which.path };
    let path = at.path().to_owned();
    let compared = looking(&server, (&machine, from, &path), move |server| {
        let (before, after) = (tree(server, (&name, from), &at)?, tree(server, (&name, to), &at)?);
        let (was, is) = (found(&*before, at.path())?.0, found(&*after, at.path())?.0);
        let end = Instant::now() + LONGEST;
        let mut go_on = |so_far: &Comparison| so_far.changes.len() < MOST && Instant::now() < end;
        compare((&*before, was), (&*after, is), &mut go_on).map_err(|e| trouble(&e))
    });
    let mut compared = compared.await?;
    let cut = compared.cut || compared.changes.len() > MOST;
    compared.changes.truncate(MOST);
    let below = path.trim_end_matches('/').to_owned();
    let changes = compared.changes.into_iter().map(|change| text(&below, change)).collect();
    Ok(Json(Compared { from, to, changes, unreadable: compared.unreadable, cut }))
}

fn text(below: &str, change: Change) -> ChangeText {
    let state = |about: Metadata| StateText {
        kind: about.kind.name(),
        bytes: about.size,
        modified: modified(&about),
        permissions: about.permissions,
        uid: about.uid,
        gid: about.gid,
    };
    let kind = match (&change.before, &change.after) {
        (None, _) => "added",
        (_, None) => "removed",
        _ => "changed",
    };
    let path = match format!("{below}{}", change.path) {
        path if path.is_empty() => "/".to_owned(),
        path => path,
    };
    ChangeText { path, kind, before: change.before.map(state), after: change.after.map(state) }
}

/// Looks for names in a folder of a point, and all below it.
#[utoipa::path(get, path = "/api/v1/machines/{machine}/points/{point}/find",
    params(("machine" = String, Path), ("point" = u64, Path), Where, Pattern),
    responses((status = 200, body = FoundText), (status = "4XX", body = Answer)))]
pub(crate) async fn names(
    State(server): State<Arc<Server>>,
    Path((name, number)): Path<(String, u64)>,
    Query(at): Query<Where>,
    Query(Pattern { pattern }): Query<Pattern>,
) -> Result<Json<FoundText>, Failure> {
    let (machine, path) = (name.clone(), at.path().to_owned());
    let looked = looking(&server, (&machine, number, &path), move |server| {
        let tree = tree(server, (&name, number), &at)?;
        let (node, _) = found(&*tree, at.path())?;
        let end = Instant::now() + LONGEST;
        let mut go_on = |so_far: &find::Found| so_far.paths.len() < MOST && Instant::now() < end;
        Ok(find::find(&*tree, (node, at.path()), &pattern, &mut go_on))
    });
    let mut looked = looked.await?;
    let cut = looked.cut || looked.paths.len() > MOST;
    looked.paths.truncate(MOST);
    looked.paths.sort();
    Ok(Json(FoundText { paths: looked.paths, unreadable: looked.unreadable, cut }))
}
