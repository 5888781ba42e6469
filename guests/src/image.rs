//! The Debian that guests run: made once from Debian's packages, of the release of the host, so that what is built here runs
//! there.
//!
//! Never knows: what is tried in a guest.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use crate::fail::{During, Fail, Result};
use crate::programs::{program, run};

/// What a guest has: a kernel for virtual machines, what stacks of disks are made with, an agent of its hypervisor, and what our
/// packages depend on and are asked with.
const PACKAGES: &[&str] = &[
    "linux-image-cloud-amd64",
    "initramfs-tools",
    "zstd",
    "systemd-sysv",
    "udev",
    "kmod",
    "lvm2",
    "cryptsetup-bin",
    "mdadm",
    "gdisk",
    "dosfstools",
    "e2fsprogs",
    "xfsprogs",
    "qemu-guest-agent",
    "adduser",
    "curl",
];

/// What the first part of the start loads; everything else is in the root file system.
const EARLY: &str = "virtio_pci\nvirtio_blk\next4\n";

const STEER: &str = include_str!("inside/steer.sh");
const SERVICE: &str = include_str!("inside/steer.service");

/// What a guest starts from. Files that nobody writes to.
pub(crate) struct Image {
    /// An ext4.
    pub(crate) root: PathBuf,
    pub(crate) kernel: PathBuf,
    pub(crate) initrd: PathBuf,
}

/// Makes the image in `folder`, or finds the one that was made there from the same recipe.
///
/// # Errors
/// Debian's mirror cannot be reached, or a program is missing.
pub(crate) fn make(folder: &Path) -> Result<Image> {
    let image =
        Image { root: folder.join("root.img"), kernel: folder.join("vmlinuz"), initrd: folder.join("initrd.img") };
    let (stamp, recipe) = (folder.join("recipe"), recipe()?);
    if fs::read_to_string(&stamp).is_ok_and(|made| made == recipe) {
        return Ok(image);
    }
    println!("guests: making a Debian {} for guests (once; takes minutes)", release()?);
    let begun = Instant::now();
    if folder.exists() {
        fs::remove_dir_all(folder).during(folder.display())?;
    }
    let tree = folder.join("tree");
    fs::create_dir_all(&tree).during(tree.display())?;
    bootstrap(&tree)?;
    take(&tree, "vmlinuz-", &image.kernel)?;
    take(&tree, "initrd.img-", &image.initrd)?;
    let mut make = program("mke2fs");
    make.args(["-q", "-t", "ext4", "-L", "guest", "-m", "0", "-d"]).arg(&tree).arg(&image.root).arg("3G");
    run(&mut make)?;
    fs::remove_dir_all(&tree).during(tree.display())?;
    fs::write(&stamp, recipe).during(stamp.display())?;
    println!("guests: made in {:.0} s", begun.elapsed().as_secs_f64());
    Ok(image)
}

/// All that the image depends on but the mirror's state.
fn recipe() -> Result<String> {
    Ok(format!("{}\n{}\n{EARLY}\n{STEER}\n{SERVICE}\n{}", release()?, PACKAGES.join("\n"), customise(Path::new("@"))))
}

/// The code name of the host's Debian.
fn release() -> Result<String> {
    let text = fs::read_to_string("/etc/os-release").during("/etc/os-release")?;
    let name = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    name.map(|name| name.trim_matches('"').to_owned()).ok_or_else(|| Fail::new("the host is no Debian"))
}

fn bootstrap(tree: &Path) -> Result<()> {
    let inside = tree.with_file_name("inside");
    fs::create_dir_all(&inside).during(inside.display())?;
    for (name, text) in [("steer", STEER), ("steer.service", SERVICE), ("modules", EARLY)] {
        fs::write(inside.join(name), text).during(name)?;
    }
    let mut make = program("mmdebstrap");
    make.args(["--mode=root", "--variant=minbase", "--skip=output/dev"]);
    make.args(["--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*"]);
    make.args(["--dpkgopt=path-exclude=/usr/share/locale/*"]);
    make.arg(format!("--include={}", PACKAGES.join(",")));
    make.arg(format!("--customize-hook={}", customise(&inside)));
    make.arg(release()?).arg(tree).stderr(Stdio::piped());
    run(&mut make).map(drop)
}

/// What is done in the tree once the packages are in it; `$1` is the tree.
fn customise(inside: &Path) -> String {
    let inside = inside.display();
    let steps = [
        format!("install -m 755 {inside}/steer \"$1/usr/local/sbin/steer\""),
        format!("install -m 644 {inside}/steer.service \"$1/etc/systemd/system/steer.service\""),
        format!("cat {inside}/modules >>\"$1/etc/initramfs-tools/modules\""),
        "echo MODULES=list >\"$1/etc/initramfs-tools/conf.d/guest\"".into(),
        "echo guest >\"$1/etc/hostname\"".into(),
        "echo '/dev/vda / ext4 defaults 0 1' >\"$1/etc/fstab\"".into(),
        "mkdir -p \"$1/var/lib/backstay\"".into(),
        "chroot \"$1\" systemctl --quiet enable steer.service".into(),
        "chroot \"$1\" systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service \
         fstrim.timer mdcheck_start.timer mdcheck_continue.timer mdmonitor-oneshot.timer getty@tty1.service"
            .into(),
        "chroot \"$1\" update-initramfs -u -k all".into(),
    ];
    steps.join(" && ")
}

/// Copies the one file in the tree's /boot that begins so.
fn take(tree: &Path, beginning: &str, to: &Path) -> Result<()> {
    let boot = tree.join("boot");
    let entries = fs::read_dir(&boot).during(boot.display())?.flatten();
    let found =
        entries.map(|e| e.path()).find(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with(beginning)));
    let found = found.ok_or_else(|| Fail::new(format!("there is no {beginning}* in {}", boot.display())))?;
    fs::copy(found, to).during(to.display()).map(drop)
}
