//! Manual pages and completions, made from the command line's definition.
//!
//! Never knows: what commands do.

use std::path::Path;

use clap::CommandFactory as _;

use crate::args::Cli;
use crate::failure::Failure;

pub(super) fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    clap_complete::generate(shell, &mut Cli::command(), "backstay", &mut std::io::stdout());
    Ok(())
}

pub(super) fn pages(dir: &Path) -> Result<(), Failure> {
    let fail = |e: std::io::Error| Failure::new(format!("manual pages cannot be written to {}: {e}", dir.display()));
    std::fs::create_dir_all(dir).map_err(fail)?;
    clap_mangen::generate_to(Cli::command(), dir).map_err(fail)
}
