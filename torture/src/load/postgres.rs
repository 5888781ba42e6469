//! A PostgreSQL cluster whose data and log lie on different disks, under pgbench and a client that counts.
//!
//! Never knows: how points are made.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use super::databases::{Commits, Committer};
use super::{Load, Mounted, Witness};
use crate::fail::{During, Fail, Result};
use crate::tools::{Running, must, patiently, program, run, text};

/// How long a server may take to start or end.
const PATIENCE: Duration = Duration::from_secs(90);

/// A server at work.
struct Server {
    data: PathBuf,
    sockets: PathBuf,
    process: Running,
}

fn as_postgres(name: &str) -> Result<Command> {
    let mut command = program("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"]).arg(installed(name)?);
    command.env_remove("PGHOST").current_dir("/");
    Ok(command)
}

/// Debian keeps the server's programs by version.
fn installed(name: &str) -> Result<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").during("Debian's postgresql")?;
    let mut found: Vec<PathBuf> = versions.flatten().map(|v| v.path().join("bin").join(name)).collect();
    found.retain(|path| path.is_file());
    found.sort();
    found.pop().ok_or_else(|| Fail::new(format!("there is no {name}")))
}

impl Server {
    fn start(data: &Path, sockets: &Path, log: &Path) -> Result<Server> {
        std::fs::create_dir_all(sockets).during(sockets.display())?;
        run("chown", ["postgres:postgres", text(sockets)])?;
        let mut command = as_postgres("postgres")?;
        command.args(["-D", text(data), "-k", text(sockets)]);
        command.args(["-c", "listen_addresses=", "-c", "max_wal_size=64MB", "-c", "shared_buffers=16MB"]);
        let process = Running::start(&mut command, log)?;
        let mut server = Server { data: data.to_owned(), sockets: sockets.to_owned(), process };
        let up = patiently(PATIENCE, || server.client("pg_isready").is_ok_and(|mut c| must(&mut c).is_ok()));
        server.process.must_run()?;
        if up { Ok(server) } else { Err(Fail::new(format!("the server of {} does not start", data.display()))) }
    }

    fn client(&self, name: &str) -> Result<Command> {
        let mut command = as_postgres(name)?;
        command.env("PGHOST", &self.sockets).env("PGDATABASE", "postgres");
        Ok(command)
    }

    fn sql(&self, statement: &str) -> Result<String> {
        Ok(must(self.client("psql")?.args(["-XAqt", "-c", statement]))?.trim().to_owned())
    }

    fn stop(&mut self) -> Result<()> {
        let stop = must(as_postgres("pg_ctl")?.args(["-D", text(&self.data), "-m", "fast", "-w", "stop"]));
        self.process.end(PATIENCE)?;
        stop.map(drop)
    }
}

impl Drop for Server {
    /// Its children see by their shared memory that it is gone, and end.
    fn drop(&mut self) {
        self.process.signal(Signal::QUIT);
        drop(self.process.end(Duration::from_secs(10)));
    }
}

/// Server and clients; clients end first.
struct Busy {
    committer: Committer,
    bench: Running,
    server: Server,
}

struct Cluster {
    commits: Commits,
    volumes: [usize; 2],
}

fn sockets(scratch: &Path) -> PathBuf {
    scratch.join("sockets")
}

/// How `protect` reaches the server.
pub(crate) fn connection(scratch: &Path) -> String {
    format!("postgresql:///postgres?host={}", text(&sockets(scratch)))
}

/// Makes a cluster on two file systems, given as numbers and folders, and keeps it busy.
///
/// # Errors
/// A program of PostgreSQL fails.
pub(crate) fn start(
    [data, log]: [(usize, &Path); 2],
    scratch: &Path,
    logs: &Path,
) -> Result<(Box<dyn Load>, Box<dyn Witness>)> {
    for (_, folder) in [data, log] {
        run("chown", ["postgres:postgres", text(folder)])?;
    }
    let (folder, wal) = (data.1.join("cluster"), log.1.join("wal"));
    let mut initdb = as_postgres("initdb")?;
    must(initdb.args(["--no-sync", "--auth=peer", "--pgdata", text(&folder), "--waldir", text(&wal)]))?;
    let server = Server::start(&folder, &sockets(scratch), &logs.join("postgres"))?;
    must(server.client("pgbench")?.args(["-i", "-q", "-s", "2"]))?;
    server.sql("CREATE TABLE numbers (number bigint, half text)")?;
    let mut psql = server.client("psql")?;
    let (committer, commits) = Committer::start(psql.args(["-XAqt", "--set=ON_ERROR_STOP=1"]), |number| {
        // Two rows, so that half of a transaction would show.
        format!(
            "BEGIN; INSERT INTO numbers VALUES ({number}, 'a'); INSERT INTO numbers VALUES ({number}, 'b'); \
             COMMIT; SELECT {number};"
        )
    })?;
    let mut bench = server.client("pgbench")?;
    let bench = Running::start(bench.args(["-n", "-c", "4", "-R", "400", "-T", "36000"]), &logs.join("pgbench"))?;
    let cluster = Cluster { commits, volumes: [data.0, log.0] };
    Ok((Box::new(Busy { committer, bench, server }), Box::new(cluster)))
}

impl Load for Busy {
    fn check(&mut self) -> Result<()> {
        self.committer.check()?;
        self.bench.must_run()?;
        self.server.process.must_run()
    }

    fn stop(&mut self) -> Result<()> {
        self.committer.stop()?;
        self.bench.signal(Signal::INT);
        drop(self.bench.end(PATIENCE));
        self.server.stop()
    }
}

impl Witness for Cluster {
    fn name(&self) -> &'static str {
        "PostgreSQL"
    }

    fn judge(&mut self, at: i64, mounted: &Mounted) -> Result<bool> {
        let (data, log) = (mounted.folder(self.volumes[0])?.join("cluster"), mounted.folder(self.volumes[1])?);
        let link = data.join("pg_wal");
        std::fs::remove_file(&link).and_then(|()| symlink(log.join("wal"), &link)).during("the log's place")?;
        match std::fs::remove_file(data.join("postmaster.pid")) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e).during("postmaster.pid"),
            _ => {}
        }
        let said = mounted.scratch.join("postgres-restored");
        let mut server = Server::start(&data, &mounted.scratch.join("restored-sockets"), &said)?;
        let whole = "SELECT count(*) = 2 * coalesce(max(number), 0) AND count(*) FILTER (WHERE half = 'a') \
                     = coalesce(max(number), 0) FROM numbers";
        if server.sql(whole)? != "t" {
            return Err(Fail::new("transactions are missing or there by halves"));
        }
        let last = server.sql("SELECT coalesce(max(number), 0) FROM numbers")?;
        self.commits.judge(at, last.parse().during("a number")?)?;
        // pgbench moves what it notes in the history, in one transaction.
        let balance =
            |table: &str, column: &str| server.sql(&format!("SELECT coalesce(sum({column}), 0) FROM {table}"));
        let history = balance("pgbench_history", "delta")?;
        for (table, column) in [("accounts", "abalance"), ("tellers", "tbalance"), ("branches", "bbalance")] {
            let sum = balance(&format!("pgbench_{table}"), column)?;
            if sum != history {
                return Err(Fail::new(format!("pgbench's {table} add up to {sum}, its history to {history}")));
            }
        }
        must(server.client("pg_amcheck")?.args(["--all", "--install-missing", "--heapallindexed"]))?;
        server.stop()?;
        Ok(true)
    }
}
