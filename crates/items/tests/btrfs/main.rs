//! btrfs judged by mkfs.btrfs, the kernel's mounts and `btrfs check`. Needs root, btrfs-progs and loop devices.

mod allocation;
mod clean;
mod compare;
mod hostile;
mod log;
mod machine;
mod populate;
mod random_work;
