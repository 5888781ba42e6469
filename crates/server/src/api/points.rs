//! Points of a machine: lists, a picture of the whole timeline, and one in detail.
//!
//! Never knows: what is in a point.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use backstay_format::rows::Consistency;
use backstay_format::units::{MachineId, PAGE_SIZE, PointNo, Timestamp};
use backstay_timeline::schedule::Schedule;
use backstay_vault::figures::Sums;
use backstay_vault::points::Choice;
use backstay_vault::rows::Point;
use backstay_vault::{Vault, VaultError};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::blocking;
use super::error::{Answer, Failure};
use super::retention::{KeptText, Policy, kept};
use crate::Server;
use crate::moment::{parse, rfc3339};

/// Points in one answer, if nobody says otherwise, and at most.
const USUAL: usize = 100;
const MOST: usize = 1000;
/// Columns of a picture, at most.
pub(super) const WIDEST: u32 = 4096;

/// Which points.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// Not before this moment.
    from: Option<String>,
    /// Not after this moment.
    to: Option<String>,
    /// `newest` first, as if nothing is said, or `oldest` first.
    #[param(inline)]
    order: Option<Order>,
    /// How many, at most 1000.
    limit: Option<usize>,
    /// From where on: `next` of the answer before.
    cursor: Option<String>,
}

/// An order of points: that in which they were made, and its reverse.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    #[default]
    Newest,
    Oldest,
}

/// Some points, in the order that was asked for.
#[derive(Serialize, ToSchema)]
pub(crate) struct Page {
    points: Vec<PointText>,
    /// The cursor of the next page; nothing: there is none.
    next: Option<String>,
}

/// A point.
#[derive(Serialize, ToSchema)]
pub(crate) struct PointText {
    point: u64,
    /// The moment it shows.
    time: String,
    /// When reading began.
    started: String,
    /// When it was committed.
    committed: String,
    /// What is in it hangs together; else it changed while it was read.
    consistent: bool,
    note: String,
    read_bytes: u64,
    changed_pages: u64,
    stored_bytes: u64,
    /// For how many milliseconds those who write to the disks were held still for it; nothing: nobody was, or nobody told.
    frozen_ms: Option<f64>,
    /// Until when the calendar keeps it; nothing: no points of the machine are dropped by themselves.
    kept: Option<KeptText>,
    disks: Vec<DiskText>,
}

/// A disk at a point.
#[derive(Serialize, ToSchema)]
pub(crate) struct DiskText {
    disk: String,
    /// Its number in the machine.
    number: u32,
    /// Where it was read from.
    source: String,
    bytes: u64,
    sector_bytes: u32,
    unreadable_pages: u64,
    /// Pages left out because nothing uses them.
    absent_pages: u64,
    /// Pages left out by choice.
    excluded_pages: u64,
    /// The choices that left something out.
    excluded: Vec<ExcludedText>,
}

/// What a choice left out of a disk.
#[derive(Serialize, ToSchema)]
pub(crate) struct ExcludedText {
    /// The choice, as it was written.
    rule: String,
    /// Bytes of content that it names.
    bytes: u64,
}

/// A picture of a timeline: how much there is in each of equal times. Up to some ten thousand points each is in its column; of more,
/// the neighbours on a border of two columns, at most 64, count as if they followed each other at equal times. Sums are always right.
#[derive(Serialize, ToSchema)]
pub(crate) struct Density {
    from: String,
    to: String,
    /// Points of each.
    points: Vec<u64>,
    /// Pages found changed by the points of each.
    changed_pages: Vec<u64>,
    /// Bytes of these pages.
    changed_bytes: Vec<u64>,
    /// Bytes that were read from the disks for the points of each.
    read_bytes: Vec<u64>,
    /// Bytes added to the store by the points of each.
    stored_bytes: Vec<u64>,
    /// The longest time for which writers were held still for a point of each, in milliseconds.
    frozen_ms: Vec<f64>,
}

/// Which times.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Times {
    /// From this moment on; the oldest point's if not said.
    from: Option<String>,
    /// To this moment; now if not said.
    to: Option<String>,
    /// How many columns, at most 4096.
    columns: Option<i64>,
}

fn ms(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}

fn text(point: &Point, kept: Option<KeptText>) -> PointText {
    let disk = |disk: &backstay_format::rows::DiskAt| DiskText {
        disk: disk.name.clone(),
        number: disk.disk.0,
        source: disk.source.clone(),
        bytes: disk.size,
        sector_bytes: disk.sector,
        unreadable_pages: disk.unreadable,
        absent_pages: disk.absent,
        excluded_pages: disk.excluded,
        excluded: disk.exclusions.iter().map(|e| ExcludedText { rule: e.rule.clone(), bytes: e.bytes }).collect(),
    };
    PointText {
        point: point.number.0,
        time: rfc3339(point.row.time),
        started: rfc3339(point.row.started),
        committed: rfc3339(point.row.committed),
        consistent: point.row.consistency == Consistency::Still,
        note: point.row.note.clone(),
        read_bytes: point.row.read,
        changed_pages: point.row.changed,
        stored_bytes: point.row.stored,
        frozen_ms: (point.row.held > 0).then(|| ms(point.row.held)),
        kept,
        disks: point.row.disks.iter().map(disk).collect(),
    }
}

/// Neighbours as they are told, in one order or the other.
fn texts(
    vault: &Vault,
    machine: MachineId,
    (points, newest_first): (&[Point], bool),
    schedule: Option<&Schedule>,
) -> Result<Vec<PointText>, VaultError> {
    let Some(schedule) = schedule else { return Ok(points.iter().map(|point| text(point, None)).collect()) };
    let mut known: Vec<_> = points.iter().map(|point| (point.number, point.row.time)).collect();
    if newest_first {
        known.reverse();
    }
    let mut kept = kept(vault, machine, &known, schedule)?;
    if newest_first {
        kept.reverse();
    }
    Ok(points.iter().zip(kept).map(|(point, kept)| text(point, Some(kept))).collect())
}

pub(super) fn moment(text: Option<&str>) -> Result<Option<Timestamp>, Failure> {
    text.map(|text| parse(text).ok_or_else(|| Failure::wrong(format!("{text:?} is not a time as in RFC 3339"))))
        .transpose()
}

/// Lists points, newest first if nothing else is said.
#[utoipa::path(get, path = "/api/v1/machines/{machine}/points", params(("machine" = String, Path), Which), responses(
    (status = 200, body = Page), (status = "4XX", body = Answer)))]
pub(crate) async fn list(
    State(server): State<Arc<Server>>,
    Path(name): Path<String>,
    Query(which): Query<Which>,
) -> Result<Json<Page>, Failure> {
    let (from, to) = (moment(which.from.as_deref())?, moment(which.to.as_deref())?);
    let behind = which.cursor.as_deref().map(|cursor| cursor.parse().map_err(|_| Failure::wrong("no such cursor")));
    let (behind, limit) = (behind.transpose()?.map(PointNo), which.limit.unwrap_or(USUAL).clamp(1, MOST));
    let newest_first = which.order.unwrap_or_default() == Order::Newest;
    // One more, to know whether there are more.
    let choice = Choice { from, to, behind, newest_first, most: limit + 1 };
    let schedule = Policy::of(&server, &name).await?.map(|policy| policy.schedule());
    let found = blocking(&server, move |server| {
        let machine = server.vault.machine(&name)?.id;
        let mut points = server.vault.some_points(machine, &choice)?;
        let more = points.len() > limit;
        points.truncate(limit);
        let next = points.last().filter(|_| more).map(|point| point.number.0.to_string());
        Ok(Page { points: texts(&server.vault, machine, (&points, newest_first), schedule.as_ref())?, next })
    });
    Ok(Json(found.await?))
}

/// A picture of a machine's timeline.
#[utoipa::path(get, path = "/api/v1/machines/{machine}/density", params(("machine" = String, Path), Times), responses(
    (status = 200, body = Density), (status = "4XX", body = Answer)))]
pub(crate) async fn density(
    State(server): State<Arc<Server>>,
    Path(name): Path<String>,
    Query(times): Query<Times>,
) -> Result<Json<Density>, Failure> {
    let (from, to) = (moment(times.from.as_deref())?, moment(times.to.as_deref())?.unwrap_or(server.now()));
    let columns = times.columns.unwrap_or(256).clamp(1, WIDEST.into()) as usize;
    let found = blocking(&server, move |server| {
        let machine = server.vault.machine(&name)?.id;
        let from = match from {
            Some(from) if from > to => return Err(Failure::wrong("the time ends before it begins")),
            Some(from) => from,
            None => server.vault.totals(machine)?.map_or(to, |totals| totals.earliest.min(to)),
        };
        Ok((from, server.vault.columns(machine, (from, to), columns)?))
    });
    let (from, sums) = found.await?;
    let of = |what: fn(&Sums) -> u64| sums.iter().map(what).collect();
    Ok(Json(Density {
        from: rfc3339(from),
        to: rfc3339(to),
        points: of(|sums| sums.points),
        changed_pages: of(|sums| sums.changed),
        changed_bytes: of(|sums| sums.changed.saturating_mul(PAGE_SIZE as u64)),
        read_bytes: of(|sums| sums.read),
        stored_bytes: of(|sums| sums.stored),
        frozen_ms: sums.iter().map(|sums| ms(sums.held)).collect(),
    }))
}

/// One point.
#[utoipa::path(get, path = "/api/v1/machines/{machine}/points/{point}",
    params(("machine" = String, Path), ("point" = u64, Path)),
    responses((status = 200, body = PointText), (status = "4XX", body = Answer)))]
pub(crate) async fn one(
    State(server): State<Arc<Server>>,
    Path((name, number)): Path<(String, u64)>,
) -> Result<Json<PointText>, Failure> {
    let schedule = Policy::of(&server, &name).await?.map(|policy| policy.schedule());
    let found = blocking(&server, move |server| {
        let machine = server.vault.machine(&name)?;
        let point = [server.vault.point(&machine, PointNo(number))?];
        Ok(texts(&server.vault, machine.id, (&point, false), schedule.as_ref())?.remove(0))
    });
    Ok(Json(found.await?))
}
