//! A virtual machine: QEMU without any help of the processor, so that it runs wherever the tests do.
//!
//! Never knows: what runs in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::fail::{During, Fail, Result};
use crate::image::Image;
use crate::programs::{program, run};

/// What a guest's kernel is told.
pub(crate) const KERNEL: &str = "root=/dev/vda ro console=ttyS0 loglevel=5 systemd.show_status=0 panic=1";

/// A disk of a guest.
pub(crate) struct Disk {
    /// Its serial number; the guest finds it under it.
    pub(crate) serial: String,
    pub(crate) file: PathBuf,
    pub(crate) format: &'static str,
    pub(crate) read_only: bool,
}

impl Disk {
    /// A new disk that is all zeros. Raw, so that the host can look at it and write to it while the guest is off.
    pub(crate) fn new(folder: &Path, serial: &str, bytes: u64) -> Result<Disk> {
        let file = folder.join(format!("{serial}.img"));
        fs::File::create(&file).and_then(|made| made.set_len(bytes)).during(file.display())?;
        Ok(Disk { serial: serial.into(), file, format: "raw", read_only: false })
    }

    /// A new disk of QEMU's own format, which keeps records of changes while the guest is off.
    pub(crate) fn qcow2(folder: &Path, serial: &str, bytes: u64) -> Result<Disk> {
        let file = folder.join(format!("{serial}.qcow2"));
        run(program("qemu-img").args(["create", "-q", "-f", "qcow2"]).arg(&file).arg(bytes.to_string()))?;
        Ok(Disk { serial: serial.into(), file, format: "qcow2", read_only: false })
    }

    /// A disk that begins as `base` and keeps its changes for itself.
    pub(crate) fn over(folder: &Path, serial: &str, base: &Path) -> Result<Disk> {
        let file = folder.join(format!("{serial}.qcow2"));
        let mut make = program("qemu-img");
        make.args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"]).arg(base).arg(&file);
        run(&mut make)?;
        Ok(Disk { serial: serial.into(), file, format: "qcow2", read_only: false })
    }

    fn arguments(&self) -> [String; 4] {
        let Disk { serial, file, format, read_only } = self;
        let read_only = if *read_only { ",readonly=on" } else { "" };
        let drive = format!("file={},if=none,id={serial},format={format},discard=unmap{read_only}", file.display());
        ["-drive".into(), drive, "-device".into(), format!("virtio-blk-pci,drive={serial},serial={serial}")]
    }
}

/// A machine that runs. Its power goes off when it is dropped.
pub(crate) trait Power {
    /// Waits until it has switched itself off.
    fn ended(&mut self, limit: Duration) -> Result<()>;

    /// The power goes off: what the guest had not written to its disks is lost.
    fn cut_power(&mut self) -> Result<()>;
}

/// A machine that is a process of ours.
pub(crate) struct Qemu {
    child: Child,
}

/// Where a machine's line, what it writes to its console, its agent and its monitors are found.
pub(crate) struct Ports {
    pub(crate) steer: PathBuf,
    pub(crate) console: PathBuf,
    pub(crate) agent: PathBuf,
    pub(crate) monitors: [PathBuf; 2],
}

impl Qemu {
    /// Starts a machine with these disks, in this order.
    pub(crate) fn start(image: &Image, disks: &[Disk], ports: &Ports) -> Result<Qemu> {
        let mut command = Command::new("qemu-system-x86_64");
        command.args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1024", "-machine", "q35"]);
        command.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
        command.arg("-kernel").arg(&image.kernel).arg("-initrd").arg(&image.initrd);
        command.args(["-append", KERNEL]);
        command.args(["-serial".into(), format!("file:{}", ports.console.display())]);
        command.args(["-chardev".into(), format!("socket,id=steer,path={},server=on,wait=off", ports.steer.display())]);
        command.args(["-device", "virtio-serial-pci", "-device", "virtserialport,chardev=steer,name=steer"]);
        let agent = format!("socket,id=agent,path={},server=on,wait=off", ports.agent.display());
        command.args(["-chardev", &agent]);
        command.args(["-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"]);
        for monitor in &ports.monitors {
            command.args(["-qmp".into(), format!("unix:{},server=on,wait=off", monitor.display())]);
        }
        command.args(["-device", "virtio-rng-pci"]);
        for disk in disks {
            command.args(disk.arguments());
        }
        drop(fs::remove_file(&ports.steer));
        let child = command.stdin(Stdio::null()).spawn().during("qemu-system-x86_64")?;
        Ok(Qemu { child })
    }
}

impl Power for Qemu {
    fn ended(&mut self, limit: Duration) -> Result<()> {
        let patience = Instant::now() + limit;
        while Instant::now() < patience {
            match self.child.try_wait().during("looking after QEMU")? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(Fail::new(format!("QEMU ended with {status}"))),
                None => std::thread::sleep(Duration::from_millis(100)),
            }
        }
        Err(Fail::new(format!("the guest did not switch itself off within {} s", limit.as_secs())))
    }

    fn cut_power(&mut self) -> Result<()> {
        self.child.kill().during("killing QEMU")?;
        self.child.wait().during("waiting for QEMU").map(drop)
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        // It may have ended; nothing is left to do about a failure here.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
