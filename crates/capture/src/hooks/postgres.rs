//! PostgreSQL around a freeze.
//!
//! What makes a point of a cluster right is the freeze alone: all its file systems are held still at one instant, so a
//! copy is what a power failure at that instant would have left, and recovery from that is what the server is made for.
//! Every transaction whose commit was acknowledged is there, unless `synchronous_commit` was off for it. The checkpoint
//! before the freeze only makes the recovery short.
//!
//! Never knows: when the freeze happens.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use std::os::unix::process::CommandExt;

use super::address::{AddressError, PostgresAddress};
use super::database::{Database, Quiesced, Released};
use super::session::{Fault, Session};

/// A cluster, by its connection string.
pub struct PostgreSql {
    address: PostgresAddress,
    client: Vec<OsString>,
    limit: Duration,
    checkpoint_every: Duration,
    backup_mode: bool,
    checkpointed: Option<Instant>,
    held: Option<Held>,
}

/// A session in backup mode.
struct Held {
    session: Session,
    version: u32,
}

impl PostgreSql {
    /// What `psql` understands as a connection string. By a local socket without a password, as root, the client runs
    /// as the user of the machine with the role's name, or `postgres`: servers know local users by that. The role needs
    /// to be superuser, or in `pg_checkpoint` (from version 15 on) and `pg_read_all_settings`.
    ///
    /// # Errors
    /// [`AddressError`] if the string cannot be understood.
    pub fn new(connection: &str, limit: Duration) -> Result<PostgreSql, AddressError> {
        Ok(PostgreSql {
            address: PostgresAddress::parse(connection)?,
            client: vec!["psql".into()],
            limit,
            checkpoint_every: Duration::from_secs(60),
            backup_mode: false,
            checkpointed: None,
            held: None,
        })
    }

    /// Another client than `psql`, such as `docker exec -i db psql`. It must take `psql`'s arguments.
    pub fn client(mut self, words: Vec<OsString>) -> PostgreSql {
        assert!(!words.is_empty(), "a client is a program");
        self.client = words;
        self
    }

    /// No checkpoint is asked for sooner after the last one; a minute if this is not called. Each makes the server
    /// write every page in full that changes after it: one for every point would multiply what it writes.
    pub fn checkpoint_every(mut self, least: Duration) -> PostgreSql {
        self.checkpoint_every = least;
        self
    }

    /// Holds a session in backup mode during the freeze, and keeps the backup label that the server gives. Not needed
    /// if all file systems of the cluster are frozen together. It includes a checkpoint.
    pub fn backup_mode(mut self) -> PostgreSql {
        self.backup_mode = true;
        self
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.client[0]);
        command.args(&self.client[1..]);
        command.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--no-password"]);
        command.args(["--field-separator=\t", "--set=ON_ERROR_STOP=1"]);
        command.arg(format!("--dbname={}", self.address.plain));
        command.env("PGAPPNAME", "backstay").env("PGCONNECT_TIMEOUT", self.limit.as_secs().max(2).to_string());
        if let Some(password) = &self.address.password {
            command.env("PGPASSWORD", password);
        } else if let Some(user) = self.local_user() {
            command.uid(user.uid).gid(user.gid).env("HOME", user.home).current_dir("/");
        }
        command
    }

    fn local_user(&self) -> Option<LocalUser> {
        let local = self.address.host.as_ref().is_none_or(|host| host.starts_with('/'));
        let own_client = self.client.len() == 1;
        if !local || !own_client || !rustix::process::geteuid().is_root() {
            return None;
        }
        let users = fs::read_to_string("/etc/passwd").ok()?;
        LocalUser::find(&users, self.address.user.as_deref().unwrap_or("postgres"))
    }

    /// Answers where in the log, if there was one.
    fn checkpoint(&mut self, session: &mut Session, until: Instant) -> Result<Option<String>, Fault> {
        if self.checkpointed.is_some_and(|last| last.elapsed() < self.checkpoint_every) {
            return Ok(None);
        }
        session.ask("CHECKPOINT;", until)?;
        self.checkpointed = Some(Instant::now());
        Ok(session.ask(PLACE, until)?.into_iter().next())
    }
}

impl Database for PostgreSql {
    fn name(&self) -> String {
        format!("PostgreSQL {}", self.address.plain)
    }

    fn limit(&self) -> Duration {
        self.limit
    }

    fn quiesce(&mut self, until: Instant) -> Result<Quiesced, Fault> {
        let mut session = Session::start(&mut self.command(), |mark| format!("\\echo {mark}"))?;
        let answer = session.ask(VERSION, until)?;
        let (number, name) = answer.first().and_then(|line| line.split_once('\t')).unwrap_or(("0", "?"));
        let version = number.parse().unwrap_or(0);
        let folders = folders(&session.ask(FOLDERS, until)?);
        let what = if self.backup_mode {
            session.ask(start_backup(version), until)?;
            format!("PostgreSQL {name} in backup mode")
        } else {
            self.checkpoint(&mut session, until)?.map_or_else(
                || format!("PostgreSQL {name}"),
                |place| format!("PostgreSQL {name} after a checkpoint at {place}"),
            )
        };
        let said = session.said();
        match self.backup_mode {
            true => self.held = Some(Held { session, version }),
            false => session.close(until),
        }
        Ok(Quiesced { what, said, folders })
    }

    fn release(&mut self, until: Instant) -> Option<Result<Released, Fault>> {
        let Held { mut session, version } = self.held.take()?;
        Some(session.ask(stop_backup(version), until).map(|label| {
            session.close(until);
            Released { what: "PostgreSQL left backup mode; its label is kept".into(), kept: label.join("\n") }
        }))
    }
}

const VERSION: &str = "SELECT current_setting('server_version_num'), current_setting('server_version');";

/// A view that leaves out what the role may not see, where the function would fail.
const FOLDERS: &str = "SELECT setting FROM pg_catalog.pg_settings WHERE name = 'data_directory'
    UNION SELECT pg_catalog.pg_tablespace_location(oid) FROM pg_catalog.pg_tablespace;";

const PLACE: &str = "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
    ELSE pg_catalog.pg_current_wal_lsn() END;";

/// A session that is left alone by a client that hangs is ended by the server, where it can.
fn start_backup(version: u32) -> &'static str {
    match version {
        150_000.. => "SET idle_session_timeout = '60s'; SELECT pg_catalog.pg_backup_start('backstay', true);",
        140_000.. => "SET idle_session_timeout = '60s'; SELECT pg_catalog.pg_start_backup('backstay', true, false);",
        _ => "SELECT pg_catalog.pg_start_backup('backstay', true, false);",
    }
}

fn stop_backup(version: u32) -> &'static str {
    match version {
        150_000.. => "SELECT labelfile FROM pg_catalog.pg_backup_stop(false);",
        _ => "SELECT labelfile FROM pg_catalog.pg_stop_backup(false, false);",
    }
}

/// The log may lie elsewhere, by a symbolic link.
fn folders(answer: &[String]) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = answer.iter().filter(|line| !line.is_empty()).map(PathBuf::from).collect();
    let logs: Vec<PathBuf> = folders.iter().filter_map(|folder| log_elsewhere(folder)).collect();
    folders.extend(logs);
    folders
}

fn log_elsewhere(data: &Path) -> Option<PathBuf> {
    let log = data.join("pg_wal");
    fs::symlink_metadata(&log).ok()?.is_symlink().then(|| fs::canonicalize(log).ok())?
}

#[derive(Debug, PartialEq, Eq)]
struct LocalUser {
    uid: u32,
    gid: u32,
    home: String,
}

impl LocalUser {
    /// From the text of `/etc/passwd`.
    fn find(users: &str, name: &str) -> Option<LocalUser> {
        let fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == name)?;
        let [_, _, uid, gid, _, home, ..] = fields.as_slice() else { return None };
        Some(LocalUser { uid: uid.parse().ok()?, gid: gid.parse().ok()?, home: (*home).to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users() {
        let users = "root:x:0:0:root:/root:/bin/bash\npostgres:x:101:102:,,,:/var/lib/postgresql:/bin/bash\nbad:x:1\n";
        let found = LocalUser { uid: 101, gid: 102, home: "/var/lib/postgresql".into() };
        assert_eq!(LocalUser::find(users, "postgres"), Some(found));
        assert_eq!(LocalUser::find(users, "bad"), None);
        assert_eq!(LocalUser::find(users, "nobody"), None);
    }

    #[test]
    fn the_password_is_not_among_the_arguments() {
        let postgres = PostgreSql::new("postgresql://me:geheim@h/db", Duration::from_secs(1)).expect("an address");
        let command = postgres.command();
        assert!(command.get_args().all(|word| !word.to_string_lossy().contains("geheim")));
        assert!(command.get_envs().any(|(_, value)| value == Some("geheim".as_ref())));
        assert!(!postgres.name().contains("geheim"));
    }
}
