//! A MariaDB server under sysbench and a client that counts.
//!
//! Never knows: how points are made.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use super::databases::{Commits, Committer};
use super::{Load, Mounted, Witness};
use crate::fail::{Fail, Result};
use crate::tools::{Running, must, patiently, program, run, text};

/// How long a server may take to start or end.
const PATIENCE: Duration = Duration::from_secs(90);

/// Where the socket of the one under load lies.
const SOCKETS: &str = "mariadb";

struct Server {
    socket: PathBuf,
    process: Running,
}

impl Server {
    /// Keeps what is temporary beside its data: a server that starts removes the tables of others from where they share a folder.
    fn start(data: &Path, socket: &Path, log: &Path) -> Result<Server> {
        let mut command = program("mariadbd");
        command.env("TMPDIR", data.parent().unwrap_or(data));
        command.args(["--no-defaults", "--user=mysql", "--skip-networking", "--log-bin"]);
        command.args(["--innodb-log-file-size=16M", "--innodb-buffer-pool-size=32M"]);
        command.arg(format!("--datadir={}", text(data))).arg(format!("--socket={}", text(socket)));
        command.current_dir("/");
        let process = Running::start(&mut command, log)?;
        let mut server = Server { socket: socket.to_owned(), process };
        let up = patiently(PATIENCE, || must(server.client("mariadb-admin").arg("ping")).is_ok());
        server.process.must_run()?;
        if up { Ok(server) } else { Err(Fail::new(format!("the server of {} does not start", data.display()))) }
    }

    fn client(&self, name: &str) -> Command {
        let mut command = program(name);
        command.args(["--no-defaults", "--user=root"]).arg(format!("--socket={}", text(&self.socket)));
        command
    }

    fn sql(&self, statement: &str) -> Result<String> {
        Ok(must(self.client("mariadb").args(["-BN", "-e", statement, "torture"]))?.trim().to_owned())
    }

    fn sysbench(&self) -> Command {
        let mut command = program("sysbench");
        let socket = format!("--mysql-socket={}", text(&self.socket));
        command.args(["oltp_read_write", "--db-driver=mysql", "--mysql-user=root", "--mysql-db=torture", &socket]);
        command.args(["--tables=3", "--table-size=5000"]);
        command
    }

    fn stop(&mut self) -> Result<()> {
        self.process.signal(Signal::TERM);
        self.process.end(PATIENCE).map(drop)
    }
}

struct Busy {
    committer: Committer,
    bench: Running,
    server: Server,
}

struct Tables {
    commits: Commits,
    volume: usize,
}

/// Makes a server on a file system and keeps it busy.
///
/// # Errors
/// A program of MariaDB or sysbench fails.
pub(crate) fn start(
    (volume, mounted): (usize, &Path),
    scratch: &Path,
    logs: &Path,
) -> Result<(Box<dyn Load>, Box<dyn Witness>)> {
    run("chown", ["mysql:mysql", text(mounted)])?;
    let data = mounted.join("tables");
    let mut install = program("mariadb-install-db");
    install.args(["--no-defaults", "--user=mysql", "--skip-test-db", "--auth-root-authentication-method=socket"]);
    must(install.arg(format!("--datadir={}", text(&data))).env("TMPDIR", mounted))?;
    let sockets = socket(scratch, SOCKETS)?;
    let server = Server::start(&data, &sockets, &logs.join("mariadb"))?;
    must(server.client("mariadb").args(["-e", "CREATE DATABASE torture"]))?;
    server.sql("CREATE TABLE numbers (number bigint, half char(1), PRIMARY KEY (number, half)) ENGINE = InnoDB")?;
    must(server.sysbench().arg("prepare"))?;
    let mut client = server.client("mariadb");
    let (committer, commits) = Committer::start(client.args(["-BN", "--unbuffered", "torture"]), |number| {
        format!(
            "BEGIN; INSERT INTO numbers VALUES ({number}, 'a'); INSERT INTO numbers VALUES ({number}, 'b'); \
             COMMIT; SELECT {number};"
        )
    })?;
    let mut bench = server.sysbench();
    bench.args(["--threads=3", "--time=36000", "--rate=60", "--mysql-ignore-errors=all", "run"]);
    let bench = Running::start(&mut bench, &logs.join("sysbench"))?;
    Ok((Box::new(Busy { committer, bench, server }), Box::new(Tables { commits, volume })))
}

/// How `protect` reaches the server.
pub(crate) fn connection(scratch: &Path) -> String {
    format!("mariadb://root@/?socket={}", text(&scratch.join(SOCKETS).join("s")))
}

/// A place for a socket that the server's user can reach; its folder is named shortly, as sockets must be.
fn socket(scratch: &Path, name: &str) -> Result<PathBuf> {
    let folder = scratch.join(name);
    std::fs::create_dir_all(&folder).map_err(|e| Fail::new(format!("{}: {e}", folder.display())))?;
    run("chown", ["mysql:mysql", text(&folder)])?;
    Ok(folder.join("s"))
}

impl Load for Busy {
    fn check(&mut self) -> Result<()> {
        self.committer.check()?;
        self.bench.must_run()?;
        self.server.process.must_run()
    }

    fn stop(&mut self) -> Result<()> {
        self.committer.stop()?;
        self.bench.signal(Signal::TERM);
        drop(self.bench.end(Duration::from_secs(10)));
        self.server.stop()
    }
}

impl Witness for Tables {
    fn name(&self) -> &'static str {
        "MariaDB"
    }

    fn judge(&mut self, at: i64, mounted: &Mounted) -> Result<bool> {
        let data = mounted.folder(self.volume)?.join("tables");
        let socket = socket(&mounted.scratch, "mariadb-restored")?;
        let mut server = Server::start(&data, &socket, &mounted.scratch.join("mariadb-restored.log"))?;
        let whole = "SELECT COUNT(*) = 2 * COALESCE(MAX(number), 0) \
                     AND COALESCE(SUM(half = 'a'), 0) = COALESCE(MAX(number), 0) FROM numbers";
        if server.sql(whole)? != "1" {
            return Err(Fail::new("transactions are missing or there by halves"));
        }
        let last = server.sql("SELECT COALESCE(MAX(number), 0) FROM numbers")?;
        let last = last.parse().map_err(|_| Fail::new(format!("{last:?} is no number")))?;
        self.commits.judge(at, last)?;
        let said = must(server.client("mariadb-check").args(["--all-databases", "--check", "--extended"]))?;
        if let Some(line) = said.lines().find(|line| !line.trim_end().ends_with("OK")) {
            return Err(Fail::new(format!("mariadb-check says {line:?}")));
        }
        server.stop()?;
        Ok(true)
    }
}
