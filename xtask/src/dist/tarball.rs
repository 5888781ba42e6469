//! The tarball: one program that needs nothing of the system, units and settings to go with it.
//!
//! Never knows: packages.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Release;
use crate::fail::{During, Result};
use crate::run;

/// Makes it.
/// # Errors
/// A file cannot be read, or `tar` fails.
pub(super) fn make(release: &Release<'_>) -> Result<PathBuf> {
    let name = format!("backstay-{}-{}-static", release.version, std::env::consts::ARCH);
    let home = release.folder.join("tree");
    let tree = home.join(&name);
    if tree.exists() {
        fs::remove_dir_all(&tree).during(tree.display())?;
    }
    put(release.program, &tree.join("bin/backstay"), 0o755)?;
    run::run(Command::new(release.program).arg("man").arg(tree.join("share/man/man1")))?;
    for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
        put(&run::root().join(licence), &tree.join(licence), 0o644)?;
    }
    for folder in ["systemd", "etc"] {
        let from = run::root().join("packaging").join(folder);
        for entry in fs::read_dir(&from).during(from.display())? {
            let entry = entry.during(from.display())?;
            put(&entry.path(), &tree.join(folder).join(entry.file_name()), 0o644)?;
        }
    }
    let tar = release.folder.join(format!("{name}.tar.xz"));
    let mut command = Command::new("tar");
    command.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mode=go-w", "--xz"]);
    command.args(["--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime"]);
    command.arg(format!("--mtime=@{}", release.epoch)).arg("-C").arg(&home).arg("-cf").arg(&tar).arg(&name);
    run::run(&mut command)?;
    fs::remove_dir_all(&tree).during(tree.display())?;
    Ok(tar)
}

fn put(from: &Path, to: &Path, mode: u32) -> Result<()> {
    to.parent().map_or(Ok(()), fs::create_dir_all).during(to.display())?;
    fs::copy(from, to).during(from.display())?;
    fs::set_permissions(to, fs::Permissions::from_mode(mode)).during(to.display())
}
