//! Seeded work on a mounted file system: everything that a log of fsyncs has to deal with.

use super::machine::Random;
use rustix::fs::{CWD, FallocateFlags, Mode, OFlags, RenameFlags};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Does `count` random things under `dir`. Most may fail (no such file, exists already): that is part of it.
pub(crate) fn work(dir: &Path, random: &mut Random, count: usize) {
    for _ in 0..count {
        let step = random.below(100);
        // The kernel's word is the judge of what happened; which steps failed does not matter.
        let _ = match step {
            0..=19 => write(dir, random),
            20..=24 => truncate(dir, random),
            25..=29 => allocate(dir, random),
            30..=37 => fs::rename(any(dir, random), any(dir, random)),
            38..=39 => exchange(dir, random),
            40..=45 => fs::hard_link(any(dir, random), any(dir, random)),
            46..=51 => fs::remove_file(any(dir, random)),
            52..=55 => fs::create_dir(any(dir, random)),
            56..=58 => fs::remove_dir(any(dir, random)),
            59..=61 => std::os::unix::fs::symlink("a target", any(dir, random)),
            62..=64 => clone(dir, random),
            65..=67 => attributes(dir, random),
            68..=69 => temporary(dir, random),
            70..=71 => moved_directory(dir, random),
            72..=91 => sync_one(dir, random),
            92..=96 => sync_directory(dir, random),
            97..=98 => unlinked_while_open(dir, random),
            _ => fs::create_dir_all(nested(dir, random)),
        };
    }
}

fn nested(dir: &Path, random: &mut Random) -> PathBuf {
    let mut path = dir.to_owned();
    for _ in 0..random.below(3) {
        path.push(format!("d{}", random.below(3)));
    }
    path
}

fn any(dir: &Path, random: &mut Random) -> PathBuf {
    let parent = nested(dir, random);
    match random.below(4) {
        0 => parent.join(format!("d{}", random.below(3))),
        // Few names, so that they are used again; and many, so that directories take several blocks.
        1 => parent.join(format!("a somewhat longer name {}", random.below(400))),
        _ => parent.join(format!("f{}", random.below(9))),
    }
}

fn write(dir: &Path, random: &mut Random) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).open(any(dir, random))?;
    let len = [10, 1000, 3000, 4096, 20_000, 200_000][random.below(6) as usize];
    let offset = [0, 0, 100, 4096, 50_000, 1_000_000][random.below(6) as usize];
    let bytes = match random.below(2) {
        0 => random.bytes(len),
        _ => super::populate::text(len),
    };
    file.write_all_at(&bytes, offset)?;
    maybe_sync(&file, random)
}

fn maybe_sync(file: &File, random: &mut Random) -> io::Result<()> {
    match random.below(4) {
        0 => file.sync_all(),
        1 => file.sync_data(),
        _ => Ok(()),
    }
}

fn truncate(dir: &Path, random: &mut Random) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(any(dir, random))?;
    file.set_len([0, 10, 4096, 5000, 100_000, 3_000_000][random.below(6) as usize])?;
    maybe_sync(&file, random)
}

fn allocate(dir: &Path, random: &mut Random) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(any(dir, random))?;
    let flags = match random.below(4) {
        0 => FallocateFlags::empty(),
        1 => FallocateFlags::KEEP_SIZE,
        2 => FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
        _ => FallocateFlags::ZERO_RANGE,
    };
    let (offset, len) = (random.below(300_000), 1 + random.below(300_000));
    rustix::fs::fallocate(&file, flags, offset, len)?;
    maybe_sync(&file, random)
}

fn exchange(dir: &Path, random: &mut Random) -> io::Result<()> {
    let (a, b) = (any(dir, random), any(dir, random));
    Ok(rustix::fs::renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE)?)
}

fn clone(dir: &Path, random: &mut Random) -> io::Result<()> {
    let from = File::open(any(dir, random))?;
    let to = File::create(any(dir, random))?;
    rustix::fs::ioctl_ficlone(&to, &from)?;
    maybe_sync(&to, random)
}

fn attributes(dir: &Path, random: &mut Random) -> io::Result<()> {
    let path = any(dir, random);
    let mode = 0o600 | random.below(0o200) as u32;
    fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    let owner = random.below(5000) as u32;
    std::os::unix::fs::lchown(&path, Some(owner), Some(owner + 1))
}

/// A file that never had a name, and may get one.
fn temporary(dir: &Path, random: &mut Random) -> io::Result<()> {
    // Not inherited: another test may start a long-lived process at this moment.
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(dir, flags, Mode::from_raw_mode(0o600))?);
    file.write_all_at(&random.bytes(9000), 0)?;
    maybe_sync(&file, random)?;
    if random.below(2) == 0 {
        let fd = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
        let to = any(dir, random);
        rustix::fs::linkat(CWD, fd, CWD, to, rustix::fs::AtFlags::SYMLINK_FOLLOW)?;
    }
    maybe_sync(&file, random)
}

fn moved_directory(dir: &Path, random: &mut Random) -> io::Result<()> {
    let (from, to) = (nested(dir, random), nested(dir, random));
    fs::rename(from, to.join(format!("d{}", random.below(3))))
}

fn sync_one(dir: &Path, random: &mut Random) -> io::Result<()> {
    File::open(any(dir, random))?.sync_all()
}

fn sync_directory(dir: &Path, random: &mut Random) -> io::Result<()> {
    File::open(nested(dir, random))?.sync_all()
}

fn unlinked_while_open(dir: &Path, random: &mut Random) -> io::Result<()> {
    let path = any(dir, random);
    let file = File::open(&path)?;
    if file.metadata()?.is_file() && file.metadata()?.size() > 0 {
        fs::remove_file(&path)?;
    }
    file.sync_all()
}
