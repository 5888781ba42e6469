//! A MariaDB server on its own file system, frozen under load, and started from the copy.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use backstay_capture::hooks::{Application, End, MariaDb, Outcome};

use crate::base::{Committer, Running, copy};
use crate::world::{Disk, group, run, wait_for, watchdog};

const LIMIT: Duration = Duration::from_secs(60);

struct Server {
    socket: PathBuf,
    _process: Running,
}

impl Server {
    fn create(disk: &Disk) -> Server {
        run("chown", ["mysql:mysql".as_ref(), disk.point().as_os_str()]);
        let data = disk.point().join("data");
        let mut install = Command::new("mariadb-install-db");
        install.args(["--no-defaults", "--user=mysql", "--skip-test-db", "--auth-root-authentication-method=socket"]);
        install.arg(format!("--datadir={}", data.display())).env("TMPDIR", disk.point());
        let said = install.output().expect("Debian's mariadb-server");
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&[said.stdout, said.stderr].concat()));
        Server::start(&data)
    }

    /// With a folder of its own for what is temporary: a server that starts removes the tables of others there.
    fn start(data: &Path) -> Server {
        let folder = data.parent().expect("a folder");
        let socket = folder.join("socket");
        let mut server = Command::new("mariadbd");
        server.args(["--no-defaults", "--user=mysql", "--skip-networking", "--log-bin", "--innodb-log-file-size=16M"]);
        server.arg(format!("--datadir={}", data.display())).arg(format!("--socket={}", socket.display()));
        let server = server.env("TMPDIR", folder).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Server { socket, _process: Running::start(server) };
        wait_for("the server", || server.client("mariadb-admin").arg("ping").status().expect("a client").success());
        server
    }

    fn connection(&self) -> String {
        format!("mariadb://root@/?socket={}", self.socket.display())
    }

    fn client(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command.args(["--no-defaults", "--user=root"]).arg(format!("--socket={}", self.socket.display()));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn sql(&self, statement: &str) -> String {
        let mut client = self.client("mariadb");
        let client = client.args(["-BN", "-e", statement, "test"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = client.output().expect("mariadb");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Two rows a transaction, so that half of one would show, and one in a table of each engine that knows none.
    fn committer(&self) -> Committer {
        assert!(self.client("mariadb").args(["-e", "CREATE DATABASE test"]).status().expect("mariadb").success());
        self.sql("CREATE TABLE numbers (number bigint, half char(1), PRIMARY KEY (number, half)) ENGINE = InnoDB");
        self.sql("CREATE TABLE plain (number bigint PRIMARY KEY) ENGINE = MyISAM");
        self.sql("CREATE TABLE aria (number bigint PRIMARY KEY) ENGINE = Aria");
        let mut client = self.client("mariadb");
        let committer = Committer::start(client.args(["-BN", "--unbuffered", "test"]), |number| {
            format!(
                "BEGIN; INSERT INTO numbers VALUES ({number}, 'a'); INSERT INTO numbers VALUES ({number}, 'b'); \
                 COMMIT; INSERT INTO plain VALUES ({number}); INSERT INTO aria VALUES ({number}); SELECT {number};"
            )
        });
        committer.goes_on();
        committer
    }

    fn load(&self) -> Running {
        let mut load = self.client("mariadb-slap");
        load.args(["--auto-generate-sql", "--auto-generate-sql-load-type=mixed", "--engine=InnoDB"]);
        Running::start(load.args(["--concurrency=3", "--number-of-queries=100000000"]))
    }
}

fn check_copy(images: &[PathBuf], acknowledged: u64) {
    let disk = Disk::of_copy(&images[0], "rw");
    let server = Server::start(&disk.point().join("data"));
    let whole = server.sql("SELECT COUNT(*) = 2 * MAX(number) AND SUM(half = 'a') = MAX(number) FROM numbers");
    assert_eq!(whole, "1", "every transaction up to the last, and no half");
    for table in ["numbers", "plain", "aria"] {
        let last: u64 = server.sql(&format!("SELECT MAX(number) FROM {table}")).parse().expect("a number");
        assert!(last >= acknowledged, "{table}: {acknowledged} was acknowledged, {last} is there");
        let said = server.sql(&format!("CHECK TABLE {table} EXTENDED"));
        assert_eq!(said, format!("test.{table}\tcheck\tstatus\tOK"));
    }
    let mut check = server.client("mariadb-check");
    let said =
        check.args(["--all-databases", "--check", "--extended"]).stdout(Stdio::piped()).output().expect("a check");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.lines().all(|line| line.trim_end().ends_with("OK")), "{said}");
    drop(server);
}

#[test]
fn a_server_under_load() {
    let disk = Disk::new("ext4");
    let server = Server::create(&disk);
    let (committer, load) = (server.committer(), server.load());
    let application = MariaDb::new(&server.connection(), LIMIT).expect("an address");
    let mut applications: Vec<Box<dyn Application>> = vec![Box::new(application)];
    let (mut watchdog, group) = (watchdog(), group(&[&disk]));
    for _ in 0..2 {
        let copied = copy(&[&disk], &group, &mut watchdog, &mut applications, &committer);
        committer.goes_on();
        let before = &copied.reports[0];
        assert!(before.what.contains("BACKUP STAGE"), "{before:?}");
        assert!(before.folders.iter().all(|folder| folder.starts_with(disk.point())), "{before:?}");
        assert!(!before.folders.is_empty());
        check_copy(&copied.images, copied.acknowledged);
    }
    drop((committer, load, server));
}

#[test]
fn commits_wait_while_it_is_held_and_go_on_after() {
    let disk = Disk::new("ext4");
    let server = Server::create(&disk);
    let committer = server.committer();
    let held = || MariaDb::new(&server.connection(), LIMIT).expect("an address");
    let mut application = held();
    for _ in 0..2 {
        assert_eq!(application.before().outcome, Outcome::Done);
        // What was under way at the time may be told late.
        let last = committer.acknowledged() + 1;
        std::thread::sleep(Duration::from_millis(200));
        assert!(committer.acknowledged() <= last);
        assert_eq!(application.after(End::Discarded).map(|report| report.outcome), Some(Outcome::Done));
        committer.goes_on();
    }
    // A process that dies lets go as well: its client goes with it.
    assert_eq!(application.before().outcome, Outcome::Done);
    drop(application);
    committer.goes_on();

    // One that hangs does not hold the server for long, and is told that it held nothing any more.
    let mut application = held();
    assert_eq!(application.before().outcome, Outcome::Done);
    committer.goes_on();
    let after = application.after(End::Kept).expect("something was held");
    assert!(matches!(after.outcome, Outcome::Failed(_)), "{after:?}");

    // What holds things up longer than the limit does not hold us up, and leaves no lock behind.
    let mut blocker = server.client("mariadb");
    blocker.args(["-e", "LOCK TABLES plain WRITE; SELECT SLEEP(1000);", "test"]);
    let blocker = Running::start(&mut blocker);
    let locked =
        "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE '%SLEEP(1000)%' AND state = 'User sleep'";
    wait_for("the lock", || server.sql(locked) != "0");
    let mut short = MariaDb::new(&server.connection(), Duration::from_secs(2)).expect("an address");
    let outcome = short.before().outcome;
    assert!(matches!(outcome, Outcome::Late | Outcome::Failed(_)), "{outcome:?}");
    assert_eq!(short.after(End::Discarded), None);
    drop(blocker);
    committer.goes_on();
    drop((committer, server));
}
