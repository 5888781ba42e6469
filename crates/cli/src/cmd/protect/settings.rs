//! What the command line of `protect` means.
//!
//! Never knows: what is done with it.

use std::time::Duration;

use backstay_capture::freeze::group::Limits;
use backstay_capture::hooks::{Application, Invocation, MariaDb, PostgreSql, Script};

use backstay_items::exclude::Rule;
use backstay_store::ingest::Tuning;
use backstay_vault::Vault;

use crate::args::Protect;
use crate::failure::Failure;
use crate::moment;
use crate::source::OpenSource;

/// Points closer together than this would be all that the machine is busy with.
const LEAST: Duration = Duration::from_secs(1);

/// How often a point is wanted.
pub(in crate::cmd) fn every(args: &Protect) -> Result<Duration, Failure> {
    let typed = args.how.every.as_deref().unwrap_or("10s");
    let every = Duration::try_from(moment::duration(typed)?).unwrap_or_default();
    match every < LEAST {
        true => Err(Failure::usage(format!("--every {typed} is too short; give at least 1s"))),
        false => Ok(every),
    }
}

/// How long file systems may be held still.
pub(super) fn limits(args: &Protect) -> Result<Limits, Failure> {
    let limits = Limits::new(frozen(args)?, Duration::from_secs(2));
    limits.ok_or_else(|| out_of_bounds(max_freeze(args)))
}

fn max_freeze(args: &Protect) -> &str {
    args.how.max_freeze.as_deref().unwrap_or("1s")
}

fn frozen(args: &Protect) -> Result<Duration, Failure> {
    Ok(Duration::try_from(moment::duration(max_freeze(args))?).unwrap_or_default())
}

fn out_of_bounds(max_freeze: &str) -> Failure {
    Failure::usage(format!("--max-freeze {max_freeze}: give at most 5s, and more than nothing"))
}

/// How long a guest agent may take to hold a guest still, and how long that may last.
pub(super) fn guest_limits(args: &Protect) -> Result<(Duration, Duration), Failure> {
    limits(args)?;
    Ok((hook_limit(args)?, frozen(args)?))
}

fn hook_limit(args: &Protect) -> Result<Duration, Failure> {
    let typed = args.how.hook_limit.as_deref().unwrap_or("30s");
    let limit = Duration::try_from(moment::duration(typed)?).unwrap_or_default();
    match limit.is_zero() {
        true => Err(Failure::usage(format!("--hook-limit {typed} leaves no time"))),
        false => Ok(limit),
    }
}

/// What is told of each freeze.
pub(super) fn applications(args: &Protect) -> Result<Vec<Box<dyn Application>>, Failure> {
    let limit = hook_limit(args)?;
    let mut all: Vec<Box<dyn Application>> = Vec::new();
    if args.how.before.is_some() || args.how.after.is_some() {
        let run = |text: &Option<String>| text.as_ref().map(|text| Invocation::shell(text, limit));
        all.push(Box::new(Script::new("script", run(&args.how.before), run(&args.how.after))));
    }
    for connection in &args.how.postgres {
        let server = PostgreSql::new(connection, limit);
        all.push(Box::new(server.map_err(|e| Failure::usage(format!("--postgres: {e}")))?));
    }
    for connection in &args.how.mariadb {
        let server = MariaDb::new(connection, limit);
        all.push(Box::new(server.map_err(|e| Failure::usage(format!("--mariadb: {e}")))?));
    }
    Ok(all)
}

/// The vault, with as many threads as it may have.
pub(super) fn tuned(vault: Vault, args: &Protect) -> Vault {
    match args.how.threads {
        Some(threads) => vault.with_tuning(Tuning { threads: threads.into(), ..Tuning::default() }),
        None => vault,
    }
}

/// A disk that a choice names and that is not protected is a slip of the pen.
pub(super) fn check_choices(choices: &[Rule], sources: &[OpenSource]) -> Result<(), Failure> {
    let names: Vec<&str> = sources.iter().map(OpenSource::name).collect();
    let unknown = |e: &&Rule| e.disk.as_deref().is_some_and(|disk| !names.contains(&disk));
    match choices.iter().find(unknown) {
        None => Ok(()),
        Some(choice) => Err(Failure::usage(format!(
            "--exclude {}: there is no disk {} here, only {}",
            choice.text,
            choice.disk.as_deref().unwrap_or_default(),
            names.join(", ")
        ))),
    }
}
