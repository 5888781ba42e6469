//! Packages in a clean Debian: installed, upgraded, removed and purged; the static program where there is nothing else.
//!
//! The Debian is made by mmdebstrap once, and unpacked anew for each trial. What runs in it has its own mounts, processes and
//! network.
//!
//! Never knows: how packages are made.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Release, upgrade};
use crate::fail::{During, Fail, Result};
use crate::run;

/// What the Debian has besides what every Debian has: what packages may depend on, and systemd's tools.
const INCLUDE: &str = "adduser,systemd,libgcc-s1";

/// A Debian in a folder, removed when dropped.
pub(super) struct Root {
    home: tempfile::TempDir,
}

impl Root {
    fn new(release: &Release<'_>) -> Result<Root> {
        let tar = release.folder.join("clean.tar");
        if !tar.exists() {
            println!("dist: making a clean Debian (once)");
            let suite = run::text(Command::new("sh").args(["-c", ". /etc/os-release; echo $VERSION_CODENAME"]))?;
            let (new, include) = (release.folder.join("clean.new.tar"), format!("--include={INCLUDE}"));
            run::output(run::as_root("mmdebstrap")?.args(["--variant=minbase", &include, suite.trim()]).arg(&new))?;
            fs::rename(&new, &tar).during(tar.display())?;
        }
        let home = tempfile::tempdir_in(release.folder).during(release.folder.display())?;
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).during("the clean Debian")?;
        run::run(Command::new("tar").arg("-C").arg(home.path()).args(["--exclude=./dev/*", "-xf"]).arg(&tar))?;
        Ok(Root { home })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// A program in it.
    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--net", "--uts", "--ipc", "--kill-child", "chroot"]);
        command.arg(self.home.path()).args(words);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("DEBIAN_FRONTEND", "noninteractive");
        command.env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
        command
    }

    pub(super) fn run(&self, words: &[&str]) -> Result<String> {
        run::text(&mut self.command(words))
    }

    pub(super) fn give(&self, debs: &[PathBuf]) -> Result<Vec<String>> {
        let give = |deb: &PathBuf| {
            let name = format!("root/{}", deb.file_name().unwrap_or_default().to_string_lossy());
            fs::copy(deb, self.path(&name)).during(deb.display()).map(|_| format!("/{name}"))
        };
        debs.iter().map(give).collect()
    }

    pub(super) fn dpkg(&self, word: &str, names: &[&str]) -> Result<String> {
        self.run(&[&["dpkg", word][..], names].concat())
    }

    /// Everything in it, by name; not what dpkg itself notes.
    fn names(&self) -> Result<BTreeSet<String>> {
        let mut command = Command::new("find");
        command.current_dir(self.home.path()).args(["etc", "usr", "var/lib", "var/cache"]);
        let all = run::text(command.args(["-not", "-path", "var/lib/dpkg/*", "-not", "-path", "var/cache/ldconfig*"]))?;
        Ok(all.lines().map(str::to_owned).collect())
    }

    fn check(&self, name: &str, there: bool) -> Result<()> {
        match self.path(name).symlink_metadata().is_ok() == there {
            true => Ok(()),
            false => Err(Fail::new(format!("/{name} is {}there", if there { "not " } else { "" }))),
        }
    }
}

/// What must be so.
pub(super) fn demand(so: bool, what: &str, said: &str) -> Result<()> {
    if so { Ok(()) } else { Err(Fail::new(format!("{what}: {said}"))) }
}

/// Tries the packages.
/// # Errors
/// What does not work.
pub(super) fn debs(release: &Release<'_>, debs: &[PathBuf]) -> Result<()> {
    lint(debs)?;
    let root = Root::new(release)?;
    let before = root.names()?;
    let given = root.give(debs)?;
    let given: Vec<&str> = given.iter().map(String::as_str).collect();
    root.dpkg("--install", &given)?;
    installed(&root, release)?;
    serves(&root)?;
    described(&root)?;
    upgrade::tried(&root, release, &given)?;
    root.dpkg("--remove", &["backstay-agent", "backstay-server", "backstay"])?;
    for left in ["etc/backstay/server.toml", "var/lib/backstay/server/keys/store", "var/lib/backstay/agent/server.json"]
    {
        root.check(left, true)?;
    }
    root.check("usr/bin/backstay", false)?;
    let said = root.dpkg("--purge", &["backstay-agent", "backstay-server", "backstay"])?;
    demand(said.contains("/var/lib/backstay/server was left"), "purging does not say what it leaves", &said)?;
    root.check("var/lib/backstay/server/keys/store", true)?;
    root.check("var/lib/backstay/agent", false)?;
    let known = |name: &String| {
        name.starts_with("var/lib/backstay") || name.starts_with("etc/passwd") || name.starts_with("etc/group")
    };
    let shadow =
        |name: &String| ["etc/shadow", "etc/gshadow", "etc/subuid", "etc/subgid"].iter().any(|s| name.starts_with(s));
    let more: Vec<String> =
        root.names()?.difference(&before).filter(|name| !known(name) && !shadow(name)).cloned().collect();
    demand(more.is_empty(), "left after purging", &more.join(" "))?;
    println!("dist: installed, upgraded, removed and purged in a clean Debian");
    Ok(())
}

/// What is there once they are installed, and what is enabled.
fn installed(root: &Root, release: &Release<'_>) -> Result<()> {
    let said = root.run(&["backstay", "--version"])?;
    demand(said.contains(release.version), "the program says another version", &said)?;
    let said = root.run(&["dpkg", "--verify", "backstay", "backstay-server", "backstay-agent"])?;
    demand(said.is_empty(), "files are not as they were packed", &said)?;
    let said = root.run(&["getent", "passwd", "backstay"])?;
    demand(said.contains("nologin"), "the server's user can log in", &said)?;
    let wants = "etc/systemd/system/multi-user.target.wants";
    root.check(&format!("{wants}/backstay-agent.service"), true)?;
    root.check("etc/systemd/system/sysinit.target.wants/backstay-marks.service", true)?;
    root.check(&format!("{wants}/backstay-server.service"), false)?;
    let mode = fs::metadata(root.path("etc/backstay/agent.toml")).during("agent.toml")?.permissions().mode() & 0o777;
    demand(mode == 0o600, "others can read passwords in agent.toml", &format!("{mode:o}"))?;
    for unit in ["backstay-server", "backstay-agent", "backstay-marks", "backstay-marks-first"] {
        root.run(&["systemd-analyze", "verify", "--man=no", &format!("{unit}.service")])?;
    }
    Ok(())
}

/// Every command has a manual page, and a shell completes it.
fn described(root: &Root) -> Result<()> {
    let help = root.run(&["backstay", "help"])?;
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let named = listed.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    let commands: Vec<&str> =
        named.filter_map(|line| line.split_whitespace().next()).filter(|c| *c != "help").collect();
    demand(commands.contains(&"server") && commands.contains(&"agent"), "commands are missing in the help", &help)?;
    for command in &commands {
        root.check(&format!("usr/share/man/man1/backstay-{command}.1.gz"), true)?;
    }
    let complete = ". /usr/share/bash-completion/completions/backstay
        COMP_WORDS=(backstay '') COMP_CWORD=1; _backstay backstay '' backstay; printf '%s\n' \"${COMPREPLY[@]}\"";
    let offered = root.run(&["bash", "-c", complete])?;
    let missing = commands.iter().find(|command| !offered.lines().any(|word| word == **command));
    demand(missing.is_none(), "bash does not complete a command", missing.map_or("", |command| command))
}

/// A server as its unit starts it, as its user, until it is asked to end; and an agent that is not enrolled.
fn serves(root: &Root) -> Result<()> {
    let server =
        ["/usr/bin/backstay", "server", "--data", "/var/lib/backstay/server", "--config", "/etc/backstay/server.toml"];
    root.run(&[&server[..], &["--check-config"]].concat())?;
    root.run(&["install", "-d", "-o", "backstay", "-g", "backstay", "-m", "0700", "/var/lib/backstay/server"])?;
    let user =
        ["setpriv", "--reuid=backstay", "--regid=backstay", "--clear-groups", "--no-new-privs", "--bounding-set=-all"];
    // In the foreground: else it gets the signal twice, of which the second one ends it at once.
    let until = ["timeout", "--foreground", "--preserve-status", "--signal=TERM", "20"];
    let said = root.run(&[&until[..], &user, &server].concat())?;
    demand(said.contains("setup code") && said.contains("has ended"), "the server does not begin and end", &said)?;
    let known = root.path("var/lib/backstay/agent");
    fs::create_dir_all(&known).during(known.display())?;
    fs::write(known.join("server.json"), "{}").during(known.display())?;
    let said = root.command(&["backstay", "agent"]).output().during("an agent")?;
    demand(!said.status.success(), "an agent that is not enrolled", &String::from_utf8_lossy(&said.stderr))
}

/// What Debian's judge says of packages; what it only dislikes is shown.
fn lint(debs: &[PathBuf]) -> Result<()> {
    let mut command = Command::new("lintian");
    command.args(["--fail-on=error", "--allow-root", "--suppress-tags", "bogus-mail-host"]).args(debs);
    run::run(&mut command)
}

/// The static program in a folder with nothing else but what the kernel shows in /proc: a store, a point, its bytes again.
/// # Errors
/// What does not work.
pub(super) fn tarball(tar: &Path) -> Result<()> {
    let home = tempfile::tempdir().during("a temporary folder")?;
    run::run(Command::new("tar").arg("-C").arg(home.path()).args(["--strip-components=1", "-xf"]).arg(tar))?;
    fs::write(home.path().join("passphrase"), "correct horse\n").during("passphrase")?;
    fs::create_dir(home.path().join("proc")).during("proc")?;
    let image: Vec<u8> = (0..1_u32 << 20).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    fs::write(home.path().join("disk"), &image).during("disk")?;
    let run = |words: &[&str]| -> Result<()> {
        let mut command = Command::new("unshare");
        let mut mount = std::ffi::OsString::from("--mount-proc=");
        mount.push(home.path().join("proc"));
        command.args(["--mount", "--pid", "--fork", "--kill-child"]).arg(mount).arg("chroot");
        command.arg(home.path()).arg("/bin/backstay").args(words).env_clear();
        command.env("BACKSTAY_STORE", "/store").env("BACKSTAY_PASSPHRASE_FILE", "/passphrase").env("HOME", "/");
        run::output(&mut command).map(|_| ())
    };
    run(&["init", "/store"])?;
    run(&["protect", "/disk", "--machine", "m", "--once"])?;
    run(&["restore", "m", "--to", "/again", "--yes"])?;
    run(&["check", "--read-data"])?;
    demand(
        fs::read(home.path().join("again")).during("again")? == image,
        "the static program",
        "other bytes came back",
    )?;
    println!("dist: the static program works where there is nothing else");
    Ok(())
}
