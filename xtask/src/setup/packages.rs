//! Which Debian packages the scripts and tests need, and why. Any version will do.
//!
//! Never knows: how packages are installed.

/// A Debian package, and what it is for.
pub(crate) struct Package {
    /// Its name in Debian 12.
    pub(crate) name: &'static str,
    /// What would not work without it.
    pub(crate) why: &'static str,
}

const fn package(name: &'static str, why: &'static str) -> Package {
    Package { name, why }
}

/// What tests and the demo need.
pub(crate) const TEST: &[Package] = &[
    package("gcc", "builds the C parts of cryptography and compression"),
    package("libc6-dev", "headers for those"),
    package("g++", "builds what the fuzz targets link, so that they are checked too"),
    package("curl", "asks a server what it answers, as people do"),
    package("openssl", "asks it in older versions of TLS"),
    package("e2fsprogs", "ext4: mkfs, e2fsck, dumpe2fs and debugfs make and judge test images"),
    package("xfsprogs", "XFS: mkfs, xfs_db and xfs_repair make and judge test images"),
    package("btrfs-progs", "btrfs: mkfs and btrfs inspect-internal make and judge test images"),
    package("ntfs-3g", "NTFS: mkntfs, ntfscp and ntfsinfo make and judge test images"),
    package("dosfstools", "FAT: mkfs.vfat and fsck.vfat make and judge test images"),
    package("mtools", "mcopy puts files into FAT images, which no kernel has to mount"),
    package("attr", "setfattr gives test files extended attributes"),
    package("gdisk", "sgdisk writes GPT partition tables for tests"),
    package("fdisk", "sfdisk writes MBR partition tables for tests"),
    package("mount", "losetup and mount: loop devices for tests and the demo"),
    package("libnbd-bin", "nbdinfo and nbdcopy judge our NBD server"),
    package("python3-venv", "schemathesis lives in it, which asks a server all that can be asked"),
    package("iproute2", "ip: it asks in a network of its own"),
    package("python3-libnbd", "an NBD client that asks what no tool asks"),
    package("qemu-utils", "qemu-img and qemu-io judge our NBD server and images"),
    package("qemu-system-common", "qemu-storage-daemon stands in for virtual machines"),
    package("fuse3", "fusermount3 mounts a point without root"),
    package("zstd", "a second reader for compressed test data"),
    package("fio", "writes to disks in every way there is, for the tracker's tests"),
    package("postgresql", "a cluster is frozen under load, and pg_amcheck judges the copy"),
    package("mariadb-server", "a server is frozen under load, and mariadb-check judges the copy"),
    package("stress-ng", "keeps file systems busy while they are captured"),
    package("sysbench", "keeps a MariaDB server busy while it is captured"),
    package("python3-aiosmtpd", "a mail server that takes the server's alerts"),
    package("systemd", "systemd-analyze judges the units"),
    package("dpkg-dev", "dpkg-shlibdeps names the libraries that packages depend on"),
    package("binutils", "strip: packages have the program without what debuggers need"),
    package("xz-utils", "compresses packages"),
    package("nodejs", "builds the console; 20.19 or newer, which is not Debian 12's own"),
    package("chromium", "the console is driven in it"),
    package("fonts-dejavu-core", "what it writes with"),
    package("groff-base", "groff judges the manual pages"),
];

/// What the bench needs on top.
pub(crate) const BENCH: &[Package] = &[
    package("time", "GNU time takes a program's peak memory"),
    package("restic", "a peer of the bench"),
    package("borgbackup", "a peer of the bench"),
    package("casync", "a peer of the bench"),
    package("iperf3", "says what that link carries"),
];

/// What packages and their trial need on top.
pub(crate) const DIST: &[Package] = &[
    package("mmdebstrap", "makes the clean Debian that packages are installed in"),
    package("lintian", "judges packages"),
];

/// What guests need on top: a Debian that is made and run.
pub(crate) const GUEST: &[Package] = &[
    package("mmdebstrap", "makes the Debian of a guest from packages"),
    package("qemu-system-x86", "runs guests"),
    package("libvirt-daemon", "a guest is captured through libvirt"),
    package("libvirt-daemon-driver-qemu", "libvirt's part that runs guests"),
    package("libvirt-clients", "virsh, by which libvirt is asked"),
];

/// What compiles the programs that run in the kernel. Their objects are committed, so only who changes them needs it.
pub(crate) const BPF: &[Package] =
    &[package("clang-19", "compiles the programs that run in the kernel"), package("llvm-19", "strips them")];
