//! XFS judged by the kernel and by xfsprogs. Packages: xfsprogs, attr, util-linux, mount.

mod allocation;
mod clean;
mod fuzz;
mod log;
mod populate;
mod support;
mod version4;
