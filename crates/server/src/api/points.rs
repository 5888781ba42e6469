//! Points of a machine: lists, a picture of the whole timeline, and one in detail.
//!
//! Never knows: what is in a point.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use backstay_format::rows::Consistency;
use backstay_format::units::{PointNo, Timestamp};
use backstay_vault::rows::Point;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::blocking;
use super::error::{Answer, Failure};
use crate::Server;
use crate::moment::{parse, rfc3339};

/// Points in one answer, if nobody says otherwise, and at most.
const USUAL: usize = 100;
const MOST: usize = 1000;
/// Columns of a picture, at most.
const WIDEST: u32 = 4096;

/// Which points.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// Not before this moment.
    from: Option<String>,
    /// Not after this moment.
    to: Option<String>,
    /// How many, at most 1000.
    limit: Option<usize>,
    /// From where on: `next` of the answer before.
    cursor: Option<String>,
}

/// Some points, newest first.
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
    /// When it was committed.
    committed: String,
    /// What is in it hangs together; else it changed while it was read.
    consistent: bool,
    note: String,
    read_bytes: u64,
    changed_pages: u64,
    stored_bytes: u64,
    disks: Vec<DiskText>,
}

/// A disk at a point.
#[derive(Serialize, ToSchema)]
pub(crate) struct DiskText {
    disk: String,
    bytes: u64,
    unreadable_pages: u64,
    excluded_pages: u64,
}

/// A picture of a timeline: how much there is in each of equal times.
#[derive(Serialize, ToSchema)]
pub(crate) struct Density {
    from: String,
    to: String,
    /// Points of each.
    points: Vec<u32>,
    /// Pages found changed by the points of each.
    changed_pages: Vec<u64>,
    /// Bytes added to the store by the points of each.
    stored_bytes: Vec<u64>,
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
    columns: Option<u32>,
}

fn text(point: &Point) -> PointText {
    let disk = |disk: &backstay_format::rows::DiskAt| DiskText {
        disk: disk.name.clone(),
        bytes: disk.size,
        unreadable_pages: disk.unreadable,
        excluded_pages: disk.excluded,
    };
    PointText {
        point: point.number.0,
        time: rfc3339(point.row.time),
        committed: rfc3339(point.row.committed),
        consistent: point.row.consistency == Consistency::Still,
        note: point.row.note.clone(),
        read_bytes: point.row.read,
        changed_pages: point.row.changed,
        stored_bytes: point.row.stored,
        disks: point.row.disks.iter().map(disk).collect(),
    }
}

fn moment(text: Option<&str>) -> Result<Option<Timestamp>, Failure> {
    text.map(|text| parse(text).ok_or_else(|| Failure::wrong(format!("{text:?} is not a time as in RFC 3339"))))
        .transpose()
}

/// Lists points, newest first.
#[utoipa::path(get, path = "/api/v1/machines/{machine}/points", params(("machine" = String, Path), Which), responses(
    (status = 200, body = Page), (status = "4XX", body = Answer)))]
pub(crate) async fn list(
    State(server): State<Arc<Server>>,
    Path(name): Path<String>,
    Query(which): Query<Which>,
) -> Result<Json<Page>, Failure> {
    let (from, to) = (moment(which.from.as_deref())?, moment(which.to.as_deref())?);
    let below =
        which.cursor.as_deref().map(|cursor| cursor.parse::<u64>().map_err(|_| Failure::wrong("no such cursor")));
    let (below, limit) = (below.transpose()?.unwrap_or(u64::MAX), which.limit.unwrap_or(USUAL).clamp(1, MOST));
    let points = blocking(&server, move |server| Ok(server.vault.points(server.vault.machine(&name)?.id)?)).await?;
    let inside = |point: &&Point| {
        let time = point.row.time;
        point.number.0 < below && from.is_none_or(|from| time >= from) && to.is_none_or(|to| time <= to)
    };
    let mut found = points.iter().rev().filter(inside);
    let page: Vec<&Point> = found.by_ref().take(limit).collect();
    let more = found.next().is_some();
    let next = page.last().filter(|_| more).map(|point| point.number.0.to_string());
    Ok(Json(Page { points: page.into_iter().map(text).collect(), next }))
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
    let columns = times.columns.unwrap_or(256).clamp(1, WIDEST);
    let points = blocking(&server, move |server| Ok(server.vault.points(server.vault.machine(&name)?.id)?)).await?;
    let from = from.or(points.first().map(|point| point.row.time)).unwrap_or(to);
    if from > to {
        return Err(Failure::wrong("the time ends before it begins"));
    }
    Ok(Json(counted(&points, (from, to), columns)))
}

/// Counts points by columns. Pure.
fn counted(points: &[Point], (from, to): (Timestamp, Timestamp), columns: u32) -> Density {
    let none = vec![0; columns as usize];
    let (mut counts, mut changed, mut stored) = (vec![0; columns as usize], none.clone(), none);
    let length = (i128::from(to.0) - i128::from(from.0)).max(1);
    for point in points.iter().filter(|point| (from..=to).contains(&point.row.time)) {
        let at = (i128::from(point.row.time.0) - i128::from(from.0)) * i128::from(columns) / length;
        let at = (at as usize).min(columns as usize - 1);
        counts[at] += 1;
        changed[at] += point.row.changed;
        stored[at] += point.row.stored;
    }
    Density { from: rfc3339(from), to: rfc3339(to), points: counts, changed_pages: changed, stored_bytes: stored }
}

/// One point.
#[utoipa::path(get, path = "/api/v1/machines/{machine}/points/{point}",
    params(("machine" = String, Path), ("point" = u64, Path)),
    responses((status = 200, body = PointText), (status = "4XX", body = Answer)))]
pub(crate) async fn one(
    State(server): State<Arc<Server>>,
    Path((name, number)): Path<(String, u64)>,
) -> Result<Json<PointText>, Failure> {
    let found =
        blocking(&server, move |server| Ok(server.vault.point(&server.vault.machine(&name)?, PointNo(number))?));
    Ok(Json(text(&found.await?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use backstay_format::rows::PointRow;

    #[test]
    fn each_point_is_in_one_column() {
        let point = |number: u64, time: i64| Point {
            number: PointNo(number),
            row: PointRow {
                time: Timestamp(time),
                started: Timestamp(time),
                committed: Timestamp(time),
                consistency: Consistency::Still,
                note: String::new(),
                disks: Vec::new(),
                read: 0,
                changed: 10,
                stored: 7,
            },
        };
        let points: Vec<Point> = [0, 10, 49, 50, 99, 100, 101].iter().zip(1..).map(|(t, n)| point(n, *t)).collect();
        let picture = counted(&points, (Timestamp(0), Timestamp(100)), 2);
        assert_eq!((picture.points, picture.changed_pages), (vec![3, 3], vec![30, 30]));
        assert_eq!(picture.stored_bytes, [21, 21]);
        let all = counted(&points, (Timestamp(i64::MIN), Timestamp(i64::MAX)), 3);
        assert_eq!(all.points, [0, 7, 0]);
        assert_eq!(counted(&points, (Timestamp(0), Timestamp(0)), 1).points, [1]);
    }
}
