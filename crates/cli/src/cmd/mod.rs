//! The commands.
//!
//! Never knows: rooms' insides.

mod agent;
mod audit;
mod enroll;
mod files;
mod forget;
mod gaps;
mod init;
mod integrity;
mod key;
mod known;
mod list;
mod login;
mod manual;
mod mount;
mod protect;
mod restore;
mod serve;
mod server;
mod suspend;
mod there;

use crate::args::{Cli, Command, Marks};
use crate::failure::Failure;
use crate::remote::Remote;
use crate::{live, store};

/// Runs a command.
pub(crate) fn run(cli: Cli) -> Result<(), Failure> {
    if there::does(&cli.command)
        && let Some(remote) = Remote::of(&cli.common)?
    {
        return there::run(cli, &remote);
    }
    let common = &cli.common;
    match cli.command {
        Command::Init { location } => init::run(common, &location),
        Command::Protect(args) => protect::run(common, &args),
        Command::Agent(args) => agent::run(common, args),
        Command::Enroll(args) => enroll::run(common, &args),
        Command::Machines => store::reading(common, |vault| list::machines(common, vault)),
        Command::Points { machine, limit } => {
            store::reading(common, |vault| list::points(common, vault, (&machine, limit)))
        }
        Command::Show(at) => store::reading(common, |vault| list::show(common, vault, &at)),
        Command::Suspend(args) => suspend::suspend(common, &args),
        Command::Resume { machine } => suspend::resume(common, &machine),
        Command::Restore(args) => restore::run(common, &args),
        Command::Mount { at, dir, allow_other } => {
            store::reading(common, |vault| mount::run(common, vault, &at, &dir, allow_other))
        }
        Command::Server(args) => server::run(common, &args),
        Command::Serve { at, listen, allow_plain } => serve::run(common, &at, &listen, allow_plain),
        Command::Files { command } => store::reading(common, |vault| files::run(common, vault, &command)),
        Command::Check { read_data } => integrity::check(common, read_data),
        Command::Forget(args) => forget::run(common, &args),
        Command::Reclaim { yes, dry_run } => integrity::reclaim(common, yes, dry_run),
        Command::Key { command } => key::run(common, &command),
        Command::Marks { command: Marks::Save { last: false } } => live::save(),
        Command::Marks { command: Marks::Save { last: true } } => live::save_last(),
        Command::Marks { command: Marks::Load { first: false } } => live::load(),
        Command::Marks { command: Marks::Load { first: true } } => live::load_first(),
        Command::Login(args) => login::login(common, &args),
        Command::Logout { url } => login::logout(common, &url),
        Command::Enrolments { .. } | Command::Jobs { .. } => Remote::needed(common).map(drop),
        Command::Audit { command } => audit::run(common, &command),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { dir } => manual::pages(&dir),
    }
}
