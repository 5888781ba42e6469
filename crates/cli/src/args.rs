//! The command line: a contract. Names and meanings of commands and options are not changed, only added to.
//!
//! Never knows: what the commands do.

use std::path::PathBuf;

use backstay_format::names::is_vault_name;
use backstay_items::exclude::Rule;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::hours::Hours;
use crate::log;
use crate::rate::{BytesPerSecond, RateAt};

/// Keeps disks recoverable at any moment: deduplicated, compressed, encrypted, and every byte checked when it comes back.
#[derive(Debug, Parser)]
#[command(name = "backstay", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "TIME is RFC 3339, `2026-11-22 10:00:05` (local), `90s ago`, `5 minutes ago` or `latest`.
MACHINE may be MACHINE:DISK or MACHINE:DISK:PARTITION.
Exit status: 0 done, 1 failed, 2 usage, 3 damaged data found, 4 refused.")]
pub(crate) struct Cli {
    /// What is common to all commands.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// The store: a folder, or s3://bucket/prefix.
    #[arg(long, global = true, env = "BACKSTAY_STORE", value_name = "DIR|URL", hide_env_values = true, help_heading = COMMON)]
    pub store: Option<String>,
    /// A server to work through instead: https://HOST:PORT. `backstay login` makes it known.
    #[arg(long, global = true, env = "BACKSTAY_SERVER", value_name = "URL", hide_env_values = true, help_heading = COMMON)]
    pub server: Option<String>,
    /// A file whose first line is a token for the server; else the one that `backstay login` got.
    #[arg(long, global = true, env = "BACKSTAY_TOKEN_FILE", value_name = "FILE", hide_env_values = true, help_heading = COMMON)]
    pub token_file: Option<PathBuf>,
    /// SHA-256 of the certificate of the server's authority, as the server printed it; else the one that `backstay login` saw.
    #[arg(long, global = true, env = "BACKSTAY_AUTHORITY", value_name = "SHA256", hide_env_values = true, help_heading = COMMON)]
    pub authority: Option<String>,
    /// A file whose first line is the passphrase; else it is asked for.
    #[arg(long, global = true, env = "BACKSTAY_PASSPHRASE_FILE", value_name = "FILE", hide_env_values = true, help_heading = COMMON)]
    pub passphrase_file: Option<PathBuf>,
    /// The vault in the store; `main` if not said.
    #[arg(long, global = true, value_name = "NAME", value_parser = vault_name, help_heading = COMMON)]
    pub vault: Option<String>,
    /// Print JSON instead of text.
    #[arg(long, global = true, help_heading = COMMON)]
    pub json: bool,
}

const COMMON: &str = "Common options";

impl Common {
    /// The vault.
    pub(crate) fn vault(&self) -> &str {
        self.vault.as_deref().unwrap_or("main")
    }
}

/// What is said of what cannot name a vault.
pub(crate) const NOT_A_VAULT: &str =
    "a vault's name has 1 to 32 of the characters a-z, 0-9 and -, and does not start with -";

/// Reads the command line. Of store and server, what is typed counts more than what is in the environment.
pub(crate) fn parse() -> Result<Cli, clap::Error> {
    let matches = Cli::command().try_get_matches()?;
    let mut cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut Cli::command()))?;
    let is_typed = |name| matches.value_source(name) == Some(ValueSource::CommandLine);
    match (is_typed("store"), is_typed("server")) {
        (true, true) => {
            let what = "--store and --server cannot be used together: a command works on a store or through a server";
            return Err(Cli::command().error(ErrorKind::ArgumentConflict, what));
        }
        (true, false) => cli.common.server = None,
        (false, true) => cli.common.store = None,
        (false, false) => {}
    }
    Ok(cli)
}

fn vault_name(text: &str) -> Result<String, &'static str> {
    if is_vault_name(text) { Ok(text.to_owned()) } else { Err(NOT_A_VAULT) }
}

/// How a server is to be.
#[derive(Debug, Args)]
pub(crate) struct Server {
    /// Where it keeps what is its own; also the store, if no --store is named.
    #[arg(long, default_value = "/var/lib/backstay", value_name = "DIR")]
    pub data: PathBuf,
    /// A file with what follows, and with `store`, `passphrase_file` and `vault`; else server.toml in the data folder, if there is
    /// one. What the command line says counts more.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Only say what the command line and the file mean, or what is wrong with them.
    #[arg(long)]
    pub check_config: bool,
    /// Bring a dead server back into a new data folder, from --store and --passphrase-file alone, and end. Should the other live, it
    /// ends.
    #[arg(long, conflicts_with = "check_config", requires = "store", requires = "passphrase_file")]
    pub recover: bool,
    /// Where it listens, for people and machines; 0.0.0.0:7443 if not said.
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// A folder on this machine that disks may be restored to from the console; else they are restored elsewhere only.
    #[arg(long, value_name = "DIR")]
    pub restores: Option<PathBuf>,
    /// The name that people and machines reach it by; else this machine's name. May be given again, for other names.
    #[arg(long, value_name = "HOSTNAME")]
    pub name: Vec<String>,
    /// How what happens is written to standard error.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub log: log::Format,
    /// Begin jobs of the calendar at these hours of the day only, such as 22:00-06:00.
    #[arg(long, value_name = "FROM-TO")]
    pub job_hours: Option<Hours>,
}

/// A machine, disk or partition at a moment.
#[derive(Debug, Args)]
pub(crate) struct At {
    /// MACHINE, MACHINE:DISK or MACHINE:DISK:PARTITION.
    pub machine: String,
    /// The moment: the newest point not later than it is taken.
    #[arg(long, default_value = "latest", value_name = "TIME")]
    pub at: String,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a store with a first vault.
    Init {
        /// Where: a folder that is empty or not there yet, or s3://bucket/prefix.
        location: String,
    },
    /// Capture block devices or image files.
    Protect(Protect),
    /// Capture this host's disks for the server that it was enrolled with, until interrupted: the service of a protected machine.
    Agent(Agent),
    /// Make this machine known to a server, with a code that somebody made there.
    Enroll(Enroll),
    /// List the machines.
    Machines,
    /// List a machine's points, and the times without any that were promised.
    Points {
        /// The machine.
        machine: String,
        /// Only the newest so many.
        #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
        limit: Option<u32>,
    },
    /// Show one point: its disks and what is on them.
    Show(At),
    /// Make no points of a machine for a while: nothing is frozen, read or sent. Its changes go on being followed.
    Suspend(Suspend),
    /// Make points of a machine again that was suspended.
    Resume {
        /// The machine.
        machine: String,
    },
    /// Write a disk back to a device or file.
    Restore(Restore),
    /// Show disks and files of a point in a folder, until interrupted or unmounted.
    Mount {
        /// What to show.
        #[command(flatten)]
        at: At,
        /// An empty folder.
        dir: PathBuf,
        /// Let other users in, as far as the files' permissions do.
        #[arg(long)]
        allow_other: bool,
    },
    /// Serve a disk over the network (NBD), read-only, until interrupted.
    Serve {
        /// What to serve.
        #[command(flatten)]
        at: At,
        /// HOST:PORT, or unix:PATH.
        #[arg(long, default_value = "127.0.0.1:10809", value_name = "ADDR")]
        listen: String,
        /// Serve other hosts without encryption: whoever reaches the port reads everything.
        #[arg(long)]
        allow_plain: bool,
    },
    /// Run a server: machines send their points to it, people see and steer everything in a browser.
    Server(Server),
    /// Look for files in a point, and get them out.
    Files {
        /// What to do.
        #[command(subcommand)]
        command: Files,
    },
    /// Check the store: everything that says where data is; with --read-data the data as well.
    Check {
        /// Read and check every byte of every pack.
        #[arg(long)]
        read_data: bool,
    },
    /// Drop points by a schedule, or by number. Prints its plan first.
    #[command(
        after_help = "LENGTH is `90s`, `5 minutes`, `24h`, `30d` or `1y`. An example, which keeps all points of a day, one an hour
of a week, one a day of a year: backstay forget web --keep-all 24h --keep-hourly 7d --keep-daily 1y"
    )]
    Forget(Forget),
    /// Give back the space of what nothing needs. Prints its plan first.
    Reclaim {
        /// Do it without asking.
        #[arg(long)]
        yes: bool,
        /// Only print the plan.
        #[arg(long, conflicts_with = "yes")]
        dry_run: bool,
    },
    /// Passphrases of the vault, and its keys on paper.
    Key {
        /// What to do.
        #[command(subcommand)]
        command: Key,
    },
    /// Keep what is known of changed disks over a clean restart of this machine, so that they need not be compared.
    Marks {
        /// What to do.
        #[command(subcommand)]
        command: Marks,
    },
    /// Make a server known to this user, for commands with --server: its authority, and a token for each of one's roles.
    Login(Login),
    /// Forget a server, and end the tokens that `login` got from it.
    Logout {
        /// The server: https://HOST:PORT.
        url: String,
    },
    /// Codes that machines are enrolled with, at a server.
    Enrolments {
        /// What to do.
        #[command(subcommand)]
        command: Enrolments,
    },
    /// What a server was told to do, and how far it is.
    Jobs {
        /// What to do; else they are listed.
        #[command(subcommand)]
        command: Option<Jobs>,
    },
    /// The tamper-evident log of a server: what was done with it, and whether that is the whole truth.
    Audit {
        /// What to do.
        #[command(subcommand)]
        command: Audit,
    },
    /// Print a shell's completions.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a folder.
    Man {
        /// The folder.
        dir: PathBuf,
    },
}

/// `protect`.
#[derive(Debug, Args)]
pub(crate) struct Protect {
    /// Block devices or image files, all of one machine; or one virtual machine that runs: qemu:SOCKET or libvirt:DOMAIN, with
    /// #NODE,... for some of its disks.
    #[arg(required = true, value_name = "SOURCE")]
    pub sources: Vec<PathBuf>,
    /// The machine's name; else this host's.
    #[arg(long, value_name = "NAME")]
    pub machine: Option<String>,
    /// How.
    #[command(flatten)]
    pub how: How,
}

/// Where what makes a machine known to a server is, if nobody says.
pub(crate) const ENROLMENT: &str = "/var/lib/backstay/agent";

/// `agent`.
#[derive(Debug, Args)]
pub(crate) struct Agent {
    /// Block devices or image files; else all disks of this host.
    #[arg(value_name = "SOURCE")]
    pub sources: Vec<PathBuf>,
    /// A file with what follows, its keys named as the options, and `disks`; else /etc/backstay/agent.toml, if there is one. What
    /// the command line says counts more.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where `backstay enroll` put what makes this machine known to the server; /var/lib/backstay/agent if not said.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// How.
    #[command(flatten)]
    pub how: How,
}

/// `enroll`.
#[derive(Debug, Args)]
pub(crate) struct Enroll {
    /// The server: https://HOST:PORT.
    pub url: String,
    /// The code, as the console or `backstay server` showed it; each is for one machine, once.
    pub code: String,
    /// Where to put what makes this machine known.
    #[arg(long, default_value = ENROLMENT, value_name = "DIR")]
    pub dir: PathBuf,
}

/// `login`.
#[derive(Debug, Args)]
pub(crate) struct Login {
    /// The server: https://HOST:PORT.
    pub url: String,
    /// One's name there; else it is asked for.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// A file whose first line is the password; else it is asked for.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Log in again after so many days; at most 366.
    #[arg(long, default_value_t = 30, value_name = "DAYS")]
    pub days: u16,
}

/// `enrolments`.
#[derive(Debug, Subcommand)]
pub(crate) enum Enrolments {
    /// Make a code for a machine: it is shown once, and used once.
    New {
        /// The machine's name: that of its timeline.
        machine: String,
        /// How long it can be used.
        #[arg(long, default_value = "24h", value_name = "LENGTH")]
        valid: String,
    },
    /// List the codes, but for the codes themselves.
    List,
    /// Take a code back.
    Revoke {
        /// Its number.
        number: u64,
    },
}

/// `jobs`.
#[derive(Debug, Subcommand)]
pub(crate) enum Jobs {
    /// List them, newest first.
    List,
    /// End one after the step that it is at: operators of everything any, restore operators those that they began.
    Cancel {
        /// Its number.
        number: u64,
    },
}

/// How sources are captured.
#[derive(Debug, Args)]
pub(crate) struct How {
    /// Make one point and end.
    #[arg(long, conflicts_with = "every")]
    pub once: bool,
    /// Make a point so often, until interrupted; at least every second, and each 10s if not said.
    #[arg(long, value_name = "LENGTH")]
    pub every: Option<String>,
    /// Read everything, also what no file system uses.
    #[arg(long)]
    pub all_blocks: bool,
    /// Leave out the content of a file, of a folder with all below it, or of a kind of file; may be given again.
    ///
    /// PATH counts from the top of the file system it lies in: `/var/cache`, `/home/*/Downloads`, `/var/log/**`. Without a slash it
    /// is a name wherever it occurs: `*.iso`, `pagefile.sys`. It is looked for in all file systems of all disks, unless
    /// written DISK:PATH or DISK:PARTITION:PATH. It is looked up anew for each point.
    ///
    /// Names, sizes and other metadata are kept, and so is what a file or snapshot that is not left out uses too. The point says
    /// what it lacks; after a restore these files read as zeros or not at all.
    #[arg(long, value_name = "PATH")]
    pub exclude: Vec<Rule>,
    /// A note to keep with the points.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    pub note: String,
    /// Run this with /bin/sh before file systems are held still, each time; for disks whose changes are followed.
    #[arg(long, value_name = "COMMAND")]
    pub before: Option<String>,
    /// Run this with /bin/sh afterwards, whatever became of it.
    #[arg(long, value_name = "COMMAND")]
    pub after: Option<String>,
    /// Quiesce a PostgreSQL server each time; its connection string. Needs `psql`. May be given again.
    #[arg(long, value_name = "CONNECTION")]
    pub postgres: Vec<String>,
    /// Quiesce a MariaDB server each time; its connection string. Needs `mariadb`. May be given again.
    #[arg(long, value_name = "CONNECTION")]
    pub mariadb: Vec<String>,
    /// Give each application, and each command before and after, so long; 30s if not said.
    #[arg(long, value_name = "LENGTH")]
    pub hook_limit: Option<String>,
    /// The socket of a virtual machine's guest agent, for qemu:SOCKET: file systems in the guest are held still for each point.
    #[arg(long, value_name = "SOCKET")]
    pub guest_agent: Option<PathBuf>,
    /// Where blocks of a virtual machine are saved while a point of it is read and they are overwritten; else beside its images.
    #[arg(long, value_name = "DIR")]
    pub scratch: Option<PathBuf>,
    /// Hold file systems still for so long at most; at most 5s, and 1s if not said. A watchdog sees to it.
    #[arg(long, value_name = "LENGTH")]
    pub max_freeze: Option<String>,
    /// Read disks no faster than this, such as 50MiB/s; what is sent and stored is never more. Not while they are held still: that is
    /// at most 64 MiB a point, and ends the sooner.
    #[arg(long, value_name = "RATE")]
    pub max_rate: Option<BytesPerSecond>,
    /// The same for hours of the day, such as 08:00-18:00=10MiB/s; may be given again. The lowest that holds counts.
    #[arg(long, value_name = "FROM-TO=RATE")]
    pub max_rate_at: Vec<RateAt>,
    /// Use so many threads for naming, compressing and sealing; else as many as there are processors.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
    /// Compare whole disks for every point, even where their changes could be followed.
    #[arg(long)]
    pub rescan: bool,
    /// Only end the following of changes, which otherwise goes on in the kernel when this ends, for the next protect to go on from.
    #[arg(long, conflicts_with_all = ["once", "rescan"])]
    pub unfollow: bool,
}

/// `suspend`.
#[derive(Debug, Args)]
pub(crate) struct Suspend {
    /// The machine.
    pub machine: String,
    /// Why, in a few words: the gap that this makes in the timeline says so.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// It ends by itself after so long.
    #[arg(long, default_value = "2h", value_name = "LENGTH")]
    pub max: String,
}

/// `restore`.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// What to restore.
    #[command(flatten)]
    pub at: At,
    /// The block device or file to write.
    #[arg(long, value_name = "TARGET")]
    pub to: PathBuf,
    /// Write only what differs from what the target holds.
    #[arg(long)]
    pub delta: bool,
    /// Read everything back and compare.
    #[arg(long)]
    pub verify: bool,
    /// Overwrite without asking.
    #[arg(long)]
    pub yes: bool,
}

/// `files`.
#[derive(Debug, Subcommand)]
pub(crate) enum Files {
    /// List a folder.
    Ls {
        /// Where.
        #[command(flatten)]
        at: At,
        /// The folder in the file system.
        #[arg(default_value = "/")]
        path: String,
    },
    /// Find names that contain a text, or match a pattern with * and ?.
    Find {
        /// Where.
        #[command(flatten)]
        at: At,
        /// The text or pattern.
        pattern: String,
    },
    /// Copy a file or folder out.
    Get {
        /// Where.
        #[command(flatten)]
        at: At,
        /// The file or folder in the file system.
        path: String,
        /// Where to put it: a folder, or a name that is not there yet.
        #[arg(long, default_value = ".", value_name = "TARGET")]
        to: PathBuf,
    },
}

/// `forget`.
#[derive(Debug, Args)]
pub(crate) struct Forget {
    /// The machine.
    pub machine: String,
    /// Keep all points for so long, such as 24h.
    #[arg(long, value_name = "LENGTH")]
    pub keep_all: Option<String>,
    /// Then one a minute, for so long.
    #[arg(long, value_name = "LENGTH")]
    pub keep_minutely: Option<String>,
    /// Then one an hour.
    #[arg(long, value_name = "LENGTH")]
    pub keep_hourly: Option<String>,
    /// Then one a day.
    #[arg(long, value_name = "LENGTH")]
    pub keep_daily: Option<String>,
    /// Then one a month.
    #[arg(long, value_name = "LENGTH")]
    pub keep_monthly: Option<String>,
    /// Then one a year.
    #[arg(long, value_name = "LENGTH")]
    pub keep_yearly: Option<String>,
    /// Drop these points, by number.
    #[arg(long, value_name = "NUMBER", num_args = 1.., conflicts_with_all = ["keep_all", "keep_minutely", "keep_hourly", "keep_daily", "keep_monthly", "keep_yearly"])]
    pub point: Vec<u64>,
    /// Do it without asking.
    #[arg(long)]
    pub yes: bool,
    /// Only print the plan.
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
}

/// `marks`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum Marks {
    /// As the machine ends: make followed disks that nothing uses read-only, and save which of their pages changed.
    Save {
        /// At the very end, when nothing is mounted to be written any more: of the disk that the system is on.
        #[arg(long)]
        last: bool,
    },
    /// As the machine starts, before disks are mounted: follow those disks on, if nothing wrote to them meanwhile.
    Load {
        /// At the very beginning, before anything is mounted to be written: the disk that the system is on.
        #[arg(long)]
        first: bool,
    },
}

/// `key`.
#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// List the key slots.
    List,
    /// Add a passphrase; the others stay.
    Add {
        /// Open the vault with its keys on paper (`backstay key paper`), typed into a file; - is standard input. For a vault
        /// whose passphrases are all lost.
        #[arg(long, value_name = "FILE")]
        paper: Option<PathBuf>,
        /// A file whose first line is the new passphrase; else it is asked for.
        #[arg(long, value_name = "FILE")]
        new_passphrase_file: Option<PathBuf>,
        /// Whose it is.
        #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
        label: String,
    },
    /// Replace the passphrase that opens the vault now.
    Change {
        /// A file whose first line is the new passphrase; else it is asked for.
        #[arg(long, value_name = "FILE")]
        new_passphrase_file: Option<PathBuf>,
    },
    /// Remove a key slot by its number.
    Remove {
        /// The slot.
        slot: u16,
    },
    /// Print the keys, to be kept on paper: whoever has them needs no passphrase.
    Paper,
}

/// `audit`. Neither needs a store or a passphrase: a copy of the log's folder will do.
#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Check that a log is whole, signed, goes on from what was seen before, and makes sense.
    #[command(
        after_help = "Keep the file `checkpoint` of the log's folder somewhere else each time, and give it to --since the next time:
only that shows a log that was cut, put back or rewritten by somebody who has its key."
    )]
    Verify {
        /// The log's folder, or a copy of it.
        dir: PathBuf,
        /// The log's public key, from elsewhere than that folder: NAME+ID+KEY.
        #[arg(long, value_name = "VKEY")]
        key: Option<String>,
        /// A checkpoint of this log, kept from before.
        #[arg(long, value_name = "FILE")]
        since: Option<PathBuf>,
        /// A file with the key that opens names, to check them too.
        #[arg(long, value_name = "FILE")]
        names_key: Option<PathBuf>,
        /// Also fail for what may have harmless reasons, such as a time without records.
        #[arg(long)]
        strict: bool,
    },
    /// Print what a log says. It is not checked.
    Show {
        /// The log's folder, or a copy of it; none with --server: the server's own log.
        dir: Option<PathBuf>,
        /// A file with the key that opens names; without it there are none.
        #[arg(long, value_name = "FILE")]
        names_key: Option<PathBuf>,
        /// Begin with the record of this number.
        #[arg(long, default_value_t = 0, value_name = "NUMBER")]
        from: u64,
        /// Leave out heartbeats.
        #[arg(long)]
        no_heartbeats: bool,
    },
}
