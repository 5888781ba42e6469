//! What is in which package.
//!
//! ```text
//!   backstay          the program, its manual pages, completions
//!   backstay-server   a unit, a user, server.toml
//!   backstay-agent    units, agent.toml
//! ```
//!
//! Never knows: how a package is written.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Release;
use super::deb::{About, Deb};
use crate::fail::{During, Fail, Result};
use crate::run;

const UNITS: &str = "usr/lib/systemd/system";

/// Makes all of them.
/// # Errors
/// One cannot be made.
pub(super) fn make(release: &Release<'_>) -> Result<Vec<PathBuf>> {
    Ok(vec![program(release)?, server(release)?, agent(release)?])
}

fn program(release: &Release<'_>) -> Result<PathBuf> {
    let deb = Deb::new(release, "backstay")?;
    deb.copy(release.program, "usr/bin/backstay", 0o755)?;
    let pages = tempfile::tempdir().during("a temporary folder")?;
    run::run(Command::new(release.program).arg("man").arg(pages.path()))?;
    for entry in fs::read_dir(pages.path()).during("manual pages")? {
        let entry = entry.during("manual pages")?;
        let page = fs::read(entry.path()).during("a manual page")?;
        deb.gzip(&format!("usr/share/man/man1/{}", entry.file_name().to_string_lossy()), &page)?;
    }
    for (shell, place) in [
        ("bash", "usr/share/bash-completion/completions/backstay"),
        ("zsh", "usr/share/zsh/vendor-completions/_backstay"),
        ("fish", "usr/share/fish/vendor_completions.d/backstay.fish"),
    ] {
        deb.write(place, 0o644, &run::output(Command::new(release.program).args(["completions", shell]))?)?;
    }
    documents(release, &deb, "backstay")?;
    deb.build(&About {
        depends: &libraries(release)?,
        more: "Recommends: fuse3\nSuggests: backstay-agent, backstay-server\n",
        section: "admin",
        what: "keeps servers recoverable at any moment",
        why: "Backstay captures every changed block of a live server's disks in near-real
              time, keeps them deduplicated, compressed and encrypted, and brings a machine,
              a disk or a file back as it was at any chosen moment.
              .
              This package has the program, which is all that is needed to protect disks into
              a store in a folder or a bucket, and to get them back.",
    })
}

fn server(release: &Release<'_>) -> Result<PathBuf> {
    let mut deb = Deb::new(release, "backstay-server")?;
    deb.copy(
        Path::new("packaging/systemd/backstay-server.service"),
        &format!("{UNITS}/backstay-server.service"),
        0o644,
    )?;
    deb.conffile(Path::new("packaging/etc/server.toml"), "etc/backstay/server.toml", 0o644)?;
    documents(release, &deb, "backstay-server")?;
    deb.build(&About {
        depends: &format!("backstay (= {}), adduser", release.version),
        more: "",
        section: "admin",
        what: "server that machines are backed up to with Backstay",
        why: "A service that takes the points of many machines over the network into one
              store, and that people see and steer in a browser.",
    })
}

fn agent(release: &Release<'_>) -> Result<PathBuf> {
    let mut deb = Deb::new(release, "backstay-agent")?;
    for unit in ["backstay-agent.service", "backstay-marks.service", "backstay-marks-first.service"] {
        deb.copy(&Path::new("packaging/systemd").join(unit), &format!("{UNITS}/{unit}"), 0o644)?;
    }
    let last = Path::new("packaging/systemd/backstay-marks.shutdown");
    deb.copy(last, "usr/lib/systemd/system-shutdown/backstay-marks", 0o755)?;
    // It may have passwords of databases in it.
    deb.conffile(Path::new("packaging/etc/agent.toml"), "etc/backstay/agent.toml", 0o600)?;
    documents(release, &deb, "backstay-agent")?;
    deb.build(&About {
        depends: &format!("backstay (= {})", release.version),
        more: "",
        section: "admin",
        what: "agent that protects this machine with Backstay",
        why: "A service that follows the changes of this machine's disks and sends them to a
              Backstay server: a consistent point every few seconds.",
    })
}

/// What every package has to say of itself.
fn documents(release: &Release<'_>, deb: &Deb<'_>, name: &str) -> Result<()> {
    let folder = format!("usr/share/doc/{name}");
    let date = run::text(Command::new("date").args(["--utc", "-R", "-d", &format!("@{}", release.epoch)]))?;
    let changes = format!(
        "backstay ({}) stable; urgency=medium\n\n  * See https://github.com/backstay/backstay/blob/main/CHANGELOG.md\n\n \
         -- Backstay <packages@backstay.invalid>  {date}",
        release.version
    );
    deb.gzip(&format!("{folder}/changelog"), changes.as_bytes())?;
    let mit = fs::read_to_string(run::root().join("LICENSE-MIT")).during("LICENSE-MIT")?;
    let crates = match name {
        "backstay" => {
            format!(
                "\nIt contains these crates, whose sources are at https://crates.io, under these licences:\n\n{}",
                crates()?
            )
        }
        _ => String::new(),
    };
    let copyright = format!(
        "Backstay may be used under the terms of the Apache License, version 2.0, which is in\n\
         /usr/share/common-licenses/Apache-2.0, or of the following, as you choose.\n\n{mit}{crates}"
    );
    deb.write(&format!("{folder}/copyright"), 0o644, copyright.as_bytes())
}

/// What the program is built from, with licences.
fn crates() -> Result<String> {
    let mut command = run::cargo();
    command.args(["tree", "--locked", "--package", "backstay-cli", "--edges", "normal", "--prefix", "none"]);
    let said = run::text(command.args(["--format", "{p}: {l}"]))?;
    let mut all: Vec<&str> =
        said.lines().filter(|line| !line.starts_with("backstay") && !line.contains("(*)")).collect();
    all.sort_unstable();
    all.dedup();
    match all.len() {
        0 => Err(Fail::new("cargo tree names no crates")),
        _ => Ok(all.iter().map(|line| format!("{line}\n")).collect()),
    }
}

/// Which packages have the libraries that the program wants, and of which version.
fn libraries(release: &Release<'_>) -> Result<String> {
    let home = tempfile::tempdir().during("a temporary folder")?;
    fs::create_dir(home.path().join("debian")).during("debian")?;
    let control = "Source: backstay\n\nPackage: backstay\nArchitecture: any\n";
    fs::write(home.path().join("debian/control"), control).during("debian/control")?;
    let mut command = Command::new("dpkg-shlibdeps");
    let said = run::text(command.current_dir(home.path()).arg("-O").arg("-e").arg(release.program))?;
    let found = said.lines().find_map(|line| line.strip_prefix("shlibs:Depends="));
    found.map(str::to_owned).ok_or_else(|| Fail::new("dpkg-shlibdeps names no libraries"))
}
