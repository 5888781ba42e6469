//! MariaDB (and MySQL) around a freeze.
//!
//! Tables of InnoDB are right by the freeze alone, as with any database that recovers from a power failure. Tables of
//! other engines and the binary log are not: for them, commits and writes are blocked during the freeze, by a session
//! that holds `BACKUP STAGE BLOCK_COMMIT`, or before 10.4 and in MySQL `FLUSH TABLES WITH READ LOCK`.
//!
//! Never knows: when the freeze happens.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use super::address::{AddressError, MariaAddress};
use super::database::{Database, Quiesced, Released};
use super::session::{Fault, Session};

/// A server, by its connection string.
pub struct MariaDb {
    address: MariaAddress,
    client: Vec<OsString>,
    limit: Duration,
    held: Option<Held>,
}

/// A session that blocks commits.
struct Held {
    session: Session,
    release: &'static str,
}

impl MariaDb {
    /// `mariadb://user:password@host:port/?option=value`: every part is optional, options are long ones of the client
    /// program, such as `socket`. What is missing the client finds in its own files; without any, root by the local
    /// socket. The user needs RELOAD (and for MySQL's older lock nothing more).
    ///
    /// # Errors
    /// [`AddressError`] if the string cannot be understood.
    pub fn new(connection: &str, limit: Duration) -> Result<MariaDb, AddressError> {
        let client = if found("mariadb") { "mariadb" } else { "mysql" };
        Ok(MariaDb { address: MariaAddress::parse(connection)?, client: vec![client.into()], limit, held: None })
    }

    /// Another client than `mariadb` or `mysql`, such as `docker exec -i db mariadb`. It must take their arguments.
    pub fn client(mut self, words: Vec<OsString>) -> MariaDb {
        assert!(!words.is_empty(), "a client is a program");
        self.client = words;
        self
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.client[0]);
        command.args(&self.client[1..]);
        command.args(["--batch", "--skip-column-names", "--unbuffered", "--skip-reconnect", "--skip-auto-rehash"]);
        command.arg(format!("--connect-timeout={}", self.limit.as_secs().max(1)));
        command.args(self.address.options.iter().map(|(key, value)| format!("--{key}={value}")));
        if let Some(password) = &self.address.password {
            command.env("MYSQL_PWD", password);
        }
        command
    }
}

impl Database for MariaDb {
    fn name(&self) -> String {
        let options: Vec<String> = self.address.options.iter().map(|(key, value)| format!("{key}={value}")).collect();
        format!("MariaDB {}", options.join(" ")).trim_end().to_owned()
    }

    fn limit(&self) -> Duration {
        self.limit
    }

    fn quiesce(&mut self, until: Instant) -> Result<Quiesced, Fault> {
        let mut session = Session::start(&mut self.command(), |mark| format!("SELECT '{mark}';"))?;
        let version = session.ask("SELECT VERSION();", until)?.into_iter().next().unwrap_or_default();
        let folders = session.ask(FOLDERS, until)?.iter().filter_map(|line| folder(line)).collect();
        // Waits no longer for others than it may; and if the client hangs while it holds the block, the server lets go.
        let seconds = until.saturating_duration_since(Instant::now()).as_secs().max(1);
        session.ask(&format!("SET SESSION lock_wait_timeout = {seconds}, SESSION wait_timeout = {HOLD};"), until)?;
        let stages = has_stages(&version);
        session.ask(if stages { STAGES } else { LOCK }, until)?;
        // What was committed with innodb_flush_log_at_trx_commit other than 1 is in the server's memory so far.
        session.ask(FLUSH, until)?;
        let how = if stages { "commits blocked by BACKUP STAGE" } else { "a global read lock" };
        let (what, said) = (format!("{version} with {how}"), session.said());
        self.held = Some(Held { session, release: if stages { "BACKUP STAGE END;" } else { "UNLOCK TABLES;" } });
        Ok(Quiesced { what, said, folders })
    }

    fn release(&mut self, until: Instant) -> Option<Result<Released, Fault>> {
        let Held { mut session, release } = self.held.take()?;
        Some(session.ask(release, until).map(|_| {
            session.close(until);
            Released { what: "commits go on".into(), kept: String::new() }
        }))
    }
}

/// Seconds after which the server ends a session that says nothing: longer than any freeze, with time to notice.
const HOLD: u32 = 15;

const FOLDERS: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN
    ('datadir', 'innodb_data_home_dir', 'innodb_log_group_home_dir', 'innodb_undo_directory', 'log_bin_basename');";

const STAGES: &str = "BACKUP STAGE START; BACKUP STAGE FLUSH; BACKUP STAGE BLOCK_DDL; BACKUP STAGE BLOCK_COMMIT;";

const LOCK: &str = "FLUSH TABLES; FLUSH TABLES WITH READ LOCK;";

const FLUSH: &str = "FLUSH NO_WRITE_TO_BINLOG ENGINE LOGS;";

/// Whether this is MariaDB 10.4.1 or later. Some call themselves `5.5.5-10.6.1-MariaDB` for the sake of old clients.
fn has_stages(version: &str) -> bool {
    let Some((numbers, _)) = version.split_once("-MariaDB") else { return false };
    let own = numbers.strip_prefix("5.5.5-").unwrap_or(numbers);
    let numbers: Vec<u32> = own.split('.').map_while(|number| number.parse().ok()).collect();
    numbers.as_slice() >= [10, 4, 1].as_slice()
}

/// From `name<TAB>value`. Relative ones lie in the data folder, which is there by itself.
fn folder(line: &str) -> Option<PathBuf> {
    let (name, value) = line.split_once('\t')?;
    let path = PathBuf::from(value);
    let path = if name == "log_bin_basename" { path.parent()?.to_owned() } else { path };
    path.is_absolute().then_some(path)
}

/// Whether a program of this name is where programs are looked for.
fn found(program: &str) -> bool {
    !matches!(Command::new(program).arg("--version").output(), Err(e) if e.kind() == ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for yes in ["10.11.6-MariaDB-0+deb12u1", "10.4.1-MariaDB", "11.4.2-MariaDB-log", "5.5.5-10.6.1-MariaDB"] {
            assert!(has_stages(yes), "{yes}");
        }
        for no in ["10.4.0-MariaDB", "10.3.39-MariaDB", "5.5.68-MariaDB", "8.0.36", "8.4.0-commercial", "", "x-MariaDB"]
        {
            assert!(!has_stages(no), "{no}");
        }
    }

    #[test]
    fn folders() {
        assert_eq!(folder("datadir\t/var/lib/mysql/"), Some("/var/lib/mysql/".into()));
        assert_eq!(folder("log_bin_basename\t/logs/bin"), Some("/logs".into()));
        assert_eq!(folder("innodb_data_home_dir\t"), None);
        assert_eq!(folder("innodb_undo_directory\t./"), None);
    }

    #[test]
    fn the_password_is_not_among_the_arguments() {
        let server = MariaDb::new("mariadb://me:geheim@h", Duration::from_secs(1)).expect("an address");
        assert!(server.command().get_args().all(|word| !word.to_string_lossy().contains("geheim")));
        assert!(!server.name().contains("geheim"));
    }
}
