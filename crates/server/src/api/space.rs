//! What the store takes, what that saves, what is left, and for how long.
//!
//! Never knows: why.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use backstay_format::units::PAGE_SIZE;
use backstay_vault::figures::Sums;
use backstay_vault::{Vault, VaultError};
use serde::Serialize;
use utoipa::ToSchema;

use super::error::{Answer, Failure};
use super::guard::Caller;
use super::{blocking, machines};
use crate::catalogue::space::Taken;
use crate::moment::rfc3339;
use crate::rights::Right;
use crate::{Server, space};

/// Notes of what the store took in one answer, at most.
const MOST: usize = 500;

/// What the store takes, what it saves, and what is left.
#[derive(Serialize, ToSchema)]
pub(crate) struct SpaceText {
    /// Bytes of the disks of all machines' newest points, as far as they may be seen.
    disk_bytes: u64,
    /// Points of these machines.
    points: u64,
    /// Bytes of the disks of all these points: what they would take if each were a copy.
    logical_bytes: u64,
    /// Bytes that changed from point to point: what they would take if each kept just its changes.
    changed_bytes: u64,
    /// Bytes of everything that is kept of all points of all machines.
    stored_bytes: u64,
    packs: u64,
    /// Bytes that are free where the store is; nothing: nobody knows, as with object storage.
    free_bytes: Option<u64>,
    /// Bytes of all there is, where the store is.
    total_bytes: Option<u64>,
    /// How it goes on, by the last thirty days; nothing before it was seen for six hours.
    forecast: Option<ForecastText>,
    /// What the store took, oldest first.
    history: Vec<TakenText>,
}

/// How the store grows, if it goes on as it did.
#[derive(Serialize, ToSchema)]
pub(crate) struct ForecastText {
    /// Bytes that it takes more each day.
    per_day_bytes: i64,
    /// When the disk that it is on will be full; nothing: never, or nobody knows.
    full_at: Option<String>,
}

/// What the store took at a moment.
#[derive(Serialize, ToSchema)]
pub(crate) struct TakenText {
    at: String,
    stored_bytes: u64,
}

/// What the store takes, and what is left.
#[utoipa::path(get, path = "/api/v1/space", responses((status = 200, body = SpaceText), (status = "4XX", body = Answer)))]
pub(crate) async fn space(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<SpaceText>, Failure> {
    let seen = machines::all(&server, |machine, vault| caller.may(Right::See, machine, vault)).await?;
    let names: Vec<String> = seen.iter().map(|machine| machine.name.clone()).collect();
    let found = blocking(&server, move |server| {
        let left = space::left(server.folder.as_deref());
        Ok((server.vault.packed()?, come_to(&server.vault, &names)?, left))
    });
    let (packed, sums, left) = found.await?;
    let taken = server.catalogue.taken().await?;
    let forecast = space::forecast(&taken, left.map(|left| left.free), server.now());
    Ok(Json(SpaceText {
        disk_bytes: seen.iter().map(|machine| machine.disk_bytes).sum(),
        points: sums.points,
        logical_bytes: sums.disks,
        changed_bytes: sums.changed.saturating_mul(PAGE_SIZE as u64),
        stored_bytes: packed.bytes,
        packs: packed.packs,
        free_bytes: left.map(|left| left.free),
        total_bytes: left.map(|left| left.total),
        forecast: forecast
            .map(|forecast| ForecastText { per_day_bytes: forecast.per_day, full_at: forecast.full_at.map(rfc3339) }),
        history: history(&taken),
    }))
}

/// What the points of machines come to.
fn come_to(vault: &Vault, machines: &[String]) -> Result<Sums, VaultError> {
    let mut all = Sums::default();
    for name in machines {
        match vault.machine(name) {
            Ok(machine) => vault.totals(machine.id)?.iter().for_each(|totals| all.add(&totals.sums)),
            // One that was enrolled and has no points yet.
            Err(VaultError::NoMachine(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

/// As many notes as one looks at; the newest is among them.
fn history(taken: &[Taken]) -> Vec<TakenText> {
    let step = taken.len().div_ceil(MOST).max(1);
    let text = |taken: &Taken| TakenText { at: rfc3339(taken.at), stored_bytes: taken.stored };
    let mut some: Vec<TakenText> = taken.iter().rev().step_by(step).map(text).collect();
    some.reverse();
    some
}
