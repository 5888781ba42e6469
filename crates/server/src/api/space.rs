//! What the store takes, and what is left.
//!
//! Never knows: why.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::error::{Answer, Failure};
use super::guard::Caller;
use super::{blocking, machines};
use crate::rights::Right;
use crate::{Server, space};

/// What the store takes, and what is left.
#[derive(Serialize, ToSchema)]
pub(crate) struct SpaceText {
    /// Bytes of the disks of all machines' newest points, as far as they may be seen.
    disk_bytes: u64,
    /// Bytes of everything that is kept of all points of all machines.
    stored_bytes: u64,
    packs: u64,
    /// Bytes that are free where the store is; nothing: nobody knows, as with object storage.
    free_bytes: Option<u64>,
    /// Bytes of all there is, where the store is.
    total_bytes: Option<u64>,
}

/// What the store takes, and what is left.
#[utoipa::path(get, path = "/api/v1/space", responses((status = 200, body = SpaceText), (status = "4XX", body = Answer)))]
pub(crate) async fn space(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<SpaceText>, Failure> {
    let seen = machines::all(&server, |machine, vault| caller.may(Right::See, machine, vault)).await?;
    let found = blocking(&server, |server| Ok((server.vault.packed()?, space::left(server.folder.as_deref()))));
    let (packed, left) = found.await?;
    Ok(Json(SpaceText {
        disk_bytes: seen.iter().map(|machine| machine.disk_bytes).sum(),
        stored_bytes: packed.bytes,
        packs: packed.packs,
        free_bytes: left.map(|left| left.free),
        total_bytes: left.map(|left| left.total),
    }))
}
