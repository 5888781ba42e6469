//! btrfs judged by mkfs.btrfs and the kernel. Needs root, btrfs-progs and loop devices.

mod clean;
mod compare;
mod machine;
mod populate;
