//! What is mounted here, as the kernel tells.
//!
//! Never knows: how disks are built from each other.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::stack::{self, Target};
use super::{DiskError, errno};

/// A file system that is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// The device number of what is in it: major, minor. Major 0: no block device by that number.
    pub(super) device: (u32, u32),
    pub(super) point: PathBuf,
    pub(super) kind: String,
    /// What was named when mounting.
    pub(super) source: PathBuf,
    /// Options of the file system.
    pub(super) options: String,
}

/// Where file systems on the disk at `path`, on one of its partitions, or on anything built from them (logical volumes,
/// arrays, loop devices, in any depth) are mounted; for swap, the device that is swapped to. Only what this process
/// can see: not other mount namespaces.
///
/// # Errors
/// [`DiskError::Missing`], [`DiskError::Denied`], [`DiskError::Blind`], [`DiskError::Io`].
pub fn mounts(path: impl AsRef<Path>) -> Result<Vec<PathBuf>, DiskError> {
    let path = path.as_ref();
    let target = Target::of(path)?;
    let failed = |e: io::Error| DiskError::of(path, errno(&e));
    let all = all()?;
    let mut found = Vec::new();
    for mount in &all {
        if stack::holds_mount(target, mount, &all).map_err(failed)? {
            found.push(mount.point.clone());
        }
    }
    for swap in swaps().map_err(failed)? {
        if stack::holds_thing(target, &swap, &all).map_err(failed)? {
            found.push(swap);
        }
    }
    Ok(found)
}

/// Every mount that this process can see.
///
/// # Errors
/// [`DiskError::Blind`], also where devices could not be followed down from mounts: no answer is better than a wrong one.
pub(super) fn all() -> Result<Vec<Mount>, DiskError> {
    let blind = |place| move |source| DiskError::Blind { place, source };
    std::fs::metadata("/sys/dev/block").map_err(blind("/sys"))?;
    let text = std::fs::read("/proc/self/mountinfo").map_err(blind("/proc"))?;
    Ok(text.split(|byte| *byte == b'\n').filter_map(parse).collect())
}

/// Files and devices that are swapped to.
fn swaps() -> io::Result<Vec<PathBuf>> {
    let text = match std::fs::read("/proc/swaps") {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()), // a kernel without swap
        text => text?,
    };
    let lines = text.split(|byte| *byte == b'\n').skip(1);
    let names = lines.filter_map(|line| line.split(|byte| *byte == b' ' || *byte == b'\t').next());
    Ok(names.filter(|name| name.starts_with(b"/")).map(unescape).collect())
}

/// One line of mountinfo: `id parent major:minor root point options [optional]... - kind source options`.
fn parse(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let numbers = std::str::from_utf8(fields.nth(2)?).ok()?;
    let (major, minor) = numbers.split_once(':')?;
    let point = unescape(fields.nth(1)?);
    let mut rest = fields.skip_while(|field| *field != b"-").skip(1);
    let kind = String::from_utf8_lossy(rest.next()?).into_owned();
    let source = unescape(rest.next()?);
    let options = unescape(rest.next()?).to_string_lossy().into_owned();
    Some(Mount { device: (major.parse().ok()?, minor.parse().ok()?), point, kind, source, options })
}

/// Blanks and the like are written as a backslash and three octal digits.
fn unescape(text: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let code = text.get(at + 1..at + 4).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = code.and_then(|digits| u8::from_str_radix(digits, 8).ok()).filter(|_| text[at] == b'\\');
        bytes.push(byte.unwrap_or(text[at]));
        at += if byte.is_some() { 4 } else { 1 };
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_the_kernel_writes_them() {
        let line = br"36 35 98:0 /mnt1 /mnt\0402 rw,noatime master:1 shared:2 - ext3 /dev/ro\134ot rw,errors=continue";
        let mount = parse(line).unwrap();
        assert_eq!(mount.device, (98, 0));
        assert_eq!(mount.point, Path::new("/mnt 2"));
        assert_eq!(mount.source, Path::new(r"/dev/ro\ot"));
        assert_eq!((mount.kind.as_str(), mount.options.as_str()), ("ext3", "rw,errors=continue"));
        for broken in
            [&b""[..], b"36 35 98 / / rw - a b c", b"36 35 98:0 / / rw shared:2", b"\\", b"1 2 3:4 / \\08 - a b c"]
        {
            assert!(parse(broken).is_none_or(|mount| mount.point == Path::new("\\08")), "{broken:?}");
        }
        assert!(all().unwrap().iter().any(|mount| mount.point == Path::new("/proc")));
    }
}
