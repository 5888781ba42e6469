//! Running other programs: loudly, and with the command line in every failure.
//!
//! Never knows: what the programs are for.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::fail::{During, Fail, Result};

/// The workspace's folder: where the root Cargo.toml lies.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Where Cargo puts what it builds: `CARGO_TARGET_DIR`, or `target` in the workspace.
pub(crate) fn cargo_target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// Where the scripts keep what they make. Always inside the workspace, so that a colleague finds the data of a
/// bench or a demo whatever `CARGO_TARGET_DIR` says.
pub(crate) fn keep(name: &str) -> PathBuf {
    root().join("target").join(name)
}

/// The `cargo` that started us, so that the same toolchain is used throughout.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Builds the program as the tests have it; where it lies.
///
/// With one of their targets, a small one, besides: what they use is then counted when Cargo settles on features, and nothing that they
/// built is built again with others, which takes minutes.
/// # Errors
/// It does not build.
pub(crate) fn built() -> Result<PathBuf> {
    run(cargo().args(["build", "--locked", "--workspace", "--bin", "backstay", "--test", "residue"]))?;
    Ok(cargo_target().join("debug/backstay"))
}

/// The command as one would type it, for messages.
pub(crate) fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|a| a.to_string_lossy().into_owned()));
    words.join(" ")
}

/// Runs to the end with our terminal.
/// # Errors
/// The program cannot be started, or ends with anything but 0.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = shown(command);
    let status = command.status().during(&line)?;
    if status.success() { Ok(()) } else { Err(Fail::new(format!("`{line}` ended with {status}"))) }
}

/// Runs to the end and answers what was printed on standard output.
/// # Errors
/// As [`run`]; the message then carries what was printed on standard error.
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>> {
    let line = shown(command);
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().during(&line)?;
    if status.success() {
        return Ok(stdout);
    }
    let said = String::from_utf8_lossy(&stderr);
    Err(Fail::new(format!("`{line}` ended with {status}\n{}{}", String::from_utf8_lossy(&stdout), said.trim_end())))
}

/// As [`output`], for text.
pub(crate) fn text(command: &mut Command) -> Result<String> {
    let line = shown(command);
    String::from_utf8(output(command)?).during(format!("output of `{line}`"))
}

/// Where a program lies, looking in PATH and in the places for administrators' programs.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|program| program.is_file())
}

/// A program of the administrator (`mkfs`, `losetup`), found even when /usr/sbin is not in PATH.
pub(crate) fn program(name: &str) -> Command {
    Command::new(find_program(name).unwrap_or_else(|| name.into()))
}

/// As [`program`], through `sudo` unless we are root.
pub(crate) fn as_root(name: &str) -> Result<Command> {
    let program = find_program(name).unwrap_or_else(|| name.into());
    if is_root()? {
        return Ok(Command::new(program));
    }
    let mut command = Command::new("sudo");
    command.arg(program);
    Ok(command)
}

/// Whether we may do everything.
pub(crate) fn is_root() -> Result<bool> {
    Ok(text(Command::new("id").arg("-u"))?.trim() == "0")
}
