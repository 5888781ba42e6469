//! A disk of a point, byte by byte: whole, or the range that is asked for (RFC 9110); and where there is anything on it.
//!
//! Never knows: what is on it.

use std::ops::Range;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use backstay_env::volume::{Content, Volume};
use backstay_vault::disk::PointDisk;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::{Answer, Failure};
use super::look::{disk, looking};
use super::pour::{self, Stopped, Tap};
use crate::{Server, words};

/// Bytes that are read at once.
const PIECE: u64 = 1 << 20;
/// What holes read as.
static ZEROS: [u8; PIECE as usize] = [0; PIECE as usize];
/// Bytes of a disk whose map is looked at together.
const WINDOW: u64 = 4 << 30;
/// Ranges in one answer, at most.
const MOST: usize = 10_000;

/// The machine, the point, the disk.
type Which = (String, u64, String);

/// From where on.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct From {
    /// From this byte on.
    from: Option<u64>,
}

/// Where there is anything on a disk.
#[derive(Serialize, ToSchema)]
pub(crate) struct MapText {
    /// Bytes of the disk.
    bytes: u64,
    sector_bytes: u32,
    /// The range that this answer is about ends here; if that is not the disk's end, ask for what follows.
    until: u64,
    /// What may hold anything, in order; everything else reads as zeros.
    data: Vec<RangeText>,
}

/// A range of bytes.
#[derive(Serialize, ToSchema)]
pub(crate) struct RangeText {
    offset: u64,
    bytes: u64,
}

/// Where there is anything on a disk of a point: the rest reads as zeros, and need not be asked for.
#[utoipa::path(get, path = "/api/v1/machines/{machine}/points/{point}/disk/{disk}/map",
    params(("machine" = String, Path), ("point" = u64, Path), ("disk" = String, Path), From),
    responses((status = 200, body = MapText), (status = "4XX", body = Answer)))]
pub(crate) async fn map(
    State(server): State<Arc<Server>>,
    Path((machine, number, name)): Path<Which>,
    Query(From { from }): Query<From>,
) -> Result<Json<MapText>, Failure> {
    let (whose, which) = (machine.clone(), format!("disk {name}"));
    let found = looking(&server, (&whose, number, &which), move |server| {
        let disk = disk(server, (&machine, number), Some(&name))?;
        let from = from.unwrap_or(0);
        if from > disk.size() {
            return Err(Failure::wrong("the disk ends before that"));
        }
        let (mut at, mut data) = (from, Vec::new());
        while at < disk.size() && data.len() < MOST {
            for span in disk.spans(at, WINDOW.min(disk.size() - at)).map_err(|e| unreadable(&e))? {
                at = span.offset + span.len;
                if span.content == Content::Data {
                    put(&mut data, span.offset, span.len);
                }
            }
        }
        // The last answer of spans may have had more than there is room for.
        let until = data.get(MOST).map_or(at, |range| range.offset);
        data.truncate(MOST);
        Ok(MapText { bytes: disk.size(), sector_bytes: disk.sector_size(), until, data })
    });
    Ok(Json(found.await?))
}

/// Downloads a disk of a point, or with `Range` a part of it. If some of it turns out to be damaged, what comes before that is sent, and
/// the connection ends.
#[utoipa::path(get, path = "/api/v1/machines/{machine}/points/{point}/disk/{disk}",
    params(("machine" = String, Path), ("point" = u64, Path), ("disk" = String, Path),
        ("Range" = Option<String>, Header, description = "one range of bytes")),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, body = Vec<u8>, content_type = "application/octet-stream"), (status = "4XX", body = Answer)))]
pub(crate) async fn read(
    State(server): State<Arc<Server>>,
    Path((machine, number, name)): Path<Which>,
    asked: HeaderMap,
) -> Result<Response, Failure> {
    let seat = server.download_seat()?;
    let mut headers = pour::attachment(&format!("{machine}-{number}-{name}.img"));
    let (whose, which) = (machine.clone(), format!("disk {name}"));
    let opened = looking(&server, (&whose, number, &which), move |server| {
        let (of, disk) = (server.vault.machine(&machine)?.id, disk(server, (&machine, number), Some(&name))?);
        // A point never changes; another machine of the name, or another store, would be another.
        let tag = format!("\"{}-{of}-{number}-{}\"", server.vault.store_id(), disk.info().disk.0);
        let range = wanted(&asked, &tag, disk.size());
        let first = range.clone().map(|range| read_some(&disk, &range)).transpose();
        Ok((disk, tag, range, first.map_err(|e| unreadable(&e))?))
    });
    let (disk, tag, range, first) = opened.await?;
    let mut put = |name, value: String| {
        headers.insert(name, HeaderValue::from_str(&value).expect("it is made of plain characters"));
    };
    let size = disk.size();
    let (Some(range), Some(first)) = (range, first) else {
        put(header::CONTENT_RANGE, format!("bytes */{size}"));
        return Ok((headers, Failure::no_such_range()).into_response());
    };
    let whole = range == (0..size);
    if !whole {
        put(header::CONTENT_RANGE, format!("bytes {}-{}/{size}", range.start, range.end - 1));
    }
    put(header::CONTENT_LENGTH, (range.end - range.start).to_string());
    put(header::CONTENT_TYPE, "application/octet-stream".to_owned());
    put(header::ACCEPT_RANGES, "bytes".to_owned());
    put(header::ETAG, tag);
    let body = pour::body(seat, move |tap| {
        let sent = send(&disk, range, first, tap);
        if let Err(Stopped::Damaged(why)) = &sent {
            tap.wait_for(server.found_damaged(&whose, number, &format!("{which}: {why}")));
        }
        sent
    });
    Ok((if whole { StatusCode::OK } else { StatusCode::PARTIAL_CONTENT }, headers, body).into_response())
}

/// Adds a range; one that goes on where the last one ends makes that longer.
fn put(data: &mut Vec<RangeText>, offset: u64, bytes: u64) {
    match data.last_mut() {
        Some(last) if last.offset + last.bytes == offset => last.bytes += bytes,
        _ => data.push(RangeText { offset, bytes }),
    }
}

fn unreadable(error: &std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::InvalidData => Failure::damaged(words(error)),
        _ => Failure::broken(words(error)),
    }
}

/// Some bytes from the beginning of a range; all zeros are cheap.
fn read_some(disk: &PointDisk, range: &Range<u64>) -> std::io::Result<Bytes> {
    if range.is_empty() {
        return Ok(Bytes::new());
    }
    // Pieces end where a piece of the disk does, so that no chunk is read for two of them.
    let end = (range.start + 1).next_multiple_of(PIECE).min(range.end);
    let first = disk.spans(range.start, end - range.start)?.into_iter().next();
    if let Some(hole) = first.filter(|span| span.content == Content::Hole && span.offset + span.len >= end) {
        return Ok(Bytes::from_static(&ZEROS).slice(..(end - hole.offset) as usize));
    }
    let mut bytes = vec![0; (end - range.start) as usize];
    disk.read_at(range.start, &mut bytes)?;
    Ok(bytes.into())
}

fn send(disk: &PointDisk, range: Range<u64>, first: Bytes, tap: &mut Tap) -> Result<(), Stopped> {
    let mut at = range.start + first.len() as u64;
    tap.send(first)?;
    while at < range.end {
        let some = read_some(disk, &(at..range.end)).map_err(|error| Stopped::Damaged(words(&error)))?;
        at += some.len() as u64;
        tap.send(some)?;
    }
    Ok(())
}

/// The range that is asked for: all of it, if the question is none that is understood or is about something else. `None`: there is
/// nothing in it.
fn wanted(asked: &HeaderMap, tag: &str, size: u64) -> Option<Range<u64>> {
    let text = |name| asked.get(name).and_then(|value| value.to_str().ok());
    let is_same = text(header::IF_RANGE).is_none_or(|condition| condition == tag);
    let range = text(header::RANGE).filter(|_| is_same).and_then(|range| range.strip_prefix("bytes="));
    let Some((first, last)) = range.and_then(|range| range.trim().split_once('-')) else { return Some(0..size) };
    let number = |text: &str| {
        (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| {
            // What is larger than any disk is as good as the largest number.
            text.parse::<u64>().unwrap_or(u64::MAX)
        })
    };
    let range = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Some(first), None) if last.is_empty() => first..size,
        (None, Some(length)) if first.is_empty() => size.saturating_sub(length)..size,
        _ => return Some(0..size),
    };
    (range.start < range.end).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_as_programs_ask_for_them() {
        let ask = |range: &str, condition: Option<&str>| {
            let mut asked = HeaderMap::new();
            asked.insert(header::RANGE, HeaderValue::from_str(range).unwrap());
            condition.map(|tag| asked.insert(header::IF_RANGE, HeaderValue::from_str(tag).unwrap()));
            wanted(&asked, "\"x\"", 1000)
        };
        for (range, expected) in [
            ("bytes=0-0", Some(0..1)),
            ("bytes=10-", Some(10..1000)),
            ("bytes=999-99999999999999999999999", Some(999..1000)),
            ("bytes=-1", Some(999..1000)),
            ("bytes=-5000", Some(0..1000)),
            ("bytes=1000-", None),
            ("bytes=-0", None),
            // What is not understood is as if it had not been asked.
            ("bytes=5-4", Some(0..1000)),
            ("bytes=0-1,5-6", Some(0..1000)),
            ("pages=0-1", Some(0..1000)),
            ("bytes=+1-2", Some(0..1000)),
            ("bytes=", Some(0..1000)),
        ] {
            assert_eq!(ask(range, None), expected, "{range}");
        }
        assert_eq!(ask("bytes=1-2", Some("\"x\"")), Some(1..3));
        assert_eq!(ask("bytes=1-2", Some("\"y\"")), Some(0..1000));
        assert_eq!(wanted(&HeaderMap::new(), "", 0), Some(0..0));
    }
}
