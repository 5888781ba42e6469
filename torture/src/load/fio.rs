//! fio writes blocks that each carry their own checksum; in a point every one must be whole, of whatever time.
//!
//! Never knows: which engine is how risky.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use super::{Load, Mounted, Witness};
use crate::chance::Chance;
use crate::fail::Result;
use crate::tools::{Running, must, program, text};

/// Bytes of the file.
const SIZE: &str = "48m";
/// How a file can be written.
const ENGINES: &[&[&str]] = &[
    &["--ioengine=libaio", "--direct=1", "--iodepth=16"],
    &["--ioengine=io_uring", "--direct=1", "--iodepth=16"],
    &["--ioengine=psync", "--direct=0", "--fdatasync=32"],
    &["--ioengine=psync", "--direct=0", "--sync=1"],
    &["--ioengine=psync", "--direct=1"],
];
/// Writes a second, so that points can be made at all.
const RATE: &str = "--rate_iops=1500";

struct Fio(Running);

struct Checksums {
    volume: usize,
}

/// The same block size, checksum and place for writing and judging.
fn fio(folder: &Path) -> Command {
    let mut command = program("fio");
    let file = format!("--filename={}", text(&file(folder)));
    command.args(["--name=verified", &file, "--bs=4k", "--verify=crc32c", "--thread", "--size", SIZE]);
    command.current_dir(std::env::temp_dir());
    command
}

fn file(folder: &Path) -> PathBuf {
    folder.join("verified")
}

/// Fills a file, then overwrites blocks of it for ever.
///
/// # Errors
/// fio fails.
pub(crate) fn start(
    volume: usize,
    mounted: &Path,
    logs: &Path,
    chance: &mut Chance,
) -> Result<(Box<dyn Load>, Box<dyn Witness>)> {
    must(fio(mounted).args(["--rw=write", "--do_verify=0", "--end_fsync=1"]))?;
    let mut command = fio(mounted);
    command.args(["--rw=randwrite", "--do_verify=0", "--time_based", "--runtime=3600", "--norandommap"]);
    command.args(["--verify_state_save=0", RATE, &format!("--randseed={}", chance.below(1 << 31))]);
    command.args(*chance.pick(ENGINES));
    let running = Running::start(&mut command, &logs.join("fio"))?;
    Ok((Box::new(Fio(running)), Box::new(Checksums { volume })))
}

impl Load for Fio {
    fn check(&mut self) -> Result<()> {
        self.0.must_run()
    }

    fn stop(&mut self) -> Result<()> {
        self.0.signal(Signal::INT);
        self.0.end(Duration::from_secs(20)).map(drop)
    }
}

impl Witness for Checksums {
    fn name(&self) -> &'static str {
        "fio's checksums"
    }

    fn judge(&mut self, _: i64, mounted: &Mounted) -> Result<bool> {
        let folder = mounted.folder(self.volume)?;
        must(fio(folder).args(["--rw=read", "--readonly", "--verify_fatal=1", "--ioengine=psync"]))?;
        Ok(true)
    }
}
