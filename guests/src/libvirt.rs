//! A libvirt of our own: its folders are in memory and seen by nobody else, so that no system's libvirt is touched. QEMU runs as a
//! user without rights, as in a system.
//!
//! Never knows: what runs in a domain.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::fail::{During, Fail, Result, ensure};
use crate::image::Image;
use crate::programs::{program, run};
use crate::qemu::{Disk, KERNEL, Ports, Power};

/// The name of the domain.
pub(crate) const DOMAIN: &str = "web";
/// Whom QEMU runs as.
pub(crate) const NOBODY: u32 = 65534;

const START: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(100);

/// Starts the daemon; `$1` is a folder for what it says. Its parent takes in the orphans that it leaves (`PR_SET_CHILD_SUBREAPER`): where
/// process 1 is slow to do that, as in containers, libvirt waits for them for minutes.
const DAEMON: &str = r#"set -e
for folder in /run/libvirt /var/lib/libvirt /var/cache/libvirt /var/log/libvirt /etc/libvirt; do
    mkdir -p $folder && mount -t tmpfs -o mode=755 none $folder
done
# It does not start where these are unknown, and then does not use them.
for file in passwd group; do cp /etc/$file "$1/$file" && mount --bind "$1/$file" /etc/$file; done
getent passwd libvirt-qemu >/dev/null || echo 'libvirt-qemu:x:64055:64055::/:/usr/sbin/nologin' >>/etc/passwd
for group in libvirt-qemu:x:64055: kvm:x:64056:; do
    getent group ${group%%:*} >/dev/null || echo $group >>/etc/group
done
cat >/etc/libvirt/qemu.conf <<end
user = "+65534"
group = "+65534"
dynamic_ownership = 0
security_driver = "none"
stdio_handler = "file"
cgroup_controllers = []
namespaces = []
end
printf 'auth_unix_rw = "none"\nunix_sock_rw_perms = "0700"\n' >/etc/libvirt/libvirtd.conf
REAPER='syscall(157, 36, 1, 0, 0, 0); my $pid = fork // die; exec @ARGV if !$pid; $SIG{TERM} = sub { kill 9, $pid };
    while (1) { my $gone = wait; last if $gone == $pid || ($gone < 0 && $! != 4) }'
exec perl -e "$REAPER" libvirtd --config /etc/libvirt/libvirtd.conf --pid-file "$1/libvirtd.pid""#;

/// A libvirt daemon. Ended when dropped; so is its domain.
pub(crate) struct Libvirt {
    child: Child,
    folder: PathBuf,
}

impl Libvirt {
    /// Starts one. What it makes and writes down is in `folder`, which QEMU is let into.
    pub(crate) fn new(folder: &Path) -> Result<Libvirt> {
        chown(folder, Some(NOBODY), Some(NOBODY)).during(folder.display())?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).during(folder.display())?;
        let log = fs::File::create(folder.join("libvirtd.log")).during("libvirtd.log")?;
        let mut command = program("unshare");
        command.args(["--mount", "--propagation", "private", "bash", "-c", DAEMON, "libvirtd"]).arg(folder);
        let child = command.stdin(Stdio::null()).stderr(log).spawn().during("libvirtd")?;
        let libvirt = Libvirt { child, folder: folder.to_owned() };
        let patience = Instant::now() + START;
        while let Err(why) = libvirt.virsh(&["version"]) {
            ensure(Instant::now() < patience, || format!("libvirtd: {why}\n{}", libvirt.log()))?;
            std::thread::sleep(LOOK);
        }
        Ok(libvirt)
    }

    /// What goes before a command that is to see its folders.
    pub(crate) fn inside(&self) -> Vec<String> {
        ["nsenter", "--mount", "--target", &self.child.id().to_string(), "--"].map(str::to_owned).to_vec()
    }

    /// Asks it.
    pub(crate) fn virsh(&self, words: &[&str]) -> Result<String> {
        let inside = self.inside();
        run(Command::new(&inside[0]).args(&inside[1..]).arg("virsh").args(words))
    }

    /// Starts the domain with these disks, in this order.
    pub(crate) fn start(&self, image: &Image, disks: &[Disk], ports: &Ports) -> Result<Domain> {
        for file in disks.iter().map(|disk| &disk.file).filter(|file| file.starts_with(&self.folder)) {
            chown(file, Some(NOBODY), Some(NOBODY)).during(file.display())?;
        }
        for file in [&image.root, &image.kernel, &image.initrd] {
            fs::set_permissions(file, fs::Permissions::from_mode(0o644)).during(file.display())?;
        }
        let described = self.folder.join("domain.xml");
        fs::write(&described, describe(DOMAIN, image, disks, ports)).during(described.display())?;
        let domain = Domain { inside: self.inside() };
        self.virsh(&["create", &described.to_string_lossy()])
            .map_err(|why| Fail::new(format!("{why}\n{}", self.log())))?;
        Ok(domain)
    }

    /// Knows of a domain that is off.
    pub(crate) fn define(&self, name: &str, image: &Image, ports: &Ports) -> Result<()> {
        let described = self.folder.join("other.xml");
        fs::write(&described, describe(name, image, &[], ports)).during(described.display())?;
        self.virsh(&["define", &described.to_string_lossy()]).map(drop)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("libvirtd.log")).unwrap_or_default()
    }
}

impl Drop for Libvirt {
    fn drop(&mut self) {
        // The domain may be off; nothing is left to do about a failure here.
        drop(self.virsh(&["destroy", DOMAIN]));
        drop(run(Command::new("kill").args(["-s", "TERM", &self.child.id().to_string()])));
        drop(self.child.wait());
    }
}

/// The running domain.
pub(crate) struct Domain {
    inside: Vec<String>,
}

impl Domain {
    fn virsh(&self, words: &[&str]) -> Result<String> {
        run(Command::new(&self.inside[0]).args(&self.inside[1..]).arg("virsh").args(words))
    }
}

impl Power for Domain {
    fn ended(&mut self, limit: Duration) -> Result<()> {
        let patience = Instant::now() + limit;
        // A domain that is not defined is unknown once it is off.
        while self.virsh(&["domstate", DOMAIN]).is_ok() {
            ensure(Instant::now() < patience, || "the domain did not switch itself off".into())?;
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Not as libvirt would do it, which lets QEMU put down what it knows.
    fn cut_power(&mut self) -> Result<()> {
        let kill = format!("kill -s KILL $(cat /run/libvirt/qemu/{DOMAIN}.pid)");
        run(Command::new(&self.inside[0]).args(&self.inside[1..]).args(["bash", "-c", &kill]))?;
        self.ended(START)
    }
}

impl Drop for Domain {
    fn drop(&mut self) {
        drop(self.virsh(&["destroy", DOMAIN])); // it may be off
    }
}

fn describe(name: &str, image: &Image, disks: &[Disk], ports: &Ports) -> String {
    let disks: String = ('a'..).zip(disks).map(|(letter, disk)| describe_disk(letter, disk)).collect();
    format!(
        "<domain type='qemu'><name>{name}</name><memory unit='MiB'>1024</memory><vcpu>2</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type><kernel>{}</kernel><initrd>{}</initrd><cmdline>{KERNEL}</cmdline></os>
<features><acpi/></features><cpu mode='maximum'/><on_reboot>destroy</on_reboot>
<devices>{disks}
<serial type='file'><source path='{}'/></serial>
<channel type='unix'><source mode='bind' path='{}'/><target type='virtio' name='steer'/></channel>
<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
<controller type='usb' model='none'/><memballoon model='none'/>
</devices></domain>
",
        image.kernel.display(),
        image.initrd.display(),
        ports.console.display(),
        ports.steer.display(),
    )
}

fn describe_disk(letter: char, disk: &Disk) -> String {
    let Disk { serial, file, format, read_only } = disk;
    let read_only = if *read_only { "<readonly/>" } else { "" };
    format!(
        "<disk type='file' device='disk'><driver name='qemu' type='{format}' discard='unmap'/><source file='{}'/>\
         <target dev='vd{letter}' bus='virtio'/><serial>{serial}</serial>{read_only}</disk>\n",
        file.display()
    )
}
