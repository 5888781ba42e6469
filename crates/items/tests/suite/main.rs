//! File systems made, mounted and judged by programs nobody here wrote: mkfs, mount, dumpe2fs, e2fsck, ntfs-3g,
//! sgdisk, sfdisk. Needs root, and fails where a tool is missing.

mod disk;
mod exclude;
mod ext4;
mod hostile;
mod ntfs;
mod tools;
mod tree;
mod vfat;
