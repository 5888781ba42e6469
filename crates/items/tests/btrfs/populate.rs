//! Fills a mounted file system with one of everything.

use super::machine::{Random, shell};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

/// Files of every kind and shape, links, reflinks, subvolumes and snapshots.
pub(crate) fn everything(dir: &Path, seed: u64) {
    contents(dir, seed);
    names(dir);
    nodes(dir);
    shapes(dir);
    subvolumes(dir);
    fs::remove_file(dir.join("random-70000")).unwrap();
}

/// Files whose sizes lie around sectors, inline limits and compressed extents; compressible, and not.
fn contents(dir: &Path, seed: u64) {
    let mut random = Random(seed);
    let sizes = [0, 1, 100, 2047, 2048, 2049, 4095, 4096, 4097, 70_000, 131_072, 1_500_001];
    for size in sizes {
        fs::write(dir.join(format!("random-{size}")), random.bytes(size)).unwrap();
        fs::write(dir.join(format!("text-{size}")), text(size)).unwrap();
    }
    let mixed: Vec<u8> = (0..40).flat_map(|i| if i % 3 == 0 { random.bytes(50_000) } else { text(50_000) }).collect();
    fs::write(dir.join("mixed"), mixed).unwrap();
}

pub(crate) fn text(len: usize) -> Vec<u8> {
    let lines = (0..).flat_map(|i: u64| format!("line {i} of {}\n", i * i % 97).into_bytes());
    lines.take(len).collect()
}

fn names(dir: &Path) {
    let many = dir.join("many");
    fs::create_dir(&many).unwrap();
    for i in 0..300 {
        fs::write(many.join(format!("file {i}")), format!("content {i}")).unwrap();
    }
    fs::write(dir.join(OsStr::from_bytes(b"not \xff utf-8 \x01\n")), "x").unwrap();
    fs::write(dir.join("n".repeat(255)), "long name").unwrap();
    // More names than one reference item holds: the rest become extended references.
    let links = dir.join("links");
    fs::create_dir(&links).unwrap();
    fs::write(links.join("original"), "linked").unwrap();
    for i in 0..200 {
        let name = format!("{i:03}{}", "l".repeat(200));
        fs::hard_link(links.join("original"), links.join(name)).unwrap();
    }
}

fn nodes(dir: &Path) {
    shell(
        dir,
        "mkfifo fifo; mknod char c 4 65; mknod block b 259 1048575; mknod null c 1 3
         ln -s target link; ln -s \"$(printf 'p%.0s' {1..3000})\" longlink; ln -s / root
         touch times; touch -h -d '1965-03-04 05:06:07.123456789' times link
         touch -a -d '2200-01-01 00:00:00.000000001' times; chown -h 1234:70000 times link
         mkdir sticky; chmod 1777 sticky; touch suid; chmod 6755 suid; chmod 0 fifo
         mkdir -p a/b/c/d/e/f; echo deep > a/b/c/d/e/f/g",
    );
    UnixListener::bind(dir.join("socket")).unwrap();
}

fn shapes(dir: &Path) {
    shell(
        dir,
        "truncate -s 100M sparse; echo middle | dd of=sparse bs=1 seek=50000001 conv=notrunc status=none
         fallocate -l 300000 prealloc; echo start | dd of=prealloc conv=notrunc status=none
         touch beyond; fallocate -n -l 300000 beyond; echo small > beyond2; fallocate -n -l 100000 beyond2
         cp random-1500001 holes; fallocate -p -o 100000 -l 500000 holes; sync
         cp --reflink=always random-1500001 reflink; cp --reflink=always text-1500001 reflink-text
         dd if=/dev/zero of=reflink bs=4096 seek=30 count=3 conv=notrunc status=none
         cp text-1500001 rewritten; sync; dd if=random-70000 of=rewritten bs=1 seek=200003 conv=notrunc status=none
         cp text-131072 shrunk; sync; truncate -s 50001 shrunk; truncate -s 200000 shrunk
         touch nocow; chattr +C nocow; cat random-1500001 >> nocow
         cp text-100 grown; sync; truncate -s 9000 grown; sync",
    );
}

fn subvolumes(dir: &Path) {
    shell(
        dir,
        "btrfs -q subvolume create sub; echo in-sub > sub/file; mkdir sub/dir; echo x > sub/dir/y
         btrfs -q subvolume create sub/dir/nested; echo nested > sub/dir/nested/file
         cp text-131072 sub/text; sync
         btrfs -q subvolume snapshot sub snapshot; btrfs -q subvolume snapshot -r sub a/readonly
         echo changed > sub/file; rm snapshot/text; echo new > snapshot/new
         btrfs -q subvolume create doomed; echo x > doomed/x; btrfs -q subvolume delete doomed
         sync",
    );
}
