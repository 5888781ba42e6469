//! Who writes to a disk meanwhile: fio, and pgbench with a server of its own.
//!
//! Never knows: whether anybody follows the disk.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::pace::{Pace, STEP_MS};
use crate::fail::{During, Fail, Result};
use crate::run;

/// Random writes of 4 KiB to a file, 32 at once, past the page cache; of bytes that do not compress.
pub(super) struct Fio<'a> {
    pub(super) file: &'a Path,
    /// Writes in a second; `None`: as many as can be.
    pub(super) rate: Option<u32>,
    /// Each page once.
    pub(super) distinct: bool,
}

/// What fio did.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wrote {
    /// Writes in a second.
    pub(super) rate: f64,
    pub(super) bytes: u64,
}

impl Fio<'_> {
    /// Begins to write, for so long.
    pub(super) fn start(&self, seconds: u64) -> Result<Writing> {
        self.start_with(seconds, &[])
    }

    fn start_with(&self, seconds: u64, more: &[String]) -> Result<Writing> {
        let mut fio = run::program("fio");
        fio.args(["--name=load", "--rw=randwrite", "--bs=4k", "--iodepth=32", "--ioengine=libaio", "--direct=1"]);
        fio.args(["--thread", "--randrepeat=0", "--refill_buffers", "--fallocate=none", "--output-format=json"]);
        fio.arg(format!("--filename={}", self.file.display())).arg(format!("--runtime={seconds}"));
        fio.arg(format!("--size={}", fs::metadata(self.file).during(self.file.display())?.len()));
        fio.args(if self.distinct { &[][..] } else { &["--norandommap", "--time_based"] });
        fio.args(self.rate.map(|rate| format!("--rate_iops={rate}")));
        fio.args(more);
        let child = fio.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().during("fio")?;
        Ok(Writing(Some(child)))
    }

    /// Writes for so long.
    pub(super) fn run(&self, seconds: u64) -> Result<Wrote> {
        self.start(seconds)?.end()
    }

    /// Writes for so long, and says how fast from moment to moment; `folder` is for its log.
    pub(super) fn paced(&self, seconds: u64, folder: &Path) -> Result<Pace> {
        let prefix = folder.join("pace");
        let log = format!("--write_iops_log={}", prefix.display());
        let steps = [log, format!("--log_avg_msec={STEP_MS}"), "--log_unix_epoch=1".to_owned()];
        self.start_with(seconds, &steps)?.end()?;
        Pace::read(&folder.join("pace_iops.1.log"))
    }
}

/// Bytes a second that a file can be read with, past the page cache, when nobody else does anything.
pub(super) fn reads(file: &Path, seconds: u64) -> Result<f64> {
    let mut fio = run::program("fio");
    fio.args(["--name=read", "--rw=read", "--bs=1M", "--iodepth=4", "--ioengine=libaio", "--direct=1", "--thread"]);
    fio.args(["--readonly", "--time_based", "--output-format=json"]).arg(format!("--runtime={seconds}"));
    let said = run::output(fio.arg(format!("--filename={}", file.display())))?;
    let said: Option<Value> = serde_json::from_slice(&said).ok();
    let speed = said.as_ref().and_then(|said| said["jobs"][0]["read"]["bw_bytes"].as_f64());
    speed.ok_or_else(|| Fail::new("fio does not say how fast it read"))
}

/// Milliseconds in which pages of a file are read, past the page cache and 128 at once, when nobody else does anything; `folder` is for the
/// list of them.
pub(super) fn reads_pages(file: &Path, offsets: &[u64], folder: &Path) -> Result<f64> {
    let (list, name) = (folder.join("pages"), file.display());
    let reads: String = offsets.iter().map(|offset| format!("{name} read {offset} 4096\n")).collect();
    let text = format!("fio version 2 iolog\n{name} add\n{name} open\n{reads}{name} close\n");
    fs::write(&list, text).during(list.display())?;
    let mut fio = run::program("fio");
    fio.args(["--name=pages", "--iodepth=128", "--ioengine=io_uring", "--direct=1", "--output-format=json"]);
    let said = run::output(fio.arg(format!("--read_iolog={}", list.display())))?;
    let said: Option<Value> = serde_json::from_slice(&said).ok();
    let took = said.as_ref().and_then(|said| said["jobs"][0]["read"]["runtime"].as_f64());
    took.ok_or_else(|| Fail::new("fio does not say how long it read"))
}

/// fio at work; killed when dropped.
pub(super) struct Writing(Option<Child>);

impl Writing {
    /// Waits until it is done.
    pub(super) fn end(mut self) -> Result<Wrote> {
        let child = self.0.take().ok_or_else(|| Fail::new("fio has ended"))?;
        let said = child.wait_with_output().during("fio")?;
        let wrote = serde_json::from_slice(&said.stdout).ok().as_ref().and_then(wrote);
        wrote.filter(|_| said.status.success()).ok_or_else(|| Fail::new(format!("fio failed: {}", said.status)))
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            end(child);
        }
    }
}

fn wrote(said: &Value) -> Option<Wrote> {
    let write = said.get("jobs")?.get(0)?.get("write")?;
    Some(Wrote { rate: write.get("iops")?.as_f64()?, bytes: write.get("io_bytes")?.as_u64()? })
}

fn end(child: &mut Child) {
    let ended = child.kill().and_then(|()| child.wait());
    if let Err(cause) = ended {
        eprintln!("could not clean up: {cause}");
    }
}

/// A PostgreSQL server with a cluster in a folder; ended when dropped.
pub(super) struct Server {
    folder: PathBuf,
    process: Child,
}

impl Server {
    /// A new cluster, with the tables of pgbench at this scale.
    pub(super) fn create(folder: &Path, scale: u32) -> Result<Server> {
        let owner = fs::metadata("/var/lib/postgresql").during("the home of PostgreSQL's user")?;
        chown(folder, Some(owner.uid()), Some(owner.gid())).during(folder.display())?;
        let data = folder.join("data");
        run::output(as_owner(&newest("initdb")?, folder)?.args(["--no-sync", "--auth=trust", "--pgdata"]).arg(&data))?;
        let mut server = as_owner(&newest("postgres")?, folder)?;
        server.arg("-D").arg(&data).arg("-k").arg(folder).args(["-c", "listen_addresses=", "-c", "max_wal_size=256MB"]);
        let log = fs::File::create(folder.join("log")).during("a log")?;
        let process = server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().during("postgres")?;
        let server = Server { folder: folder.to_owned(), process };
        let patience = Instant::now() + Duration::from_secs(60);
        while let Err(cause) = run::output(&mut server.client("pg_isready")?) {
            if Instant::now() > patience {
                return Err(cause);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        run::output(server.client("pgbench")?.args(["--initialize", "--quiet", "--scale"]).arg(scale.to_string()))?;
        Ok(server)
    }

    /// For `--postgres`.
    pub(super) fn connection(&self) -> String {
        format!("postgresql:///postgres?host={}", self.folder.display())
    }

    /// Transactions of pgbench by four clients, for so long.
    pub(super) fn start(&self, seconds: u64) -> Result<Transactions> {
        let mut pgbench = self.client("pgbench")?;
        pgbench.args(["--no-vacuum", "--client=4", "--time"]).arg(seconds.to_string());
        pgbench.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        Ok(Transactions(Some(pgbench.spawn().during("pgbench")?)))
    }

    fn client(&self, name: &str) -> Result<Command> {
        let mut command = as_owner(&newest(name)?, &self.folder)?;
        command.env("PGHOST", &self.folder).env("PGDATABASE", "postgres");
        Ok(command)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // At once, but with all its processes: the disk is to be unmounted next.
        let asked = run::output(Command::new("kill").args(["-QUIT", &self.process.id().to_string()]));
        if let Err(cause) = asked.and_then(|_| self.process.wait().during("postgres")) {
            eprintln!("could not clean up: {cause}");
        }
    }
}

/// pgbench at work; killed when dropped.
pub(super) struct Transactions(Option<Child>);

impl Transactions {
    /// Waits until it is done; transactions in a second.
    pub(super) fn end(mut self) -> Result<f64> {
        let child = self.0.take().ok_or_else(|| Fail::new("pgbench has ended"))?;
        let said = child.wait_with_output().during("pgbench")?;
        let text = String::from_utf8_lossy(&said.stdout);
        let rate = text.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
        rate.ok_or_else(|| Fail::new(format!("pgbench failed: {text}")))
    }
}

impl Drop for Transactions {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            end(child);
        }
    }
}

/// A program of the newest PostgreSQL that is installed.
fn newest(name: &str) -> Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").during("Debian's postgresql")?;
    let found = versions.flatten().map(|version| version.path().join("bin").join(name));
    found.filter(|path| path.exists()).max().ok_or_else(|| Fail::new(format!("there is no {name} of PostgreSQL")))
}

fn as_owner(program: &Path, folder: &Path) -> Result<Command> {
    let owner = fs::metadata(folder).during(folder.display())?;
    let mut command = Command::new(program);
    command.uid(owner.uid()).gid(owner.gid()).current_dir("/");
    Ok(command)
}
