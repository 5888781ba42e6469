//! The data of the bench: a disk image with an ext4 of system files, and the same disk after a change.
//!
//! Made once and kept; the same on one machine as long as its system files stay the same.
//! Never knows: who is measured with it.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::random::Random;
use super::used;
use crate::fail::{During, Fail, Result};
use crate::run;

const MIB: u64 = 1 << 20;
const PAGE: u64 = 4096;

/// How much of everything.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    /// Folder name below `target/bench`.
    pub(super) name: &'static str,
    /// Bytes of the disk image.
    disk: u64,
    /// Bytes of system files, each rounded up to pages.
    system: u64,
    /// Bytes of those that are there a second time.
    twice: u64,
    /// Bytes of random data.
    random: u64,
    /// Pages that the change overwrites.
    pub(super) changed_pages: u64,
}

/// What the project's figures are stated for.
pub(super) const FULL: Sizes = Sizes {
    name: "data",
    disk: 4096 * MIB,
    system: 1600 * MIB,
    twice: 500 * MIB,
    random: 256 * MIB,
    changed_pages: 6500,
};

/// A quarter of it, for a look in between.
pub(super) const QUICK: Sizes = Sizes {
    name: "data-quick",
    disk: 1024 * MIB,
    system: 400 * MIB,
    twice: 125 * MIB,
    random: 64 * MIB,
    changed_pages: 1625,
};

/// The two states of the disk.
pub(super) struct Data {
    /// Before the change.
    pub(super) before: PathBuf,
    /// After it.
    pub(super) after: PathBuf,
}

/// Makes the images unless they are there.
/// # Errors
/// A tool or the disk fails; nothing half made is left under the final names.
pub(super) fn make(sizes: Sizes) -> Result<Data> {
    let dir = run::keep("bench").join(sizes.name);
    let data = Data { before: dir.join("before.img"), after: dir.join("after.img") };
    if data.before.is_file() && data.after.is_file() {
        return Ok(data);
    }
    fs::create_dir_all(&dir).during(dir.display())?;
    println!("making the data in {} (once)", dir.display());
    let before = dir.join("before.tmp");
    make_image(&dir, &before, sizes)?;
    let after = dir.join("after.tmp");
    copy_sparse(&before, &after)?;
    change(&after, sizes)?;
    fs::rename(&before, &data.before).during(before.display())?;
    fs::rename(&after, &data.after).during(after.display())?;
    Ok(data)
}

fn make_image(dir: &Path, image: &Path, sizes: Sizes) -> Result<()> {
    let tree = dir.join("tree");
    if tree.exists() {
        fs::remove_dir_all(&tree).during(tree.display())?;
    }
    fill_tree(&tree, sizes)?;
    let file = File::create(image).during(image.display())?;
    file.set_len(sizes.disk).during(image.display())?;
    // Fixed names and times inside the file system: two runs differ in the files' own change times at most.
    let uuid = "b4c5741f-0000-4000-8000-000000000001";
    run::output(
        run::program("mkfs.ext4")
            .env("E2FSPROGS_FAKE_TIME", "1767225600")
            .args(["-q", "-F", "-b", "4096", "-L", "bench", "-U", uuid, "-E"])
            .arg(format!("hash_seed={uuid}"))
            .arg("-d")
            .args([&tree, image]),
    )?;
    fs::remove_dir_all(&tree).during(tree.display())
}

/// System files, some of them twice, and one file of random bytes.
fn fill_tree(tree: &Path, sizes: Sizes) -> Result<()> {
    let system = tree.join("usr");
    let mut taken = Vec::new();
    let mut left = sizes.system;
    for source in sources()? {
        let name = source.strip_prefix("/").unwrap_or(&source).to_path_buf();
        copy_tree(&source, &system.join(name), &mut left, &mut taken)?;
    }
    if left > sizes.system / 10 {
        println!("note: this machine has {} MiB of system files fewer than wanted", left / MIB);
    }
    let mut again = sizes.twice;
    for path in &taken {
        let Ok(inside) = path.strip_prefix(&system) else {
            continue;
        };
        let size = rounded(fs::metadata(path).during(path.display())?.len());
        if size > again {
            break;
        }
        again -= size;
        copy_file(path, &tree.join("twice").join(inside))?;
    }
    let path = tree.join("random.bin");
    let mut out = BufWriter::new(File::create(&path).during(path.display())?);
    let (mut random, mut block) = (Random::seeded(1), vec![0; MIB as usize]);
    for _ in 0..sizes.random / MIB {
        random.fill(&mut block);
        out.write_all(&block).during(path.display())?;
    }
    out.flush().during(path.display())
}

/// Folders of system files, programs and text first; where they do not suffice, the compiler's own.
fn sources() -> Result<Vec<PathBuf>> {
    let usr = ["bin", "sbin", "include", "libexec", "share", "lib", "local"];
    let mut found: Vec<PathBuf> = usr.iter().map(|name| Path::new("/usr").join(name)).collect();
    let sysroot = run::text(std::process::Command::new("rustc").args(["--print", "sysroot"]))?;
    found.push(PathBuf::from(sysroot.trim()));
    found.retain(|dir| dir.is_dir());
    Ok(found)
}

fn rounded(bytes: u64) -> u64 {
    bytes.next_multiple_of(PAGE)
}

/// Copies in the order of names until `left` bytes are used up; `taken` gets the regular files.
fn copy_tree(from: &Path, to: &Path, left: &mut u64, taken: &mut Vec<PathBuf>) -> Result<()> {
    let listing = fs::read_dir(from).during(from.display())?;
    let mut entries: Vec<PathBuf> = Vec::new();
    for entry in listing {
        entries.push(entry.during(from.display())?.path());
    }
    entries.sort();
    fs::create_dir_all(to).during(to.display())?;
    for path in entries {
        let Some(name) = path.file_name() else {
            continue;
        };
        let target = to.join(name);
        // A file that a package upgrade removed meanwhile is no loss.
        let Ok(facts) = fs::symlink_metadata(&path) else {
            continue;
        };
        if facts.is_dir() {
            copy_tree(&path, &target, left, taken)?;
        } else if facts.is_symlink() {
            symlink(fs::read_link(&path).during(path.display())?, &target).during(target.display())?;
        } else if facts.is_file() && rounded(facts.len()) <= *left {
            *left -= rounded(facts.len());
            copy_file(&path, &target)?;
            taken.push(target);
        }
        if *left < PAGE {
            return Ok(());
        }
    }
    Ok(())
}

fn copy_file(from: &Path, to: &Path) -> Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).during(parent.display())?;
    }
    fs::copy(from, to).during(format!("copying {} to {}", from.display(), to.display()))?;
    let time = fs::metadata(from).and_then(|facts| facts.modified()).during(from.display())?;
    let file = File::open(to).during(to.display())?;
    file.set_modified(time).during(to.display())
}

/// A copy with the same holes.
pub(super) fn copy_sparse(from: &Path, to: &Path) -> Result<()> {
    run::output(run::program("cp").arg("--sparse=always").args([from, to])).map(drop)
}

/// Overwrites distinct random pages that the file system uses for files and folders.
fn change(image: &Path, sizes: Sizes) -> Result<()> {
    use std::os::unix::fs::FileExt;
    let used = used::pages(image)?;
    let wanted = usize::try_from(sizes.changed_pages).during("number of pages")?;
    if used.len() < wanted {
        return Err(Fail::new(format!("{} has only {} pages of files", image.display(), used.len())));
    }
    let mut random = Random::seeded(2);
    let mut order = used;
    for place in 0..wanted {
        let other = place + random.below((order.len() - place) as u64) as usize;
        order.swap(place, other);
    }
    let file = File::options().write(true).open(image).during(image.display())?;
    let mut page = [0; PAGE as usize];
    for number in &order[..wanted] {
        random.fill(&mut page);
        file.write_all_at(&page, number * PAGE).during(image.display())?;
    }
    file.sync_all().during(image.display())
}
