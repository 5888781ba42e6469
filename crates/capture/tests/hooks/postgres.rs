//! A PostgreSQL cluster on two file systems, frozen under load, and started from the copy.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use backstay_capture::freeze::facts::{gather, superblock_of};
use backstay_capture::hooks::{Application, End, Outcome, PostgreSql};

use crate::base::{Committer, Running, copy};
use crate::world::{Disk, group, run, wait_for, watchdog};

const LIMIT: Duration = Duration::from_secs(60);

/// The newest version that is installed.
fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("Debian's postgresql");
    let found = versions.map(|version| version.expect("a folder").path().join("bin").join(name));
    found.filter(|path| path.exists()).max().expect("Debian's postgresql")
}

/// What `/etc/passwd` says of the packages' user.
fn user() -> (u32, u32) {
    let number = |which: &str| run("id", [which, "postgres"]).trim().parse().expect("a number");
    (number("-u"), number("-g"))
}

fn as_postgres(program: &Path) -> Command {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(program);
    command.uid(user().0).gid(user().1).current_dir("/").stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn own(path: &Path) {
    chown(path, Some(user().0), Some(user().1)).expect("chown");
}

struct Server {
    data: PathBuf,
    _process: Running,
}

impl Server {
    /// A new cluster with its data on one disk and its log on another.
    fn create(data: &Disk, log: &Disk) -> Server {
        [data, log].iter().for_each(|disk| own(&disk.point()));
        let (folder, wal) = (data.point().join("data"), log.point().join("wal"));
        let mut initdb = as_postgres(&program("initdb"));
        initdb.arg("--no-sync").arg("--auth=peer").arg("--pgdata").arg(&folder).arg("--waldir").arg(wal);
        assert!(initdb.status().expect("initdb").success());
        Server::start(folder)
    }

    fn start(data: PathBuf) -> Server {
        let mut server = as_postgres(&program("postgres"));
        server.arg("-D").arg(&data).arg("-k").arg(data.parent().expect("a folder"));
        server.args(["-c", "listen_addresses=", "-c", "max_wal_size=64MB", "-c", "shared_buffers=16MB"]);
        let log = fs::File::create(data.with_extension("log")).expect("a log");
        let server = Server { data, _process: Running::start(server.stderr(log)) };
        wait_for("the server", || {
            let over = server.client("pg_isready").status().expect("pg_isready").success();
            std::thread::sleep(Duration::from_millis(50));
            over
        });
        server
    }

    fn connection(&self) -> String {
        format!("postgresql:///postgres?host={}", self.data.parent().expect("a folder").display())
    }

    fn client(&self, name: &str) -> Command {
        let mut command = as_postgres(&program(name));
        command.env("PGHOST", self.data.parent().expect("a folder")).env("PGDATABASE", "postgres");
        command
    }

    fn sql(&self, statement: &str) -> String {
        let mut psql = self.client("psql");
        let psql = psql.args(["-XAqt", "-c", statement]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = psql.output().expect("psql");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Two rows a transaction, so that half of one would show.
    fn committer(&self) -> Committer {
        self.sql("CREATE TABLE numbers (number bigint, half text)");
        let mut psql = self.client("psql");
        psql.args(["-XAqt", "--set=ON_ERROR_STOP=1"]);
        let committer = Committer::start(&mut psql, |number| {
            format!(
                "BEGIN; INSERT INTO numbers VALUES ({number}, 'a'); INSERT INTO numbers VALUES ({number}, 'b'); \
                 COMMIT; SELECT {number};"
            )
        });
        committer.goes_on();
        committer
    }
}

fn check_copy(images: &[PathBuf], acknowledged: u64) {
    let [data, log] = images else { panic!("two images") };
    let (data, log) = (Disk::of_copy(data, "rw"), Disk::of_copy(log, "nouuid"));
    let folder = data.point().join("data");
    fs::remove_file(folder.join("pg_wal")).expect("the link to the original's log");
    std::os::unix::fs::symlink(log.point().join("wal"), folder.join("pg_wal")).expect("links");
    // The original still runs, and could be taken for the one that left these behind.
    for left in ["data/postmaster.pid", ".s.PGSQL.5432.lock"] {
        fs::remove_file(data.point().join(left)).expect("the original runs");
    }
    let server = Server::start(folder);
    let whole = server
        .sql("SELECT count(*) = 2 * max(number) AND count(*) FILTER (WHERE half = 'a') = max(number) FROM numbers");
    assert_eq!(whole, "t", "every transaction up to the last, and no half");
    let last: u64 = server.sql("SELECT max(number) FROM numbers").parse().expect("a number");
    assert!(last >= acknowledged, "{acknowledged} was acknowledged, {last} is there");
    let mut check = server.client("pg_amcheck");
    assert!(check.args(["--all", "--install-missing", "--heapallindexed"]).status().expect("pg_amcheck").success());
    drop(server);
}

fn under_load(backup_mode: bool) {
    let (data, log) = (Disk::new("ext4"), Disk::new("xfs"));
    let server = Server::create(&data, &log);
    assert!(server.client("pgbench").args(["-i", "-q", "-s", "2"]).status().expect("pgbench").success());
    let committer = server.committer();
    let load = Running::start(server.client("pgbench").args(["-n", "-c", "4", "-T", "600"]));
    let application = PostgreSql::new(&server.connection(), LIMIT).expect("an address");
    let application = if backup_mode { application.backup_mode() } else { application };
    let mut applications: Vec<Box<dyn Application>> = vec![Box::new(application)];
    let (mut watchdog, group) = (watchdog(), group(&[&data, &log]));
    for round in 0..2 {
        let copied = copy(&[&data, &log], &group, &mut watchdog, &mut applications, &committer);
        committer.goes_on();
        let before = &copied.reports[0];
        assert_eq!(before.what.contains("after a checkpoint at "), round == 0 && !backup_mode, "{before:?}");
        assert_eq!(before.what.contains("in backup mode"), backup_mode, "{before:?}");
        assert_eq!(copied.reports.get(1).is_some_and(|after| after.output.contains("START WAL LOCATION")), backup_mode);
        // The report says where the cluster lies: all of that is frozen.
        let facts = gather().expect("facts");
        let places = before.folders.iter().map(|folder| superblock_of(&facts, folder).expect("found"));
        assert_eq!(places.collect::<Vec<_>>(), [data.device(), log.device()]);
        check_copy(&copied.images, copied.acknowledged);
    }
    drop((committer, load, server));
}

#[test]
fn a_cluster_under_load() {
    under_load(false);
}

#[test]
fn a_cluster_under_load_in_backup_mode() {
    under_load(true);
}

#[test]
fn what_the_server_or_the_client_refuses_is_said() {
    let (data, log) = (Disk::new("ext4"), Disk::new("xfs"));
    let server = Server::create(&data, &log);
    server.sql("CREATE ROLE weak LOGIN");
    let report = |connection: &str| PostgreSql::new(connection, LIMIT).expect("an address").before();
    let failed = |connection: &str| match report(connection).outcome {
        Outcome::Failed(why) => why,
        other => panic!("{other:?}"),
    };
    let weak = failed(&format!("{}&user=weak", server.connection()));
    assert!(weak.contains("Peer authentication failed") || weak.contains("weak"), "{weak}");
    let nowhere = failed("postgresql:///postgres?host=/does/not/exist");
    assert!(nowhere.contains("/does/not/exist"), "{nowhere}");

    let client = |words: &[&str]| words.iter().map(Into::into).collect();
    let missing = PostgreSql::new("", LIMIT).expect("an address").client(client(&["/no/psql"])).before();
    assert!(matches!(missing.outcome, Outcome::Failed(why) if why.contains("/no/psql")));
    let deaf = PostgreSql::new("", Duration::from_millis(300)).expect("an address");
    let mut deaf = deaf.client(client(&["sh", "-c", "exec sleep 1000"]));
    assert_eq!(deaf.before().outcome, Outcome::Late);
    assert_eq!(deaf.after(End::Discarded), None);
    let loud = PostgreSql::new("", LIMIT).expect("an address").client(client(&["sh", "-c", "exec yes"])).before();
    assert!(matches!(loud.outcome, Outcome::Failed(why) if why.contains("without end")));
    drop(server);
}
