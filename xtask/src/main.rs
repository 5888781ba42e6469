//! The only scripts of the project: `cargo xtask COMMAND`.
//!
//! Must never know: anything of the product but its command line, its test targets and the table of allowed arrows.

use std::process::ExitCode;

mod bench;
mod fail;
mod run;
mod setup;

use fail::{Fail, Result};

const USAGE: &str = "\
cargo xtask setup    installs what Debian must provide, and says what and why
cargo xtask bench    measures against restic, borg, rustic and casync";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            eprintln!("xtask: {cause}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<()> {
    let (command, rest) = arguments.split_first().ok_or_else(|| Fail::new(USAGE))?;
    match command.as_str() {
        "setup" => setup::install(setup::Set::Bench),
        "bench" => bench::main(rest),
        _ => Err(Fail::new(format!("no command `{command}`\n{USAGE}"))),
    }
}
