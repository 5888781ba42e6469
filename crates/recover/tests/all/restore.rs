//! Restores onto files, loop devices and disks that fail.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use backstay_env::real::disk::{self, FileVolume};
use backstay_env::sim::volume::SimVolume;
use backstay_env::volume::{Volume, VolumeMut};
use backstay_recover::restore::{Mode, Options, Progress, Report, RestoreError, Stage, copy};

use crate::world::{Faulty, Sparse, ok, run};

/// Not a multiple of a page, nor of a sector.
const LEN: usize = (9 << 20) + 777;

fn restore(source: &dyn Volume, target: &dyn VolumeMut, mode: Mode) -> Report {
    let options = Options { verify: true, threads: NonZeroUsize::new(3).expect("threads"), ..Options::new(mode) };
    copy(source, target, options, &|_| {}, &AtomicBool::new(false)).expect("restores")
}

fn content(volume: &dyn Volume) -> Vec<u8> {
    let mut bytes = vec![0; volume.size() as usize];
    volume.read_at(0, &mut bytes).expect("reads");
    bytes
}

fn pages_with(bytes: &[u8], wanted: impl Fn(usize, &[u8]) -> bool) -> u64 {
    let pages = bytes.chunks(4096).enumerate();
    pages.filter(|(n, page)| wanted(*n, page)).map(|(_, page)| page.len() as u64).sum()
}

#[test]
fn onto_a_new_file_only_what_is_not_zero_is_written() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let (source, path) = (Sparse::noise(LEN, 1), dir.path().join("out.img"));
    let target = FileVolume::create(&path, LEN as u64).expect("creates");
    let report = restore(&source, &target, Mode::OntoZeros);
    assert!(report.is_complete());
    let golden = dir.path().join("golden.img");
    fs::write(&golden, &source.bytes).expect("writes");
    ok("cmp", &[&path, &golden]);
    let data = pages_with(&source.bytes, |_, page| page.iter().any(|&b| b != 0));
    assert_eq!(report.counts.written, data);
    assert_eq!((report.counts.zeroed, report.counts.compared), (0, 0));
    let blocks = std::os::unix::fs::MetadataExt::blocks(&fs::metadata(&path).expect("stat")) * 512;
    assert!(blocks < LEN as u64 * 3 / 4, "{blocks} bytes taken");
}

#[test]
fn onto_anything_all_is_written_or_zeroed() {
    let source = Sparse::noise(LEN, 2);
    let target = SimVolume::new(LEN as u64 + 5000);
    target.scribble(3, 1000);
    let before = content(&target);
    let report = restore(&source, &target, Mode::Whole);
    assert!(report.is_complete());
    let after = content(&target);
    assert!(after[..LEN] == source.bytes[..]);
    assert!(after[LEN..] == before[LEN..], "what follows is left alone");
    assert_eq!(report.counts.written + report.counts.zeroed, LEN as u64);
}

#[test]
fn a_delta_writes_only_the_pages_that_differ() {
    let source = Sparse::noise(LEN, 4);
    let target = SimVolume::new(LEN as u64);
    target.write_at(0, &source.bytes).expect("writes");
    let same = restore(&source, &target, Mode::Delta);
    assert!(same.is_complete());
    assert_eq!((same.counts.written, same.counts.zeroed), (0, 0));
    assert!(same.counts.compared > 0);

    target.scribble(5, 40);
    target.write_at(LEN as u64 - 1, &[0xee]).expect("writes");
    let before = content(&target);
    let report = restore(&source, &target, Mode::Delta);
    assert!(report.is_complete());
    assert!(content(&target) == source.bytes);
    let differing = pages_with(&source.bytes, |n, page| *page != before[n * 4096..n * 4096 + page.len()]);
    assert_eq!(report.counts.written + report.counts.zeroed, differing);
}

#[test]
fn a_delta_frees_what_the_source_has_as_a_hole() {
    let source = SimVolume::new(64 << 20);
    source.write_at(10 << 20, &[7; 4096]).expect("writes");
    let target = SimVolume::new(64 << 20);
    target.write_at(50 << 20, &[9; 10_000]).expect("writes");
    let report = restore(&source, &target, Mode::Delta);
    assert!(report.is_complete());
    assert_eq!((report.counts.written, report.counts.zeroed), (4096, 12_288));
    assert!(report.counts.compared < 1 << 20, "holes of the target need no look: {:?}", report.counts);
    assert!(content(&target) == content(&source));
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_restored() {
    for mode in [Mode::OntoZeros, Mode::Whole, Mode::Delta] {
        let (source, target) = (SimVolume::new(LEN as u64), SimVolume::new(LEN as u64));
        source.scribble(6, 1500);
        let golden = content(&source);
        source.make_unreadable(5_000_000..5_000_001);
        source.make_unreadable(6_000_000..6_100_000);
        let report = restore(&source, &target, mode);
        assert!(!report.is_complete() && report.differing.is_empty());
        let ranges: Vec<_> = report.unreadable.iter().map(|u| u.range.clone()).collect();
        assert_eq!(ranges, [4_997_120..5_001_216, 5_996_544..6_103_040], "{mode:?}");
        let got = content(&target);
        let mut at = 0;
        for bad in [4_997_120..5_001_216, 5_996_544..6_103_040, LEN..LEN] {
            assert!(got[at..bad.start] == golden[at..bad.start], "{mode:?} before {bad:?}");
            assert!(got[bad.clone()].iter().all(|&b| b == 0), "{mode:?}: left alone");
            at = bad.end;
        }
        source.mend();
        assert!(restore(&source, &target, Mode::Delta).is_complete());
        assert!(content(&target) == golden);
    }
}

#[test]
fn the_reason_is_the_sources() {
    let source = Faulty { inner: Sparse::noise(1 << 20, 7), bad: 0..1 << 20 };
    let report = restore(&source, &SimVolume::new(1 << 20), Mode::Whole);
    let bad = source.inner.data_from(0);
    assert!(report.unreadable.iter().any(|u| u.range.contains(&bad)), "{:?}", report.unreadable);
    assert!(report.unreadable.iter().all(|u| u.why == "the medium is scratched"));
}

#[test]
fn a_target_that_is_too_small_is_refused_before_anything_is_written() {
    let target = SimVolume::new(LEN as u64 - 1);
    target.scribble(8, 100);
    let before = content(&target);
    let error = copy(&Sparse::noise(LEN, 8), &target, Options::new(Mode::Whole), &|_| {}, &AtomicBool::new(false));
    let said = error.expect_err("refused").to_string();
    assert_eq!(said, format!("the target has {} bytes, {LEN} are needed", LEN - 1));
    assert!(content(&target) == before);
}

#[test]
fn a_target_that_cannot_be_written_ends_it_and_a_delta_goes_on_later() {
    let (source, target) = (Sparse::noise(LEN, 9), SimVolume::new(LEN as u64));
    let bad = source.data_from(3 << 20);
    target.make_unwritable(bad..bad + 1);
    let error = copy(&source, &target, Options::new(Mode::OntoZeros), &|_| {}, &AtomicBool::new(false));
    match error.expect_err("fails") {
        RestoreError::Target { doing: "written", offset, len, .. } => {
            assert!((offset..offset + len).contains(&bad));
        }
        other => panic!("{other:?}"),
    }
    target.mend();
    assert!(restore(&source, &target, Mode::Delta).is_complete());
    assert!(content(&target) == source.bytes);
}

#[test]
fn verifying_finds_what_does_not_read_back() {
    /// Keeps one byte as it is, whatever is written.
    struct Stuck(SimVolume, u64);
    impl Volume for Stuck {
        fn size(&self) -> u64 {
            self.0.size()
        }
        fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<()> {
            self.0.read_at(offset, buf)?;
            if (offset..offset + buf.len() as u64).contains(&self.1) {
                buf[(self.1 - offset) as usize] ^= 0x40;
            }
            Ok(())
        }
    }
    impl VolumeMut for Stuck {
        fn write_at(&self, offset: u64, buf: &[u8]) -> std::io::Result<()> {
            self.0.write_at(offset, buf)
        }
        fn zero(&self, offset: u64, len: u64) -> std::io::Result<()> {
            self.0.zero(offset, len)
        }
        fn flush(&self) -> std::io::Result<()> {
            self.0.flush()
        }
    }
    let source = SimVolume::new(LEN as u64);
    source.write_at(0, &vec![1; 1 << 20]).expect("writes");
    for at in [5000, 5 << 20] {
        let report = restore(&source, &Stuck(SimVolume::new(LEN as u64), at), Mode::Whole);
        let page = at / 4096 * 4096;
        assert_eq!((report.differing.len(), &report.differing[0]), (1, &(page..page + 4096)));
        assert!(!report.is_complete());
    }
    let good = restore(&source, &SimVolume::new(LEN as u64), Mode::Whole);
    assert!(good.is_complete() && good.counts.verified >= 1 << 20);
}

#[test]
fn progress_reaches_the_end_and_cancelling_stops() {
    let source = Sparse::noise(40 << 20, 10);
    let stages = Mutex::new(Vec::new());
    let target = SimVolume::new(40 << 20);
    let note = |p: Progress| stages.lock().expect("stages").push(p);
    let options = Options { verify: true, ..Options::new(Mode::OntoZeros) };
    let report = copy(&source, &target, options, &note, &AtomicBool::new(false)).expect("restores");
    assert!(report.is_complete());
    for stage in [Stage::Copying, Stage::Verifying] {
        let most = stages.lock().expect("stages").iter().filter(|p| p.stage == stage).map(|p| p.done).max();
        assert_eq!(most, Some(40 << 20), "{stage:?}");
    }

    let (cancel, seen) = (AtomicBool::new(false), AtomicU64::new(0));
    let stop = |_: Progress| {
        seen.fetch_add(1, Ordering::SeqCst);
        cancel.store(true, Ordering::SeqCst);
    };
    let target = SimVolume::new(40 << 20);
    let one = Options { threads: NonZeroUsize::MIN, verify: true, ..Options::new(Mode::OntoZeros) };
    let report = copy(&source, &target, one, &stop, &cancel).expect("ends");
    assert!(report.cancelled && !report.is_complete());
    assert_eq!(seen.into_inner(), 1);
    assert!(restore(&source, &target, Mode::Delta).is_complete());
    assert!(content(&target) == source.bytes);
}

/// A loop device over a file; detached at the end, whatever happens.
struct LoopDevice(PathBuf);

impl LoopDevice {
    fn new(file: &Path, sector: &str) -> LoopDevice {
        let args = ["--find", "--show", "--sector-size", sector, file.to_str().expect("path")];
        LoopDevice(ok("losetup", &args).trim().into())
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        run("losetup", &["--detach".as_ref(), self.0.as_os_str()]);
    }
}

#[test]
fn onto_a_block_device() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let file = dir.path().join("disk");
    let source = Sparse::noise(8 << 20, 11);
    let golden = dir.path().join("golden");
    fs::write(&golden, &source.bytes).expect("writes");
    for sector in ["512", "4096"] {
        fs::write(&file, Sparse::noise(8 << 20, 12).bytes).expect("writes");
        let device = LoopDevice::new(&file, sector);
        let target = disk::open_for_writing(&device.0).expect("opens");
        assert!(restore(&source, &target, Mode::Whole).is_complete());
        ok("cmp", &[&file, &golden]);
        target.write_at(1 << 20, &[0x55; 4096]).expect("writes");
        let delta = restore(&source, &target, Mode::Delta);
        assert!(delta.is_complete());
        assert_eq!(delta.counts.written + delta.counts.zeroed, 4096);
        ok("cmp", &[&file, &golden]);
    }
}

#[test]
fn a_file_system_survives_a_delta() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = |name: &str| dir.path().join(name).into_os_string().into_string().expect("path");
    ok("mkfs.ext4", &["-q", &path("golden"), "24M"]);
    fs::copy(path("golden"), path("target")).expect("copies");
    ok("debugfs", &["-w", "-R", "mkdir later", &path("target")]);
    assert!(!run("cmp", &["-s", &path("golden"), &path("target")]).status.success());
    let source = disk::open(path("golden")).expect("opens");
    let target = disk::open_for_writing(path("target")).expect("opens");
    let report = restore(&source, &target, Mode::Delta);
    assert!(report.is_complete());
    assert!(report.counts.written + report.counts.zeroed < 1 << 20, "{:?}", report.counts);
    ok("cmp", &[path("golden"), path("target")]);
    ok("e2fsck", &["-fn", &path("target")]);
}
