//! What the tests are made of: programs that must succeed, and volumes with known content and known faults.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use backstay_env::volume::{Content, Span, Volume, check_range};
use backstay_recover::Log;

/// Runs a program to its end.
pub(crate) fn run<S: AsRef<OsStr>>(program: &str, args: &[S]) -> Output {
    let output = Command::new(program).args(args).env("LC_ALL", "C").output();
    output.unwrap_or_else(|e| panic!("{program} is needed (see tests/all/main.rs): {e}"))
}

/// Runs a program that must succeed; returns what it said.
#[track_caller]
pub(crate) fn ok<S: AsRef<OsStr>>(program: &str, args: &[S]) -> String {
    let output = run(program, args);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program}: {}\n{out}\n{err}", output.status);
    out.into_owned()
}

/// Unmounts; a child that another test is just starting may hold for a moment what was open there.
pub(crate) fn unmount(point: &Path) {
    let end = Instant::now() + Duration::from_secs(60);
    while !run("umount", &[point]).status.success() {
        assert!(Instant::now() < end || std::thread::panicking(), "{} stays", point.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Lines of a log, for looking at.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    pub(crate) fn log(&self) -> Log {
        let lines = self.0.clone();
        Log::to(move |line| lines.lock().expect("lines").push(line.into()))
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().expect("lines").clone()
    }
}

/// Bytes whose zero pages are holes.
pub(crate) struct Sparse {
    pub(crate) bytes: Vec<u8>,
    pub(crate) sector: u32,
}

const PAGE: usize = 4096;

impl Sparse {
    /// A third of the pages are noise that follows from the seed; `len` need not be a multiple of anything.
    pub(crate) fn noise(len: usize, seed: u64) -> Sparse {
        let mut bytes = vec![0; len];
        let mut state = seed | 1;
        for page in bytes.chunks_mut(PAGE) {
            state = next(state);
            if state >> 33 & 0b111 < 3 {
                for byte in page.iter_mut() {
                    state = next(state);
                    *byte = (state >> 40) as u8;
                }
            }
        }
        Sparse { bytes, sector: 512 }
    }
}

impl Sparse {
    /// Where the first page with data is, from an offset on.
    pub(crate) fn data_from(&self, offset: usize) -> u64 {
        let from = offset.next_multiple_of(PAGE);
        let mut pages = self.bytes[from..].chunks(PAGE);
        let page = pages.position(|page| page.iter().any(|&b| b != 0));
        (from + page.expect("data") * PAGE) as u64
    }
}

fn next(state: u64) -> u64 {
    state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
}

impl Volume for Sparse {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn sector_size(&self) -> u32 {
        self.sector
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.bytes.read_at(offset, buf)
    }

    fn spans(&self, offset: u64, len: u64) -> io::Result<Vec<Span>> {
        check_range(self.size(), offset, len)?;
        let (mut at, end, mut spans) = (offset, offset + len, Vec::new());
        while at < end {
            let stop = (at / PAGE as u64 + 1) * PAGE as u64;
            let page = &self.bytes[(stop as usize - PAGE)..self.bytes.len().min(stop as usize)];
            let content = if page.iter().all(|&b| b == 0) { Content::Hole } else { Content::Data };
            spans.push(Span { offset: at, len: stop.min(end) - at, content });
            at = stop;
        }
        Ok(spans)
    }
}

/// A volume that cannot read some of its bytes.
pub(crate) struct Faulty<V> {
    pub(crate) inner: V,
    pub(crate) bad: std::ops::Range<u64>,
}

impl<V: Volume> Volume for Faulty<V> {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        if offset < self.bad.end && self.bad.start < offset + buf.len() as u64 {
            return Err(io::Error::other("the medium is scratched"));
        }
        self.inner.read_at(offset, buf)
    }

    fn spans(&self, offset: u64, len: u64) -> io::Result<Vec<Span>> {
        self.inner.spans(offset, len)
    }
}
