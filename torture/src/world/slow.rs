//! A file whose writes arrive late and not in order: a file system of one file, in which each write waits for a time of
//! its own, and reads overtake it.
//!
//! Never knows: who writes.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    InitFlags, KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite,
    Request, Session, WriteFlags,
};

use crate::chance::Chance;
use crate::fail::{During, Result};
use crate::tools::{patiently, run, text};

const FILE: INodeNo = INodeNo(2);
const FOR_EVER: Duration = Duration::from_secs(3600);
/// Writes that wait at the same time.
const THREADS: usize = 24;

/// The mounted file system. Unmounted on drop, after all that uses it.
pub(crate) struct Slow {
    path: PathBuf,
    session: Option<BackgroundSession>,
}

impl Slow {
    /// Shows a file as one whose writes are slow, in a folder.
    ///
    /// # Errors
    /// It cannot be mounted.
    pub(crate) fn over(backing: &Path, folder: &Path, seed: u64) -> Result<Slow> {
        std::fs::create_dir_all(folder).during(folder.display())?;
        let backing = File::options().read(true).write(true).open(backing).during(backing.display())?;
        let size = backing.metadata().during("the disk's file")?.len();
        let mut config = Config::default();
        config.n_threads = Some(THREADS);
        config.clone_fd = true;
        let served = Served { backing, size, chance: Mutex::new(Chance::of(seed)) };
        let session = Session::new(served, folder, &config).and_then(Session::spawn).during("a slow disk")?;
        Ok(Slow { path: folder.join("disk"), session: Some(session) })
    }

    pub(crate) fn file(&self) -> &Path {
        &self.path
    }
}

impl Drop for Slow {
    /// What uses the file lets go of it a little later than it says.
    fn drop(&mut self) {
        let folder = self.path.parent().unwrap_or(&self.path);
        if !patiently(Duration::from_secs(30), || run("umount", ["--no-mtab", text(folder)]).is_ok()) {
            eprintln!("torture: {} stays in use", folder.display());
            drop(run("umount", ["--lazy", text(folder)]));
        }
        // The session's own unmounting would find nothing, or another's mount.
        std::mem::forget(self.session.take());
    }
}

struct Served {
    backing: File,
    size: u64,
    chance: Mutex<Chance>,
}

impl Served {
    fn about(&self, inode: INodeNo) -> FileAttr {
        let (kind, perm) = if inode == FILE { (FileType::RegularFile, 0o600) } else { (FileType::Directory, 0o700) };
        FileAttr {
            ino: inode,
            size: self.size,
            blocks: self.size / 512,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }

    /// Most writes are a little late, some are very late.
    fn wait(&self) {
        let time = self.chance.lock().map_or(0, |mut chance| match chance.once_in(50) {
            true => 5000 + chance.below(15_000),
            false => chance.below(1500),
        });
        std::thread::sleep(Duration::from_micros(time));
    }
}

impl Filesystem for Served {
    /// Without this, a read would wait behind the writes before it, and nothing could overtake.
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        let _ = config.add_capabilities(InitFlags::FUSE_ASYNC_DIO);
        let _ = config.set_max_background(64);
        Ok(())
    }

    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match name == "disk" {
            true => reply.entry(&FOR_EVER, &self.about(FILE), Generation(0)),
            false => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&FOR_EVER, &self.about(inode));
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_PARALLEL_DIRECT_WRITES);
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let mut bytes = vec![0; u64::from(size).min(self.size.saturating_sub(offset)) as usize];
        match self.backing.read_exact_at(&mut bytes, offset) {
            Ok(()) => reply.data(&bytes),
            Err(_) => reply.error(Errno::EIO),
        }
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        self.wait();
        match self.backing.write_all_at(data, offset) {
            Ok(()) => reply.written(data.len() as u32),
            Err(_) => reply.error(Errno::EIO),
        }
    }
}
