//! Packages over those of another version: what an administrator changed stays, and so does all data.
//!
//! Never knows: how packages are made.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::trial::{Root, demand};
use super::{Release, next, packages};
use crate::fail::{During, Result};
use crate::run;

/// What the newer version's settings have that the older one's have not.
const NEWS: &str = "# New in this version.\n";
const SERVER: &str = "etc/backstay/server.toml";
const AGENT: &str = "etc/backstay/agent.toml";

/// A newer version, and the older one again, which `given` are the packages of.
/// # Errors
/// What does not work.
pub(super) fn tried(root: &Root, release: &Release<'_>, given: &[&str]) -> Result<()> {
    let settings = root.path(SERVER);
    let changed = fs::read_to_string(&settings).during(settings.display())? + "job_hours = \"22:00-06:00\"\n";
    fs::write(&settings, &changed).during(settings.display())?;
    let key = root.path("var/lib/backstay/server/keys/store");
    let before = fs::read(&key).during(key.display())?;
    let stays = |what: &str| -> Result<()> {
        demand(fs::read_to_string(&settings).during("server.toml")? == changed, what, "it changed server.toml")?;
        demand(fs::read(&key).during("keys")? == before, what, "it changed the server's keys")
    };
    let newer = next(release.version);
    asked(root, &newer_debs(root, release, &newer)?)?;
    stays("an upgrade")?;
    versions(root, &newer)?;
    kept_and_new(root)?;
    // Whoever goes back is told by dpkg that it is that.
    root.run(&[&["dpkg", "--force-confold", "--install"], given].concat())?;
    stays("an older version")?;
    versions(root, release.version)
}

/// Settings that both changed are the administrator's to decide about: dpkg asks, and changes nothing if nobody answers.
fn asked(root: &Root, given: &[String]) -> Result<()> {
    let given: Vec<&str> = given.iter().map(String::as_str).collect();
    let said = root.command(&[&["dpkg", "--install"], &given[..]].concat()).output().during("dpkg")?;
    let text = String::from_utf8_lossy(&said.stderr);
    demand(!said.status.success() && text.contains("conffile prompt"), "nobody was asked about server.toml", &text)?;
    root.run(&["dpkg", "--force-confold", "--configure", "--pending"]).map(drop)
}

/// What the administrator wrote is kept, with the new one beside it; what they left alone is the new one.
fn kept_and_new(root: &Root) -> Result<()> {
    let has_news = |name: &str| fs::read_to_string(root.path(name)).during(name).map(|text| text.contains(NEWS));
    demand(has_news(&format!("{SERVER}.dpkg-dist"))?, "an upgrade", "the new server.toml is not beside the old")?;
    demand(has_news(AGENT)?, "an upgrade", "agent.toml, which nobody changed, is still the old one")?;
    let mode = fs::metadata(root.path(AGENT)).during(AGENT)?.permissions().mode() & 0o777;
    demand(mode == 0o600, "an upgrade: others can read passwords in agent.toml", &format!("{mode:o}"))
}

fn versions(root: &Root, version: &str) -> Result<()> {
    let all = ["backstay", "backstay-server", "backstay-agent"];
    let said =
        root.run(&[&["dpkg-query", "--show", "--showformat=${db:Status-Status} ${Version}\n"], &all[..]].concat())?;
    demand(said == format!("installed {version}\n").repeat(all.len()), "another version is there", &said)
}

/// Packages of a newer version, whose settings are others, in the Debian.
fn newer_debs(root: &Root, release: &Release<'_>, version: &str) -> Result<Vec<String>> {
    let home = tempfile::tempdir().during("a temporary folder")?;
    let debs = packages::make(&Release { version, folder: home.path(), ..*release })?;
    debs.iter().try_for_each(|deb| with_news(deb, home.path()))?;
    root.give(&debs)
}

/// Changes the settings in a package, if there are any.
fn with_news(deb: &PathBuf, home: &Path) -> Result<()> {
    let tree = home.join("changed");
    run::output(Command::new("dpkg-deb").arg("--raw-extract").arg(deb).arg(&tree))?;
    for name in [SERVER, AGENT] {
        let path = tree.join(name);
        if let Ok(text) = fs::read_to_string(&path) {
            fs::write(&path, text + NEWS).during(path.display())?;
        }
    }
    run::output(Command::new("dpkg-deb").args(["--root-owner-group", "-Zxz", "-z1", "--build"]).arg(&tree).arg(deb))?;
    fs::remove_dir_all(&tree).during(tree.display())
}
