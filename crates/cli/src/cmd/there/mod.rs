//! Commands through a server: the same words as on a store, and nothing that a server's API does not have.
//!
//! Never knows: stores.

mod files;
mod log;
mod look;
mod machines;
mod restore;
mod work;

use crate::args::{Audit, Cli, Command};
use crate::failure::Failure;
use crate::remote::Remote;

/// Whether a command can be done through a server.
pub(super) fn does(command: &Command) -> bool {
    matches!(
        command,
        Command::Machines
            | Command::Points { .. }
            | Command::Show(_)
            | Command::Suspend(_)
            | Command::Resume { .. }
            | Command::Restore(_)
            | Command::Files { .. }
            | Command::Check { .. }
            | Command::Forget(_)
            | Command::Reclaim { .. }
            | Command::Enrolments { .. }
            | Command::Jobs { .. }
            | Command::Audit { command: Audit::Show { dir: None, .. } }
    )
}

/// Runs a command through a server.
pub(super) fn run(cli: Cli, remote: &Remote) -> Result<(), Failure> {
    let common = &cli.common;
    match cli.command {
        Command::Machines => machines::machines(common, remote),
        Command::Points { machine, limit } => machines::points(common, remote, (&machine, limit)),
        Command::Show(at) => look::show(common, remote, &at),
        Command::Suspend(args) => machines::suspend(common, remote, &args),
        Command::Resume { machine } => machines::resume(common, remote, &machine),
        Command::Restore(args) => restore::run(common, remote, &args),
        Command::Files { command } => files::run(common, remote, &command),
        Command::Check { read_data } => work::check(common, remote, read_data),
        Command::Forget(args) => work::forget(common, remote, &args),
        Command::Reclaim { yes, dry_run } => work::reclaim(common, remote, (yes, dry_run)),
        Command::Enrolments { command } => machines::enrolments(common, remote, &command),
        Command::Jobs { command } => work::jobs(common, remote, command.as_ref()),
        Command::Audit { command: Audit::Show { dir: None, names_key: None, from, no_heartbeats } } => {
            log::show(common, remote, (from, no_heartbeats))
        }
        _ => Err(Failure::usage("this is done on a store itself, or here; not through a server")),
    }
}
