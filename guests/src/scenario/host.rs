//! The product on the host, capturing a guest from outside, and what the host's programs say of its points.
//!
//! Never knows: how a guest is run.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::follow::time;
use crate::fail::{During, Fail, Result, ensure};
use crate::guest::Parts;
use crate::libvirt::Libvirt;
use crate::programs::{program, run};

/// How long to wait for points, or for an end.
const PATIENCE: Duration = Duration::from_secs(240);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(200);

const JUDGE: &str = include_str!("../inside/judge.sh");

/// A store on the host.
pub(super) struct Host<'a> {
    backstay: &'a Path,
    folder: &'a Path,
    /// What goes before a command.
    before: Vec<String>,
}

impl<'a> Host<'a> {
    /// With a new store.
    pub(super) fn new(parts: &'a Parts<'a>) -> Result<Host<'a>> {
        Host::behind(parts, Vec::new())
    }

    /// As [`Host::new`], where the folders of a libvirt of our own are seen.
    pub(super) fn inside(parts: &'a Parts<'a>, libvirt: &Libvirt) -> Result<Host<'a>> {
        Host::behind(parts, libvirt.inside())
    }

    fn behind(parts: &'a Parts<'a>, before: Vec<String>) -> Result<Host<'a>> {
        let host = Host { backstay: parts.backstay, folder: parts.folder, before };
        fs::write(host.path("passphrase"), "a passphrase\n").during("the passphrase")?;
        fs::write(host.path("judge.sh"), JUDGE).during("judge.sh")?;
        run(host.command().arg("init").arg(host.path("store")))?;
        Ok(host)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The program, ready to be told what to do.
    pub(super) fn command(&self) -> Command {
        self.command_of(self.backstay.as_os_str(), "store")
    }

    /// The program as run by a user who may not do much, with a store of their own.
    pub(super) fn as_user(&self, user: u32) -> Result<impl Fn() -> Command> {
        let make = move || {
            let mut command = self.command_of("setpriv".as_ref(), "store-of-user");
            // Where nobody may enter, there is a copy.
            command.args([&format!("--reuid={user}"), &format!("--regid={user}"), "--clear-groups"]);
            command.arg(self.path("tools").join("backstay"));
            command
        };
        run(make().arg("init").arg(self.path("store-of-user")))?;
        Ok(make)
    }

    fn command_of(&self, program: &OsStr, store: &str) -> Command {
        let mut words = self.before.iter().map(AsRef::as_ref).chain([program]);
        let mut command = Command::new(words.next().unwrap_or(program));
        command.args(words);
        command.env("BACKSTAY_STORE", self.path(store)).env("BACKSTAY_PASSPHRASE_FILE", self.path("passphrase"));
        command
    }

    /// Begins to protect a guest as machine `m`.
    pub(super) fn protect(&self, words: &[&str]) -> Result<Protecting> {
        let mut command = self.command();
        command.args(["protect", "--machine", "m"]).args(words);
        Protecting::start(command, self.path("protect.log"))
    }

    /// Begins to protect these disks of a guest that we run, with its agent.
    pub(super) fn protect_qemu(&self, disks: &[&str], more: &[&str]) -> Result<Protecting> {
        let source = format!("qemu:{}#{}", self.path("monitor").display(), disks.join(","));
        let agent = self.path("agent").to_string_lossy().into_owned();
        self.protect(&[&[&source, "--guest-agent", &agent], more].concat())
    }

    /// Waits until the hypervisor is about to hold disks of a guest that we run: its server is there, and next the guest is held still.
    pub(super) fn held(&self) -> Result<()> {
        let patience = Instant::now() + PATIENCE;
        while Instant::now() < patience {
            let entries = fs::read_dir(self.folder).during(self.folder.display())?;
            let mut names = entries.flatten().map(|entry| entry.file_name());
            if names.any(|name| name.to_string_lossy().ends_with(".nbd")) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Err(Fail::new("the disks are not held"))
    }

    /// The points of machine `m`.
    pub(super) fn points(&self) -> Result<Vec<Value>> {
        match run(self.command().args(["points", "m", "--json"])) {
            Ok(said) => serde_json::from_str(&said).during(&said),
            // There is no machine before its first point.
            Err(_) => Ok(Vec::new()),
        }
    }

    /// Waits until there are so many points more than `than`; answers all.
    pub(super) fn more_points(&self, protecting: &mut Protecting, than: usize, more: usize) -> Result<Vec<Value>> {
        let patience = Instant::now() + PATIENCE;
        loop {
            let points = self.points()?;
            if points.len() >= than + more {
                return Ok(points);
            }
            if Instant::now() > patience || protecting.has_ended()? {
                let log = protecting.log()?;
                return Err(Fail::new(format!("only {} points, {than} were there before\n{log}", points.len())));
            }
            std::thread::sleep(LOOK * 5);
        }
    }

    /// The disks of a point, each an ext4 as a whole, are clean without their journals, and the writers' files are whole. Answers the
    /// highest number of a file.
    pub(super) fn judge(&self, point: &Value, disks: &[&str]) -> Result<String> {
        let mut mounts = Vec::new();
        for disk in disks {
            let file = self.path(&format!("judged-{disk}"));
            let at = time(point);
            run(self.command().args(["restore", &format!("m:{disk}"), "--at", at, "--yes", "--to"]).arg(&file))?;
            let about = run(program("dumpe2fs").arg("-h").arg(&file))?;
            ensure(!about.contains("needs_recovery"), || format!("{disk} at {at} was not at rest:\n{about}"))?;
            run(program("e2fsck").args(["-f", "-n"]).arg(&file))?;
            mounts.push(Mounted::new(&file, &self.path(&format!("look-{disk}")))?);
        }
        for mount in &mounts {
            run(Command::new("sha256sum").args(["--quiet", "--check", "sums"]).current_dir(&mount.0))?;
        }
        let mut judge = Command::new("bash");
        judge.arg(self.path("judge.sh")).args(mounts.iter().map(|mount| &mount.0));
        run(&mut judge).map(|said| said.trim().to_owned())
    }
}

/// A restored disk, mounted to be looked at.
struct Mounted(PathBuf);

impl Mounted {
    fn new(file: &Path, at: &Path) -> Result<Mounted> {
        fs::create_dir_all(at).during(at.display())?;
        run(program("mount").args(["-o", "ro,loop"]).arg(file).arg(at))?;
        Ok(Mounted(at.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Err(why) = run(program("umount").arg(&self.0)) {
            eprintln!("guests: left mounted: {why}");
        }
    }
}

/// A `protect` under way. Killed when dropped.
pub(super) struct Protecting {
    child: Child,
    log: PathBuf,
}

impl Protecting {
    /// What it says goes to a new log.
    fn start(mut command: Command, log: PathBuf) -> Result<Protecting> {
        let out = File::create(&log).during(log.display())?;
        let err = out.try_clone().during(log.display())?;
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn().during("backstay")?;
        Ok(Protecting { child, log })
    }

    /// Of its process.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it said so far.
    pub(super) fn log(&self) -> Result<String> {
        fs::read_to_string(&self.log).during(self.log.display())
    }

    /// Waits until it said something.
    pub(super) fn wait_for(&mut self, words: &str) -> Result<()> {
        let patience = Instant::now() + PATIENCE;
        while !self.log()?.contains(words) {
            ensure(Instant::now() < patience && !self.has_ended()?, || {
                format!("it never said `{words}`:\n{}", self.log().unwrap_or_default())
            })?;
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Waits for its end; its exit status.
    pub(super) fn end(&mut self) -> Result<Option<i32>> {
        let patience = Instant::now() + PATIENCE;
        while Instant::now() < patience {
            if let Some(status) = self.child.try_wait().during("backstay")? {
                return Ok(status.code());
            }
            std::thread::sleep(LOOK);
        }
        Err(Fail::new(format!("it did not end:\n{}", self.log()?)))
    }

    /// Asks it to stop.
    pub(super) fn interrupt(mut self) -> Result<()> {
        run(Command::new("kill").args(["-s", "INT", &self.child.id().to_string()]))?;
        let status = self.end()?;
        ensure(status == Some(0), || format!("it ended with {status:?}:\n{}", self.log().unwrap_or_default()))
    }

    fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait().during("backstay")?.is_some())
    }
}

impl Drop for Protecting {
    fn drop(&mut self) {
        drop(self.child.kill()); // it has ended already, mostly
        drop(self.child.wait());
    }
}
