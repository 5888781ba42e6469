//! A file whose writes arrive late: a file system of one file, in which a write waits before it is done until a copier
//! has gone by twice, so that at least once it came and went while the write was under way.
//!
//! Never knows: who writes.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    InitFlags, KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyEntry, ReplyOpen, ReplyWrite, Request,
    Session, WriteFlags,
};

const FILE: INodeNo = INodeNo(2);
const FOR_EVER: Duration = Duration::from_secs(3600);

/// The mounted file system. Unmounted on drop, after all that uses it.
pub(crate) struct Slow {
    path: PathBuf,
    session: Option<BackgroundSession>,
}

impl Slow {
    /// Shows `backing` as a file in `folder`. The copier counts its turns.
    pub(crate) fn over(backing: File, folder: &Path, turns: Arc<AtomicU64>) -> Slow {
        std::fs::create_dir_all(folder).unwrap();
        let mut config = Config::default();
        config.n_threads = Some(48);
        config.clone_fd = true;
        let size = backing.metadata().unwrap().len();
        let served = Served { backing, size, turns };
        let session = Session::new(served, folder, &config).unwrap().spawn().unwrap();
        Slow { path: folder.join("disk"), session: Some(session) }
    }

    pub(crate) fn file(&self) -> &Path {
        &self.path
    }
}

impl Drop for Slow {
    /// What uses the file lets go of it a little later than it says.
    fn drop(&mut self) {
        let folder = self.path.parent().unwrap();
        let unmount = |how: &str| Command::new("umount").arg(how).arg(folder).stderr(Stdio::null()).status();
        let unmounted = (0..100).any(|_| {
            let done = unmount("--no-mtab").is_ok_and(|status| status.success());
            if !done {
                std::thread::sleep(Duration::from_millis(50));
            }
            done
        });
        if !unmounted {
            let _ = unmount("--lazy");
        }
        // The session's own unmounting would find nothing, or another's mount.
        std::mem::forget(self.session.take());
    }
}

struct Served {
    backing: File,
    size: u64,
    turns: Arc<AtomicU64>,
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
}

impl Served {
    fn wait(&self) {
        let came = self.turns.load(Ordering::SeqCst);
        for _ in 0..100_000 {
            if self.turns.load(Ordering::SeqCst) >= came + 2 {
                return;
            }
            std::thread::sleep(Duration::from_micros(100));
        }
    }
}

impl Filesystem for Served {
    /// Without this, a read would wait behind the writes before it, and nothing could overtake.
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        config.add_capabilities(InitFlags::FUSE_ASYNC_DIO).unwrap();
        config.set_max_background(64).unwrap();
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
        let mut bytes = vec![0; size.min((self.size - offset) as u32) as usize];
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
