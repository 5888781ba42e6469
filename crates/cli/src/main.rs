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

fn main() -> ExitCode {
    let cli = args::Cli::parse();
    match cmd::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("backstay: {failure}");
            ExitCode::from(failure.status())
        }
    }
}
