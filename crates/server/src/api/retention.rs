//! Retention ahead: which points the calendar's job will leave, and until when it keeps each.
//!
//! Never knows: how points are dropped.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use backstay_format::units::{MachineId, PointNo, Timestamp};
use backstay_timeline::schedule::{Period, Schedule};
use backstay_vault::Vault;
use backstay_vault::VaultError;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::blocking;
use super::error::{Answer, Failure};
use super::points::{WIDEST, moment};
use crate::Server;
use crate::jobs::{Keep, Work};
use crate::moment::rfc3339;

/// What the calendar keeps of a machine's points.
pub(super) struct Policy {
    keep: Keep,
    next: Timestamp,
}

impl Policy {
    /// `None`: none of its points are dropped by themselves.
    pub(super) async fn of(server: &Server, machine: &str) -> Result<Option<Policy>, sqlx::Error> {
        let dues = server.catalogue.calendar().await?;
        Ok(dues.into_iter().find_map(|due| match serde_json::from_str(&due.about) {
            Ok(Work::Forget { machine: of, keep, .. }) if of.as_deref().is_none_or(|of| of == machine) => {
                Some(Policy { keep, next: due.next })
            }
            _ => None,
        }))
    }

    pub(super) fn schedule(&self) -> Schedule {
        self.keep.schedule()
    }
}

/// Until when a point is kept, as the calendar is now.
#[derive(Serialize, ToSchema)]
pub(crate) struct KeptText {
    /// Nothing: for as long as it is the newest.
    until: Option<String>,
    /// As what it is kept last: `all`, as all points are; the newest of its `minute`, `hour`, `day`, `month` or `year`; `newest`, of all.
    #[serde(rename = "as")]
    by: &'static str,
}

/// Until when each of some neighbours is kept, in the order of their numbers.
pub(super) fn kept(
    vault: &Vault,
    machine: MachineId,
    points: &[(PointNo, Timestamp)],
    schedule: &Schedule,
) -> Result<Vec<KeptText>, VaultError> {
    let newer = vault.newer(machine, points)?;
    let text = |((_, time), newer): (&(PointNo, Timestamp), Option<Timestamp>)| match newer {
        None => KeptText { until: None, by: "newest" },
        Some(newer) => {
            let kept = schedule.kept(*time, newer);
            KeptText { until: Some(rfc3339(kept.until)), by: kept.of.map_or("all", word) }
        }
    };
    Ok(points.iter().zip(newer).map(text).collect())
}

fn word(period: Period) -> &'static str {
    match period {
        Period::Minute => "minute",
        Period::Hour => "hour",
        Period::Day => "day",
        Period::Month => "month",
        Period::Year => "year",
    }
}

/// Which times, and as they will be when.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Ahead {
    /// From this moment on; the oldest point's if not said.
    from: Option<String>,
    /// To this moment; now if not said.
    to: Option<String>,
    /// How many columns, at most 4096.
    columns: Option<i64>,
    /// What will be left at this moment; now if not said.
    at: Option<String>,
}

/// What will be left of a timeline, if the calendar stays as it is. With many points it is as exact as a picture of them.
#[derive(Serialize, ToSchema)]
pub(crate) struct Retention {
    /// What is kept; nothing: no points are dropped by themselves.
    keep: Option<Keep>,
    /// When points are dropped next.
    next: Option<String>,
    from: String,
    to: String,
    at: String,
    /// How many of the points in each of equal times will be left.
    left: Vec<u64>,
}

/// What will be left of a machine's points.
#[utoipa::path(get, path = "/api/v1/machines/{machine}/retention", params(("machine" = String, Path), Ahead), responses(
    (status = 200, body = Retention), (status = "4XX", body = Answer)))]
pub(crate) async fn ahead(
    State(server): State<Arc<Server>>,
    Path(name): Path<String>,
    Query(asked): Query<Ahead>,
) -> Result<Json<Retention>, Failure> {
    let now = server.now();
    let (from, to) = (moment(asked.from.as_deref())?, moment(asked.to.as_deref())?.unwrap_or(now));
    let at = moment(asked.at.as_deref())?.unwrap_or(now);
    let columns = asked.columns.unwrap_or(256).clamp(1, WIDEST.into()) as usize;
    let policy = Policy::of(&server, &name).await?;
    // Where nothing is dropped all is left.
    let everything = Schedule { all: i64::MAX, tiers: Vec::new() };
    let schedule = policy.as_ref().map_or(everything, Policy::schedule);
    let found = blocking(&server, move |server| {
        let machine = server.vault.machine(&name)?.id;
        let from = match from {
            Some(from) if from > to => return Err(Failure::wrong("the time ends before it begins")),
            Some(from) => from,
            None => server.vault.totals(machine)?.map_or(to, |totals| totals.earliest.min(to)),
        };
        Ok((from, server.vault.left_at(machine, (from, to), columns, (&schedule, at))?))
    });
    let (from, left) = found.await?;
    let next = policy.as_ref().map(|policy| rfc3339(policy.next));
    let (from, to, at) = (rfc3339(from), rfc3339(to), rfc3339(at));
    Ok(Json(Retention { keep: policy.map(|policy| policy.keep), next, from, to, at, left }))
}
