//! Restores into a folder of the server, as jobs.
//!
//! Never knows: how a disk is written.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use backstay_format::units::PointNo;

use super::blocking;
use super::body::Body;
use super::error::{Answer, Failure};
use super::guard::Caller;
use super::jobs::Started;
use crate::Server;
use crate::jobs::{self, By, Work};
use crate::restores::{No, Restore, place};
use crate::rights::Right;

/// Starts to write a disk of a point to a file in the server's folder for restores. It is a job: `jobs` tells how far it is.
#[utoipa::path(post, path = "/api/v1/restores", request_body = Restore, responses(
    (status = 202, body = Started), (status = "4XX", body = Answer)))]
pub(crate) async fn start(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Body(asked): Body<Restore>,
) -> Result<(StatusCode, Json<Started>), Failure> {
    if !caller.may(Right::Read, &asked.machine, server.vault.name()) {
        return Err(Failure::not_allowed());
    }
    let wanted = asked.clone();
    let checked = blocking(&server, move |server| {
        place(server.restores.as_deref(), &wanted).map_err(|no| refused(&no, &wanted.to))?;
        let machine = server.vault.machine(&wanted.machine)?;
        let point = server.vault.point(&machine, PointNo(wanted.point))?;
        server.vault.disk(&machine, &point, wanted.disk.as_deref())?;
        Ok(())
    });
    checked.await?;
    let id = jobs::start(&server, Work::Restore(asked), By::Person(caller.id, &caller.name)).await?;
    let id = id.ok_or_else(|| Failure::conflict("other restores are at work").hint("wait for one, or cancel it"))?;
    Ok((StatusCode::ACCEPTED, Json(Started { id })))
}

fn refused(no: &No, name: &str) -> Failure {
    match no {
        No::Folder => Failure::conflict("this server restores to no folder of its own")
            .hint("name one with `backstay server --restores DIR`, or restore with `backstay restore --server`"),
        No::Name => Failure::wrong("a restore goes to the name of a file: without slashes, and not hidden"),
        No::There(true) => Failure::conflict(format!("there is a file {name} already"))
            .hint("name another, or have only what differs written (delta)"),
        No::There(false) => Failure::wrong(format!("there is no file {name}: delta needs one to compare with")),
    }
}
