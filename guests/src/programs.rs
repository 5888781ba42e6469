//! Programs of the host, run to their end.
//!
//! Never knows: what they are for.

use std::process::{Command, Stdio};

use crate::fail::{During, Fail, Result};

/// Runs a program; answers what it printed.
///
/// # Errors
/// It cannot be started, or ends with anything but 0; the message then carries what it said.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let done = command.stdin(Stdio::null()).output().during(&name)?;
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    match done.status.success() {
        true => Ok(said),
        false => {
            let why = String::from_utf8_lossy(&done.stderr);
            Err(Fail::new(format!("{name} ended with {}\n{said}{why}", done.status)))
        }
    }
}

/// A program, found also where administrators' programs are.
pub(crate) fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}
