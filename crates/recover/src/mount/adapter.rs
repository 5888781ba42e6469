//! Between the kernel's questions (FUSE) and the view.
//!
//! Never knows: what is shown.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{cell::RefCell, io};

use backstay_env::volume::Content;
use backstay_items::tree::{FileTime, Metadata, NodeKind};
use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenAccMode, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use super::session::Flag;
use super::view::{ROOT, Refusal, Shown, View};

/// Nothing changes, so what the kernel knows stays true.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);
/// Requests that the kernel may send ahead (readahead).
const BACKGROUND: u16 = 64;
const BLOCK: u32 = 4096;

/// The names of an open folder, once they were asked for.
type Listing = Arc<OnceLock<Result<Vec<Shown>, Refusal>>>;

pub(super) struct Adapter {
    view: View,
    ended: Arc<Flag>,
    folders: Mutex<HashMap<u64, Listing>>,
    next_handle: AtomicU64,
}

impl Adapter {
    pub(super) fn new(view: View, ended: Arc<Flag>) -> Self {
        Adapter { view, ended, folders: Mutex::default(), next_handle: AtomicU64::new(1) }
    }

    fn attributes(&self, inode: u64) -> Result<FileAttr, Errno> {
        self.view.metadata(inode).map(|m| attributes(inode, &m)).map_err(errno)
    }

    fn listing(&self, handle: FileHandle) -> Option<Listing> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner).get(&handle.0).cloned()
    }
}

fn errno(refusal: Refusal) -> Errno {
    match refusal {
        Refusal::NotFound => Errno::ENOENT,
        Refusal::NotADirectory => Errno::ENOTDIR,
        Refusal::WrongKind => Errno::EINVAL,
        Refusal::Unsupported => Errno::EOPNOTSUPP,
        Refusal::Unreadable => Errno::EIO,
        Refusal::PastTheEnd => Errno::ENXIO,
    }
}

fn file_type(kind: NodeKind) -> FileType {
    match kind {
        NodeKind::File => FileType::RegularFile,
        NodeKind::Directory => FileType::Directory,
        NodeKind::Symlink => FileType::Symlink,
        NodeKind::CharDevice => FileType::CharDevice,
        NodeKind::BlockDevice => FileType::BlockDevice,
        NodeKind::Fifo => FileType::NamedPipe,
        NodeKind::Socket => FileType::Socket,
    }
}

fn attributes(inode: u64, m: &Metadata) -> FileAttr {
    FileAttr {
        ino: INodeNo(inode),
        size: m.size,
        blocks: m.size.div_ceil(512),
        atime: system_time(m.accessed),
        mtime: system_time(m.modified),
        ctime: system_time(m.changed),
        crtime: UNIX_EPOCH,
        kind: file_type(m.kind),
        perm: m.permissions,
        nlink: m.links,
        uid: m.uid,
        gid: m.gid,
        rdev: device_number(m.device),
        blksize: BLOCK,
        flags: 0,
    }
}

/// As the kernel packs major and minor into 32 bits.
fn device_number((major, minor): (u32, u32)) -> u32 {
    (minor & 0xff) | (major & 0xfff) << 8 | (minor & 0xf_ff00) << 12
}

/// The epoch for times that the system cannot express.
fn system_time(time: FileTime) -> SystemTime {
    let whole = Duration::from_secs(time.seconds.unsigned_abs());
    let seconds = if time.seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    let exact = seconds.and_then(|t| t.checked_add(Duration::from_nanos(time.nanos.into())));
    exact.unwrap_or(UNIX_EPOCH)
}

thread_local! {
    /// Read into by one of the session's threads; never shrinks, at most what the kernel reads at once (1 MiB).
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Answers "read-only file system"; the kernel asks only after a remount.
macro_rules! refuse_to_write {
    ($($name:ident($($arg:ident: $kind:ty),*) -> $reply:ty;)*) => {
        $(#[allow(clippy::too_many_arguments)]
        fn $name(&self, _req: &Request, $($arg: $kind,)* reply: $reply) {
            let _unused = ($($arg,)*);
            reply.error(Errno::EROFS);
        })*
    };
}

impl Filesystem for Adapter {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let refused = |what: &str| io::Error::other(format!("the kernel's FUSE refused {what}"));
        let wishes = InitFlags::FUSE_CACHE_SYMLINKS | InitFlags::FUSE_PARALLEL_DIROPS;
        let granted = wishes & config.capabilities(); // older kernels do without
        config.add_capabilities(granted).map_err(|_| refused("what it had offered"))?;
        config.set_max_background(BACKGROUND).map_err(|_| refused("the number of requests"))?;
        Ok(())
    }

    fn destroy(&mut self) {
        self.ended.raise();
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.view.lookup(parent.0, name).map_err(errno).and_then(|inode| self.attributes(inode));
        match found {
            Ok(attributes) => reply.entry(&FOR_EVER, &attributes, Generation(0)),
            Err(e) => reply.error(e),
        }
    }

    fn forget(&self, _req: &Request, _inode: INodeNo, _lookups: u64) {
        // Nothing is kept for a node that was looked up: see `inode`.
    }

    fn getattr(&self, _req: &Request, inode: INodeNo, _handle: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(inode.0) {
            Ok(attributes) => reply.attr(&FOR_EVER, &attributes),
            Err(e) => reply.error(e),
        }
    }

    fn readlink(&self, _req: &Request, inode: INodeNo, reply: ReplyData) {
        match self.view.link_target(inode.0) {
            Ok(target) => reply.data(target.as_bytes()),
            Err(e) => reply.error(errno(e)),
        }
    }

    fn open(&self, _req: &Request, _inode: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        match flags.acc_mode() {
            OpenAccMode::O_RDONLY => {
                reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_NOFLUSH);
            }
            OpenAccMode::O_WRONLY | OpenAccMode::O_RDWR => reply.error(Errno::EROFS),
        }
    }

    fn read(
        &self,
        _req: &Request,
        inode: INodeNo,
        _handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        BUFFER.with_borrow_mut(|buf| {
            let size = size as usize;
            if buf.len() < size {
                buf.resize(size, 0);
            }
            match self.view.read(inode.0, offset, &mut buf[..size]) {
                Ok(len) => reply.data(&buf[..len]),
                Err(e) => reply.error(errno(e)),
            }
        });
    }

    fn flush(&self, _req: &Request, _inode: INodeNo, _handle: FileHandle, _owner: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _req: &Request, _inode: INodeNo, _handle: FileHandle, _data: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn opendir(&self, _req: &Request, _inode: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let handle = self.next_handle.fetch_add(1, Ordering::Relaxed);
        self.folders.lock().unwrap_or_else(PoisonError::into_inner).insert(handle, Listing::default());
        reply.opened(FileHandle(handle), FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_CACHE_DIR);
    }

    /// Offset `n` is after the `n`th name, `.` and `..` counted; the names are read once for an open folder.
    fn readdir(&self, _req: &Request, inode: INodeNo, handle: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let Some(listing) = self.listing(handle) else {
            return reply.error(Errno::EBADF);
        };
        let names = match listing.get_or_init(|| self.view.list(inode.0)) {
            Ok(names) => names,
            Err(e) => return reply.error(errno(*e)),
        };
        let dots = [(inode, "."), (INodeNo(ROOT), "..")].map(|(i, n)| (i, FileType::Directory, OsStr::new(n)));
        let named = names.iter().map(|s| (INodeNo(s.inode), file_type(s.kind), s.name.as_os_str()));
        let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
        for (index, (inode, kind, name)) in dots.into_iter().chain(named).enumerate().skip(skipped) {
            if reply.add(inode, index as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(&self, _req: &Request, _inode: INodeNo, handle: FileHandle, _flags: OpenFlags, reply: ReplyEmpty) {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner).remove(&handle.0);
        reply.ok();
    }

    fn statfs(&self, _req: &Request, _inode: INodeNo, reply: ReplyStatfs) {
        let blocks = self.view.total().div_ceil(BLOCK.into());
        reply.statfs(blocks, 0, 0, 0, 0, BLOCK, 255, BLOCK);
    }

    fn lseek(&self, _req: &Request, inode: INodeNo, _handle: FileHandle, offset: i64, whence: i32, reply: ReplyLseek) {
        const SEEK_DATA: i32 = 3;
        const SEEK_HOLE: i32 = 4;
        let content = match whence {
            SEEK_DATA => Content::Data,
            SEEK_HOLE => Content::Hole,
            _ => return reply.error(Errno::EINVAL),
        };
        let Ok(offset) = u64::try_from(offset) else {
            return reply.error(Errno::ENXIO);
        };
        match self.view.seek(inode.0, offset, content) {
            Ok(found) => reply.offset(found as i64),
            Err(e) => reply.error(errno(e)),
        }
    }

    refuse_to_write! {
        setattr(
            i: INodeNo, m: Option<u32>, u: Option<u32>, g: Option<u32>, s: Option<u64>, at: Option<TimeOrNow>,
            mt: Option<TimeOrNow>, ct: Option<SystemTime>, h: Option<FileHandle>, cr: Option<SystemTime>,
            ch: Option<SystemTime>, b: Option<SystemTime>, f: Option<BsdFileFlags>
        ) -> ReplyAttr;
        mknod(p: INodeNo, n: &OsStr, m: u32, u: u32, r: u32) -> ReplyEntry;
        mkdir(p: INodeNo, n: &OsStr, m: u32, u: u32) -> ReplyEntry;
        unlink(p: INodeNo, n: &OsStr) -> ReplyEmpty;
        rmdir(p: INodeNo, n: &OsStr) -> ReplyEmpty;
        symlink(p: INodeNo, n: &OsStr, t: &Path) -> ReplyEntry;
        rename(p: INodeNo, n: &OsStr, np: INodeNo, nn: &OsStr, f: RenameFlags) -> ReplyEmpty;
        link(i: INodeNo, p: INodeNo, n: &OsStr) -> ReplyEntry;
        create(p: INodeNo, n: &OsStr, m: u32, u: u32, f: i32) -> ReplyCreate;
        write(
            i: INodeNo, h: FileHandle, o: u64, d: &[u8], w: WriteFlags, f: OpenFlags, l: Option<LockOwner>
        ) -> ReplyWrite;
        fallocate(i: INodeNo, h: FileHandle, o: u64, l: u64, m: i32) -> ReplyEmpty;
        setxattr(i: INodeNo, n: &OsStr, v: &[u8], f: i32, p: u32) -> ReplyEmpty;
        removexattr(i: INodeNo, n: &OsStr) -> ReplyEmpty;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_and_after_the_epoch() {
        let at = |seconds, nanos| system_time(FileTime { seconds, nanos });
        assert_eq!(at(5, 7), UNIX_EPOCH + Duration::new(5, 7));
        assert_eq!(at(-5, 7), UNIX_EPOCH - Duration::from_secs(5) + Duration::from_nanos(7));
        assert_eq!(at(i64::MIN, 0), UNIX_EPOCH - Duration::from_secs(1 << 63));
    }

    #[test]
    fn device_numbers_are_the_kernels() {
        for (major, minor) in [(0, 0), (8, 1), (259, 300), (4095, 0xf_ffff)] {
            let packed = u64::from(device_number((major, minor)));
            assert_eq!((rustix::fs::major(packed), rustix::fs::minor(packed)), (major, minor));
        }
    }
}
