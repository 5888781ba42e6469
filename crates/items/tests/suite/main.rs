//! File systems made, mounted and judged by programs nobody here wrote: mkfs, mount, dumpe2fs, e2fsck, ntfs-3g,
//! sgdisk, sfdisk. Needs root, and fails where a tool is missing.

mod ext4;
mod tools;
mod tree;
