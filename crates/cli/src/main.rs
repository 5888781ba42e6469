//! The one binary: reads the command line, wires the rooms together, and tells people what happened.
//!
//! Never knows: how anything is done. Words for people, hints and exit statuses are here and nowhere else.

mod args;
mod cmd;
mod failure;
mod moment;
mod output;
mod progress;
mod source;
mod spec;
mod stop;
mod store;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::failure::Failure;
use crate::output::note;

fn main() -> ExitCode {
    match args::Cli::try_parse() {
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
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            note!("{}", error.render().to_string().trim_end());
            ExitCode::from(Failure::usage("").status())
        }
        _ => ended(Err(failure::of_command_line(error))),
    }
}
