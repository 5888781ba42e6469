//! The mounted folder as other programs see it.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use backstay_env::volume::{Slice, Volume};
use backstay_items::tree::FileTree;
use backstay_recover::mount::{Disk, Ended, Mount, MountError, Options, Part};
use rustix::fs::SeekFrom;
use tempfile::TempDir;

use crate::trees::{DAMAGED, HostTree, LOST, OddTree, STRANGE};
use crate::world::{Faulty, Lines, Sparse, ok, unmount};

fn part(name: &str, open: impl Fn() -> Result<Arc<dyn FileTree>, String> + Send + Sync + 'static) -> Part {
    Part { name: name.into(), volume: None, open: Box::new(open) }
}

fn disk(name: &str, volume: impl Volume + 'static, parts: Vec<Part>) -> Disk {
    let parts = std::sync::Mutex::new(Some(parts));
    let parts = Box::new(move || parts.lock().expect("parts").take().ok_or_else(|| "asked twice".into()));
    Disk { name: name.into(), volume: Arc::new(volume), parts }
}

struct Mounted {
    mount: Mount, // unmounts before the directory goes
    dir: TempDir,
    lines: Lines,
}

impl Mounted {
    fn start(disks: Vec<Disk>) -> Mounted {
        let (dir, lines) = (tempfile::tempdir().expect("temporary directory"), Lines::default());
        let options = Options { log: lines.log(), time: SystemTime::UNIX_EPOCH, ..Options::default() };
        Mounted { mount: Mount::start(dir.path(), disks, options).expect("mounts"), dir, lines }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

fn names(directory: &Path) -> Vec<String> {
    let name = |e: std::io::Result<fs::DirEntry>| e.expect("entry").file_name().into_string().expect("UTF-8");
    let mut names: Vec<_> = fs::read_dir(directory).expect("lists").map(name).collect();
    names.sort();
    names
}

#[test]
fn disks_and_parts_and_reasons() {
    let noise = Sparse::noise(3_000_001, 1);
    let golden = noise.bytes.clone();
    let whole = Arc::new(noise);
    let first = Slice::new(whole.clone(), 4096, 1 << 20).expect("inside");
    let parts = vec![
        Part { volume: Some(Arc::new(first)), ..part("p1", || Ok(Arc::new(OddTree { files: 3 }))) },
        part("p2", || Err("The partition is swap space: it holds no files.".into())),
    ];
    let nothing = Box::new(|| Err("The partition table is damaged.".into()));
    let unknown = Disk { name: "sdb".into(), volume: Arc::new(vec![7_u8; 10]), parts: nothing };
    let mounted = Mounted::start(vec![disk("sda", whole, parts), unknown]);

    assert_eq!(names(&mounted.path("")), ["sda", "sda.img", "sdb", "sdb.img"]);
    assert_eq!(names(&mounted.path("sda")), ["p1", "p1.img", "p2.why.txt"]);
    assert_eq!(names(&mounted.path("sdb")), ["why.txt"]);
    let text = |name: &str| fs::read_to_string(mounted.path(name)).expect("reads");
    assert_eq!(text("sda/p2.why.txt"), "The partition is swap space: it holds no files.\n");
    assert_eq!(text("sdb/why.txt"), "The partition table is damaged.\n");
    assert_eq!(fs::read(mounted.path("sda.img")).expect("reads"), golden);
    assert_eq!(fs::read(mounted.path("sda/p1.img")).expect("reads"), golden[4096..4096 + (1 << 20)]);
    assert_eq!(fs::read(mounted.path("sdb.img")).expect("reads"), [7; 10]);
    for missing in ["sdc", "sda/p2", "sda/p1.why.txt", "sda/p2.img", "sda/p3", "sdb/p1", "sda.img.img"] {
        assert!(!mounted.path(missing).exists(), "{missing}");
    }
    assert_eq!(fs::metadata(mounted.path("sda.img")).expect("stat").permissions().mode() & 0o7777, 0o400);
    let said = ok("df", &["--output=size,avail,source", "-B1", mounted.dir.path().to_str().expect("path")]);
    let fields: Vec<_> = said.lines().nth(1).expect("a line").split_whitespace().collect();
    assert_eq!(fields, [(733 * 4096).to_string().as_str(), "0", "backstay"]);
}

#[test]
fn nothing_is_opened_before_somebody_looks() {
    let opened = Arc::new(AtomicUsize::new(0));
    let count = opened.clone();
    let open = move || {
        count.fetch_add(1, Ordering::SeqCst);
        Ok(Arc::new(OddTree { files: 1 }) as Arc<dyn FileTree>)
    };
    let mounted = Mounted::start(vec![disk("d", vec![0_u8; 512], vec![part("files", open)])]);
    assert_eq!(names(&mounted.path("")), ["d", "d.img"]);
    assert_eq!(opened.load(Ordering::SeqCst), 0);
    for _ in 0..3 {
        assert!(mounted.path("d/files/file-000000").exists());
        assert_eq!(names(&mounted.path("d")), ["files"]);
    }
    assert_eq!(opened.load(Ordering::SeqCst), 1);
}

/// Files of every kind.
fn make_originals(dir: &Path) {
    let path = |name: &str| dir.join(name).into_os_string().into_string().expect("path");
    fs::create_dir_all(dir.join("etc/deep/deeper")).expect("mkdir");
    fs::write(dir.join("etc/hosts"), "127.0.0.1 localhost\n").expect("writes");
    fs::write(dir.join("etc/deep/empty"), "").expect("writes");
    fs::write(dir.join("etc/deep/deeper/noise"), Sparse::noise(5_000_003, 3).bytes).expect("writes");
    fs::hard_link(dir.join("etc/hosts"), dir.join("etc/hosts2")).expect("links");
    std::os::unix::fs::symlink("../etc/hosts", dir.join("etc/link")).expect("links");
    std::os::unix::fs::symlink("/nowhere", dir.join("dangling")).expect("links");
    fs::write(dir.join("name with \u{e4} and \n newline"), "x").expect("writes");
    ok("mknod", &[&path("null"), "c", "1", "3"]);
    ok("mknod", &[&path("disk"), "b", "259", "300"]);
    ok("mkfifo", &[&path("pipe")]);
    ok("chown", &["-h", "1234:5678", &path("etc/link")]);
    ok("chown", &["70000:80000", &path("etc/hosts")]);
    ok("chmod", &["6711", &path("etc/hosts")]);
    ok("touch", &["-d", "1955-11-05 06:15:00.25 UTC", &path("etc/deep/empty")]);
    ok("touch", &["-h", "-d", "2100-01-01 00:00:00.123456789 UTC", &path("dangling")]);
}

/// All that a restore of files would need, by one line a file.
fn described(dir: &Path) -> String {
    let format = "%P %y %s %m %U %G %n %l %T@ %C@ %A@\n";
    let script = "cd \"$1\" && find . ! -name . -printf \"$2\" | sort && find . -type b -o -type c | xargs stat -c '%n %t:%T' | sort";
    let dir = dir.to_str().expect("path");
    let all = ok("sh", &["-c", script, "sh", dir, format]);
    // Looking changes the originals' times of access, but for files.
    let kept = |line: &str| match line.rsplit_once(' ') {
        Some((rest, _accessed)) if line.contains(" d ") || line.contains(" l ") => {
            format!("{rest}\n")
        }
        _ => format!("{line}\n"),
    };
    all.lines().map(kept).collect()
}

#[test]
fn files_are_as_the_user_would_browse_them() {
    let originals = tempfile::tempdir().expect("temporary directory");
    make_originals(originals.path());
    let root = originals.path().to_owned();
    let open = move || Ok(Arc::new(HostTree::new(&root)) as Arc<dyn FileTree>);
    let mounted = Mounted::start(vec![disk("vda", vec![0_u8; 512], vec![part("files", open)])]);
    let shown = mounted.path("vda/files");
    assert_eq!(described(&shown), described(originals.path()));
    ok(
        "diff",
        &[
            "-r",
            "--no-dereference",
            originals.path().join("etc").to_str().expect("path"),
            shown.join("etc").to_str().expect("path"),
        ],
    );
    let inode = |name: &str| fs::metadata(shown.join(name)).expect("stat").ino();
    assert_eq!(inode("etc/hosts"), inode("etc/hosts2"));
    let archive = mounted.dir.path().with_extension("tar");
    ok("tar", &["-cf", archive.to_str().expect("path"), "-C", shown.to_str().expect("path"), "."]);
    ok("tar", &["-df", archive.to_str().expect("path"), "-C", originals.path().to_str().expect("path")]);
    fs::remove_file(archive).expect("removes");
    assert_eq!(mounted.lines.all(), Vec::<String>::new());
}

#[test]
fn a_huge_directory_is_listed_whole() {
    let open = || Ok(Arc::new(OddTree { files: 50_000 }) as Arc<dyn FileTree>);
    let mounted = Mounted::start(vec![disk("d", vec![0_u8; 512], vec![part("p1", open)])]);
    let folder = mounted.path("d/p1");
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let names = names(&folder);
                assert_eq!(names.len(), 50_001);
                assert!(names[..50_000].iter().enumerate().all(|(n, name)| *name == format!("file-{n:06}")));
                assert_eq!(names[50_000], "ä".repeat(255));
            });
        }
    });
    let by_number: std::collections::HashSet<_> =
        (10..2000).map(|n| fs::metadata(folder.join(format!("file-{n:06}"))).expect("stat").ino()).collect();
    assert_eq!(by_number.len(), 1990);
    assert!(mounted.lines.all().iter().any(|l| l.contains("6 names cannot be shown")), "{:?}", mounted.lines.all());
}

#[test]
fn what_cannot_be_read_is_an_error_with_a_reason() {
    let open = || Ok(Arc::new(OddTree { files: 10 }) as Arc<dyn FileTree>);
    let bad = Faulty { inner: Sparse::noise(1 << 20, 5), bad: 500_000..500_001 };
    let golden = bad.inner.bytes.clone();
    let mounted = Mounted::start(vec![disk("d", bad, vec![part("p1", open)])]);
    let read = |n: u64| fs::read(mounted.path(&format!("d/p1/file-{n:06}")));
    let code = |n: u64| read(n).expect_err("fails").raw_os_error();
    assert_eq!(read(1).expect("reads"), b"hello\n");
    assert_eq!(code(DAMAGED), Some(rustix::io::Errno::IO.raw_os_error()));
    assert_eq!(code(LOST), Some(rustix::io::Errno::IO.raw_os_error()));
    assert_eq!(code(STRANGE), Some(rustix::io::Errno::OPNOTSUPP.raw_os_error()));
    let image = File::open(mounted.path("d.img")).expect("opens");
    let mut page = [0; 4096];
    image.read_exact_at(&mut page, 0).expect("reads");
    assert_eq!(page, golden[..4096]);
    assert!(image.read_exact_at(&mut page, 500_000 - 10).is_err());
    let lines = mounted.lines.all();
    for reason in ["an extent lies outside", "its record is gone", "a compressed file", "the medium is scratched"] {
        assert!(lines.iter().any(|l| l.contains(reason)), "{reason}: {lines:?}");
    }
}

#[test]
fn nothing_can_be_written() {
    let open = || Ok(Arc::new(OddTree { files: 3 }) as Arc<dyn FileTree>);
    let mounted = Mounted::start(vec![disk("d", vec![0_u8; 512], vec![part("p1", open)])]);
    let dir = mounted.dir.path().to_str().expect("path").to_owned();
    let attempts = || {
        let file = mounted.path("d/p1/file-000001");
        let results = [
            fs::write(&file, "x"),
            fs::write(mounted.path("d/p1/new"), "x"),
            fs::create_dir(mounted.path("new")),
            fs::remove_file(&file),
            fs::remove_dir(mounted.path("d/p1")),
            fs::rename(&file, mounted.path("d/p1/b")),
            fs::hard_link(&file, mounted.path("d/p1/b")),
            std::os::unix::fs::symlink("x", mounted.path("d/p1/b")),
            fs::set_permissions(&file, fs::Permissions::from_mode(0o777)),
            fs::write(mounted.path("d.img"), "x"),
        ];
        results.map(|r| r.expect_err("refused").kind())
    };
    assert_eq!(attempts(), [ErrorKind::ReadOnlyFilesystem; 10]);
    ok("mount", &["-i", "-o", "remount,rw", &dir]);
    assert_eq!(attempts(), [ErrorKind::ReadOnlyFilesystem; 10]);
}

#[test]
fn holes_are_found() {
    let noise = Sparse::noise(1 << 20, 9);
    let golden = noise.bytes.clone();
    let mounted = Mounted::start(vec![disk("d", noise, vec![])]);
    let image = File::open(mounted.path("d.img")).expect("opens");
    let mut at = 0;
    while at < golden.len() as u64 {
        let data = match rustix::fs::seek(&image, SeekFrom::Data(at)) {
            Err(rustix::io::Errno::NXIO) => golden.len() as u64,
            found => found.expect("seeks"),
        };
        assert!(golden[at as usize..data as usize].iter().all(|&b| b == 0));
        if data == golden.len() as u64 {
            break;
        }
        at = rustix::fs::seek(&image, SeekFrom::Hole(data)).expect("seeks");
        assert!(golden[data as usize..at as usize].chunks(4096).all(|page| page.iter().any(|&b| b != 0)));
    }
}

/// Unmounts at the end, whatever happens.
struct LoopMount(PathBuf);

impl LoopMount {
    fn new(image: &Path, at: &Path) -> LoopMount {
        fs::create_dir(at).expect("mkdir");
        let (image, at) = (image.to_str().expect("path"), at.to_str().expect("path"));
        ok("mount", &["-t", "ext4", "-o", "loop,ro,noload", image, at]);
        LoopMount(at.into())
    }
}

impl Drop for LoopMount {
    fn drop(&mut self) {
        unmount(&self.0);
    }
}

#[test]
fn a_file_system_in_an_image_can_be_mounted() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let originals = dir.path().join("originals");
    fs::create_dir(&originals).expect("mkdir");
    make_originals(&originals);
    let image = dir.path().join("ext4.img");
    let image_name = image.to_str().expect("path");
    ok("mkfs.ext4", &["-q", "-d", originals.to_str().expect("path"), image_name, "32M"]);
    let mut bytes = vec![0; 1 << 20];
    File::open(&image).expect("opens").read_to_end(&mut bytes).expect("reads");
    let whole = Arc::new(bytes);
    let first = Slice::new(whole.clone(), 1 << 20, 32 << 20).expect("inside");
    let first: Arc<dyn Volume> = Arc::new(first);
    let inside = first.clone();
    let open = move || match backstay_items::ext4::open(inside.clone()) {
        Ok(tree) => Ok(Arc::from(tree)),
        Err(e) => Err(e.to_string()),
    };
    let parts = vec![Part { volume: Some(first), ..part("p1", open) }];
    let mounted = Mounted::start(vec![disk("sda", whole, parts)]);
    ok("cmp", &[mounted.path("sda/p1.img").to_str().expect("path"), image_name]);
    let by_kernel = LoopMount::new(&mounted.path("sda/p1.img"), &dir.path().join("kernel"));
    ok(
        "diff",
        &[
            "-r",
            "--no-dereference",
            originals.join("etc").to_str().expect("path"),
            by_kernel.0.join("etc").to_str().expect("path"),
        ],
    );
    ok("e2fsck", &["-fn", mounted.path("sda/p1.img").to_str().expect("path")]);
    assert_eq!(described(&mounted.path("sda/p1")), described(&by_kernel.0), "files as Linux shows them");
    drop(by_kernel);
}

#[test]
fn a_directory_that_is_not_empty_is_refused() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let start = |path: &Path| Mount::start(path, vec![disk("d", vec![0_u8; 512], vec![])], Options::default());
    fs::write(dir.path().join("precious"), "x").expect("writes");
    let refused = start(dir.path()).err().expect("refused");
    let path = dir.path().display();
    assert_eq!(refused.to_string(), format!("{path} is not an empty directory: mounting needs one"));
    assert!(matches!(start(&dir.path().join("precious")), Err(MountError::NotEmpty(_))));
    assert!(matches!(start(&dir.path().join("missing")), Err(MountError::Missing(_))));
    let twice = vec![disk("d", vec![0_u8; 512], vec![]), disk("d", vec![0_u8; 512], vec![])];
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).expect("mkdir");
    assert!(matches!(Mount::start(&empty, twice, Options::default()), Err(MountError::Name(name)) if name == "d"));
    assert_eq!(names(&empty), Vec::<String>::new());
}

#[test]
fn unmounting() {
    let disks = || vec![disk("d", vec![1_u8; 512], vec![])];
    let (ours, theirs) = (Mounted::start(disks()), Mounted::start(disks()));
    assert!(!ours.mount.wait_for(Duration::ZERO));
    assert_eq!(ours.mount.unmount().expect("unmounts"), Ended::Gone);
    assert_eq!(names(ours.dir.path()), Vec::<String>::new());

    unmount(theirs.dir.path());
    assert!(theirs.mount.wait_for(Duration::from_secs(600)), "noticed");
    assert_eq!(theirs.mount.unmount().expect("fine"), Ended::Gone);

    let busy = Mounted::start(disks());
    let mut open = File::open(busy.path("d.img")).expect("opens");
    assert_eq!(busy.mount.unmount().expect("unmounts"), Ended::StillUsed);
    assert_eq!(names(busy.dir.path()), Vec::<String>::new());
    let mut bytes = Vec::new();
    open.read_to_end(&mut bytes).expect("still served");
    assert_eq!(bytes, [1; 512]);
}

#[test]
fn many_read_at_once() {
    let noise = Sparse::noise(20 << 20, 11);
    let golden = noise.bytes.clone();
    let mounted = Mounted::start(vec![disk("d", noise, vec![])]);
    std::thread::scope(|scope| {
        for reader in 0..8_u64 {
            let (golden, path) = (&golden, mounted.path("d.img"));
            scope.spawn(move || {
                let image = File::open(path).expect("opens");
                let mut buf = vec![0; 300_000];
                for step in 0..100_u64 {
                    let at = (reader * 7_919_111 + step * 1_000_003) % (golden.len() as u64 - 300_000);
                    image.read_exact_at(&mut buf, at).expect("reads");
                    assert!(buf == golden[at as usize..at as usize + buf.len()]);
                }
            });
        }
    });
}
