//! What the command line of `protect` means.
//!
//! Never knows: what is done with it.

use std::time::Duration;

use backstay_capture::freeze::group::Limits;
use backstay_capture::hooks::{Application, Invocation, MariaDb, PostgreSql, Script};

use backstay_store::ingest::Tuning;
use backstay_vault::Vault;

use crate::args::Protect;
use crate::exclude::Exclude;
use crate::failure::Failure;
use crate::moment;
use crate::source::OpenSource;

pub(super) fn limits(max_freeze: &str) -> Result<Limits, Failure> {
    let frozen = Duration::try_from(moment::duration(max_freeze)?).unwrap_or_default();
    let limits = Limits::new(frozen, Duration::from_secs(2));
    limits.ok_or_else(|| Failure::usage(format!("--max-freeze {max_freeze}: give at most 5s, and more than nothing")))
}

/// What is told of each freeze.
pub(super) fn applications(args: &Protect) -> Result<Vec<Box<dyn Application>>, Failure> {
    let limit = Duration::try_from(moment::duration(&args.hook_limit)?).unwrap_or_default();
    if limit.is_zero() {
        return Err(Failure::usage(format!("--hook-limit {} leaves no time", args.hook_limit)));
    }
    let mut all: Vec<Box<dyn Application>> = Vec::new();
    if args.before.is_some() || args.after.is_some() {
        let run = |text: &Option<String>| text.as_ref().map(|text| Invocation::shell(text, limit));
        all.push(Box::new(Script::new("script", run(&args.before), run(&args.after))));
    }
    for connection in &args.postgres {
        let server = PostgreSql::new(connection, limit);
        all.push(Box::new(server.map_err(|e| Failure::usage(format!("--postgres: {e}")))?));
    }
    for connection in &args.mariadb {
        let server = MariaDb::new(connection, limit);
        all.push(Box::new(server.map_err(|e| Failure::usage(format!("--mariadb: {e}")))?));
    }
    Ok(all)
}

/// The vault, with as many threads as it may have.
pub(super) fn tuned(vault: Vault, args: &Protect) -> Vault {
    match args.threads {
        Some(threads) => vault.with_tuning(Tuning { threads: threads.into(), ..Tuning::default() }),
        None => vault,
    }
}

/// A disk that a choice names and that is not protected is a slip of the pen.
pub(super) fn check_choices(choices: &[Exclude], sources: &[OpenSource]) -> Result<(), Failure> {
    let names: Vec<&str> = sources.iter().map(OpenSource::name).collect();
    let unknown = |e: &&Exclude| e.disk.as_deref().is_some_and(|disk| !names.contains(&disk));
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
