//! What systemd says of the units: whether they make sense, and what a service that was taken over could do.
//!
//! Never knows: what the services do.

use std::process::Command;

use crate::fail::Result;
use crate::run;

/// Units, and how exposed each may be, in tenths. An agent cannot be shut in: its unit says why.
const MOST: &[(&str, u32)] = &[("backstay-server.service", 15), ("backstay-agent.service", 50)];

/// Judges them.
/// # Errors
/// A unit may do more than it should.
pub(super) fn judge() -> Result<()> {
    for (unit, most) in MOST {
        let path = run::root().join("packaging/systemd").join(unit);
        let mut command = Command::new("systemd-analyze");
        command.args(["security", "--offline=yes", "--no-pager", &format!("--threshold={most}")]).arg(path);
        let said = run::text(&mut command)?;
        let last = said.lines().rev().find(|line| line.contains("exposure level")).unwrap_or_default();
        println!("dist: {}", last.trim_start_matches(|c: char| !c.is_ascii_alphabetic()));
    }
    Ok(())
}
