//! A disk of a point, read through a server: what is a hole is known beforehand, and not asked for.
//!
//! Never knows: what is done with it.

use std::io::{self, Read as _};
use std::ops::Range;

use backstay_env::volume::{Content, Span, Volume, check_range};
use reqwest::Method;
use reqwest::header::RANGE;

use super::{Need, Remote, number};
use crate::failure::Failure;

/// How often the rest of an answer that ended too early is asked for.
const TRIES: usize = 4;

/// A disk at a server.
pub(crate) struct RemoteDisk {
    remote: Remote,
    /// The path of it there.
    path: Vec<String>,
    size: u64,
    sector: u32,
    /// Where there may be anything, in order.
    data: Vec<Range<u64>>,
}

impl RemoteDisk {
    /// Asks what there is.
    pub(crate) fn open(remote: &Remote, machine: &str, point: u64, disk: &str) -> Result<RemoteDisk, Failure> {
        let path = ["machines", machine, "points", &point.to_string(), "disk", disk].map(str::to_owned).to_vec();
        let mut opened = RemoteDisk { remote: remote.clone(), path, size: 0, sector: 512, data: Vec::new() };
        let mut from = 0;
        loop {
            let mut path: Vec<&str> = opened.path.iter().map(String::as_str).collect();
            path.push("map");
            let map = remote.get(Need::Read, &path, &[("from", from.to_string())])?;
            let (size, until) = (number(&map, "bytes")?, number(&map, "until")?);
            opened.sector = if map["sector_bytes"] == 4096 { 4096 } else { 512 };
            opened.size = size;
            for range in map["data"].as_array().into_iter().flatten() {
                let (offset, bytes) = (number(range, "offset")?, number(range, "bytes")?);
                opened.data.push(offset..offset.saturating_add(bytes).min(size));
            }
            if until >= size {
                return Ok(opened);
            }
            if until <= from {
                return Err(Failure::new(format!("{} does not say what is on the disk", remote.url())));
            }
            from = until;
        }
    }

    /// Reads as much of a range as the server sends; why it ended early.
    fn part(&self, range: &Range<u64>, buf: &mut [u8], got: &mut usize) -> Result<(), io::Error> {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        let request = self.remote.request(Need::Read, Method::GET, &path, &[]);
        let asked = format!("bytes={}-{}", range.start, range.end - 1);
        // Damage keeps its status: it is no matter of the way here.
        let failed = |failure: Failure| {
            let kind = if failure.is_damage() { io::ErrorKind::InvalidData } else { io::ErrorKind::Other };
            io::Error::new(kind, failure.to_string())
        };
        let mut answer = self.remote.send(request.header(RANGE, asked)).map_err(failed)?;
        if answer.status() != reqwest::StatusCode::PARTIAL_CONTENT && *range != (0..self.size) {
            return Err(io::Error::other("the server did not send the range that was asked for"));
        }
        while *got < buf.len() {
            match answer.read(&mut buf[*got..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => *got += read,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Volume for RemoteDisk {
    fn size(&self) -> u64 {
        self.size
    }

    fn sector_size(&self) -> u32 {
        self.sector
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        check_range(self.size, offset, buf.len() as u64)?;
        let end = offset + buf.len() as u64;
        let (mut got, mut tries) = (0, 0);
        while got < buf.len() {
            let before = got;
            let outcome = self.part(&(offset + got as u64..end), buf, &mut got);
            match outcome {
                Ok(()) => break,
                // What ended early goes on where it ended; if that is damage, the server says so then.
                Err(error) if error.kind() == io::ErrorKind::InvalidData || tries >= TRIES => return Err(error),
                Err(_) if got > before => tries = 0,
                Err(_) => tries += 1,
            }
        }
        Ok(())
    }

    fn spans(&self, offset: u64, len: u64) -> io::Result<Vec<Span>> {
        check_range(self.size, offset, len)?;
        let (mut at, end) = (offset, offset + len);
        let mut spans = Vec::new();
        let mut push = |from: u64, to: u64, content| {
            if from < to {
                spans.push(Span { offset: from, len: to - from, content });
            }
        };
        let first = self.data.partition_point(|range| range.end <= offset);
        for range in self.data[first..].iter().take_while(|range| range.start < end) {
            push(at, range.start.max(at), Content::Hole);
            push(range.start.max(at), range.end.min(end), Content::Data);
            at = range.end.min(end);
        }
        push(at, end, Content::Hole);
        Ok(spans)
    }
}
