//! A guest under way: its disks, its start and end, and commands to it.
//!
//! Never knows: what is tried in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::fail::{During, Fail, Result};
use crate::image::Image;
use crate::libvirt::Libvirt;
use crate::line::{Answer, Line};
use crate::programs::{program, run};
use crate::qemu::{Disk, Ports, Power, Qemu};

/// How long a start or an end may take without any help of the processor.
const START: Duration = Duration::from_secs(300);
/// How long any one command may take.
const COMMAND: Duration = Duration::from_secs(300);

/// What guests of a scenario are made of.
pub(crate) struct Parts<'a> {
    pub(crate) image: &'a Image,
    /// The program that is tried.
    pub(crate) backstay: &'a Path,
    /// Packages of it, if there are any: of this version in `this`, of a newer one in `next`.
    pub(crate) packages: &'a Path,
    /// What goes away when the scenario has ended.
    pub(crate) folder: &'a Path,
}

/// A machine with disks, running or not.
pub(crate) struct Guest<'a> {
    parts: &'a Parts<'a>,
    disks: Vec<Disk>,
    /// Who runs it, if not we.
    libvirt: Option<&'a Libvirt>,
    running: Option<(Box<dyn Power>, Line)>,
    starts: u32,
}

impl<'a> Guest<'a> {
    /// A machine with a root disk of its own, disks of these sizes as /dev/vdb and so on, and the tools. Starts it.
    pub(crate) fn start(parts: &'a Parts<'a>, mebibytes: &[u64]) -> Result<Guest<'a>> {
        Guest::start_with(parts, mebibytes, Disk::new, None)
    }

    /// As [`Guest::start`], with disks in QEMU's own format.
    pub(crate) fn start_on_qcow2(parts: &'a Parts<'a>, mebibytes: &[u64]) -> Result<Guest<'a>> {
        Guest::start_with(parts, mebibytes, Disk::qcow2, None)
    }

    /// As [`Guest::start_on_qcow2`], as a domain of libvirt's.
    pub(crate) fn start_in(parts: &'a Parts<'a>, mebibytes: &[u64], libvirt: &'a Libvirt) -> Result<Guest<'a>> {
        Guest::start_with(parts, mebibytes, Disk::qcow2, Some(libvirt))
    }

    fn start_with(
        parts: &'a Parts<'a>,
        mebibytes: &[u64],
        make: impl Fn(&Path, &str, u64) -> Result<Disk>,
        libvirt: Option<&'a Libvirt>,
    ) -> Result<Guest<'a>> {
        let mut disks = vec![Disk::over(parts.folder, "root", &parts.image.root)?];
        for (letter, size) in ('b'..).zip(mebibytes) {
            disks.push(make(parts.folder, &format!("disk-{letter}"), size << 20)?);
        }
        disks.push(tools(parts)?);
        let mut guest = Guest { parts, disks, libvirt, running: None, starts: 0 };
        guest.power_on()?;
        Ok(guest)
    }

    /// Starts it, again. Answers the name of this run.
    pub(crate) fn power_on(&mut self) -> Result<String> {
        self.starts += 1;
        let at = |name: &str| self.parts.folder.join(name);
        let ports = Ports {
            steer: at("steer"),
            console: self.console(),
            agent: at("agent"),
            monitors: [at("monitor"), at("monitor-2")],
        };
        let machine: Box<dyn Power> = match self.libvirt {
            None => Box::new(Qemu::start(self.parts.image, &self.disks, &ports)?),
            Some(libvirt) => Box::new(libvirt.start(self.parts.image, &self.disks, &ports)?),
        };
        let mut line = Line::open(&ports.steer)?;
        let boot = line.ready(START).map_err(|fail| self.with_console(&fail))?;
        self.running = Some((machine, line));
        Ok(boot)
    }

    /// Has it shut down as an administrator would, and waits until it has.
    pub(crate) fn shut_down(&mut self) -> Result<()> {
        let (mut machine, mut line) = self.take()?;
        line.send("systemctl --no-block poweroff")?;
        machine.ended(START).map_err(|fail| self.with_console(&fail))
    }

    /// Takes its power away.
    pub(crate) fn cut_power(&mut self) -> Result<()> {
        self.take()?.0.cut_power()
    }

    /// Runs a script of bash in it; answers what it printed.
    ///
    /// # Errors
    /// It ended with anything but 0.
    pub(crate) fn run(&mut self, script: &str) -> Result<String> {
        let Answer { status, said } = self.ask(script)?;
        match status {
            0 => Ok(said),
            status => Err(Fail::new(format!("in the guest, with status {status}:\n{script}\n{said}"))),
        }
    }

    /// As [`Guest::run`], whatever the status.
    pub(crate) fn ask(&mut self, script: &str) -> Result<Answer> {
        let console = self.console();
        let (_, line) = self.running.as_mut().ok_or_else(|| Fail::new("the guest is off"))?;
        // One that does not end is ended there, so that it is seen how far it came.
        let limit = COMMAND.as_secs() - 20;
        let limited = format!("timeout --kill-after=5 {limit} bash <<'end of script'\n{script}\nend of script\n");
        line.run(&limited, COMMAND).map_err(|fail| with_console(&console, &fail)).during(script)
    }

    /// Runs a command of ours.
    pub(crate) fn backstay(&mut self, command: &str) -> Result<String> {
        self.run(&format!("{SETTINGS}\n/tools/backstay {command}"))
    }

    /// The file behind a disk, such as `b`; only while the guest is off.
    pub(crate) fn file(&self, letter: char) -> Result<&Path> {
        let serial = format!("disk-{letter}");
        let found = self.disks.iter().find(|disk| disk.serial == serial && self.running.is_none());
        found.map(|disk| disk.file.as_path()).ok_or_else(|| Fail::new(format!("no disk {letter}, or in use")))
    }

    fn take(&mut self) -> Result<(Box<dyn Power>, Line)> {
        self.running.take().ok_or_else(|| Fail::new("the guest is off"))
    }

    fn console(&self) -> PathBuf {
        self.parts.folder.join(format!("console-{}", self.starts))
    }

    /// The last lines of its console before the start under way.
    pub(crate) fn said(&self) -> String {
        let before = self.parts.folder.join(format!("console-{}", self.starts.saturating_sub(1)));
        last_lines(&before)
    }

    fn with_console(&self, fail: &Fail) -> Fail {
        with_console(&self.console(), fail)
    }
}

/// Where a store is in a guest, and what opens it. Commands are steered as root without any environment.
pub(crate) const SETTINGS: &str =
    "export BACKSTAY_STORE=/var/lib/backstay/store BACKSTAY_PASSPHRASE_FILE=/var/lib/backstay/passphrase";

/// The last lines of the console tell why a guest does not answer.
fn with_console(console: &Path, fail: &Fail) -> Fail {
    Fail::new(format!("{fail}\nthe console's last lines:\n{}", last_lines(console)))
}

fn last_lines(console: &Path) -> String {
    let text = fs::read(console).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

/// What the guest is given: our program, packages and scripts, on a disk of its own, as the program changes and the image does not.
fn tools(parts: &Parts<'_>) -> Result<Disk> {
    let (tree, file) = (parts.folder.join("tools"), parts.folder.join("tools.img"));
    fs::create_dir(&tree).during(tree.display())?;
    let program_there = tree.join("backstay");
    fs::copy(parts.backstay, &program_there).during(parts.backstay.display())?;
    run(program("strip").arg(&program_there))?;
    for (name, text) in SCRIPTS {
        fs::write(tree.join(name), text).during(name)?;
    }
    if parts.packages.exists() {
        run(program("cp").arg("--recursive").arg(parts.packages).arg(&tree))?;
    }
    run(program("mke2fs").args(["-q", "-t", "ext4", "-m", "0", "-d"]).arg(&tree).arg(&file).arg("256M"))?;
    Ok(Disk { serial: "tools".into(), file, format: "raw", read_only: true })
}

const SCRIPTS: &[(&str, &str)] = &[
    ("stack.sh", include_str!("inside/stack.sh")),
    ("writer.sh", include_str!("inside/writer.sh")),
    ("judge.sh", include_str!("inside/judge.sh")),
    ("backstay-marks-first.service", include_str!("../../packaging/systemd/backstay-marks-first.service")),
    ("backstay-marks.shutdown", include_str!("../../packaging/systemd/backstay-marks.shutdown")),
    ("backstay-marks.service", include_str!("../../packaging/systemd/backstay-marks.service")),
];
