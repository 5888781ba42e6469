//! The one binary: reads the command line, wires the rooms together, and tells people what happened.
//!
//! Never knows: how anything is done. Words for people, hints and exit statuses are here and nowhere else.

mod args;
mod cause;
mod cmd;
mod config;
mod enrolment;
mod failure;
mod hours;
mod live;
mod log;
mod moment;
mod output;
mod outside;
mod progress;
mod rate;
mod remote;
mod renewal;
mod service;
mod source;
mod spec;
mod stop;
mod store;
mod target;

use std::process::ExitCode;

use clap::CommandFactory as _;
use clap::builder::StyledStr;
use clap::error::ErrorKind;

use crate::failure::Failure;
use crate::output::note;

fn main() -> ExitCode {
    // First thing, before anything is opened or started.
    if std::env::args_os().nth(1).is_some_and(|word| word == live::WATCHDOG) {
        return ended(live::watch());
    }
    if std::env::args_os().nth(1).is_some_and(|word| word == outside::WATCHDOG) {
        return ended(outside::watch());
    }
    match args::parse() {
        Ok(cli) => ended(cmd::run(cli)),
        Err(error) => no_command(&error),
    }
}

fn ended(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            note!("backstay: {failure}");
            ExitCode::from(failure.status())
        }
    }
}

/// Help and version that were asked for, or why the command line makes no sense, in one sentence.
fn no_command(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ended(output::text(&error.render().to_string())),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => help(&error.render()),
        // What clap takes for a command line if environment variables are set.
        ErrorKind::MissingSubcommand if std::env::args_os().len() == 1 => help(&args::Cli::command().render_help()),
        _ => ended(Err(failure::of_command_line(error))),
    }
}

/// Help for somebody who did not ask for it.
fn help(text: &StyledStr) -> ExitCode {
    note!("{}", text.to_string().trim_end());
    ExitCode::from(Failure::usage("").status())
}
