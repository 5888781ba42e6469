//! `/proc/PID/mountinfo`: what is mounted where, as one process sees it. Total: any bytes give an answer or an error.
//!
//! Never knows: disks, or which file systems can be frozen.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use crate::number::DeviceNumber;

/// One line: a superblock, or a part of one, at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Unique among all mounts of the machine while it is there.
    pub id: u64,
    /// The superblock.
    pub device: DeviceNumber,
    /// Where it is, as the process that was asked sees it.
    pub point: PathBuf,
    /// Such as `ext4`.
    pub kind: String,
    /// Whether the superblock (not only this mount of it) refuses writes.
    pub read_only: bool,
}

/// A line that is not as the kernel documents it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the list of mounts cannot be read")]
pub struct Malformed {
    /// From 1.
    pub line: usize,
}

/// Reads a whole file.
///
/// # Errors
/// [`Malformed`] at the first line that is not understood: to pass over it could leave a file system unfrozen.
pub fn parse(bytes: &[u8]) -> Result<Vec<Mount>, Malformed> {
    let lines = bytes.split(|&b| b == b'\n').enumerate().filter(|(_, line)| !line.is_empty());
    lines.map(|(at, line)| mount(line).ok_or(Malformed { line: at + 1 })).collect()
}

/// `id parent major:minor root point options [optional]... - kind source options`. Every space counts: the source may
/// be empty.
fn mount(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|&b| b == b' ');
    let id = text(fields.next()?)?.parse().ok()?;
    let _parent = fields.next()?;
    let device = DeviceNumber::parse(text(fields.next()?)?)?;
    let _root = fields.next()?;
    let point = PathBuf::from(OsString::from_vec(unescaped(fields.next()?)));
    let _options = fields.next()?;
    fields.find(|field| *field == b"-")?;
    // Users of FUSE may put any bytes behind `fuse.`, and must not keep others from being frozen by that.
    let kind = String::from_utf8_lossy(&unescaped(fields.next()?)).into_owned();
    let _source = fields.next()?;
    let options = fields.next()?;
    let read_only = options.split(|&b| b == b',').any(|option| option == b"ro");
    Some(Mount { id, device, point, kind, read_only })
}

fn text(field: &[u8]) -> Option<&str> {
    std::str::from_utf8(field).ok()
}

/// Undoes `\040`. A backslash without three octal digits of a byte stands for itself.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, after @ ..] = rest {
        let (byte, left) = octal(rest).unwrap_or((*first, after));
        plain.push(byte);
        rest = left;
    }
    plain
}

fn octal(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', rest @ ..] = bytes else { return None };
    Some(((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'), rest))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn one(line: &str) -> Option<Mount> {
        parse(line.as_bytes()).ok().and_then(|mut mounts| mounts.pop())
    }

    #[test]
    fn fields() {
        let line = "36 35 98:0 /mnt1 /mnt2 rw,noatime shared:1 master:2 - ext3 /dev/root ro,errors=continue\n";
        let device = DeviceNumber { major: 98, minor: 0 };
        let mount = Mount { id: 36, device, point: "/mnt2".into(), kind: "ext3".into(), read_only: true };
        assert_eq!(one(line), Some(mount));
        assert!(!one("1 0 0:21 / /proc ro - proc proc rw").expect("a mount").read_only);
        assert_eq!(one("1 0 0:5 / /x rw - tmpfs  rw").expect("an empty source").kind, "tmpfs");
        let strange = parse(b"1 0 0:5 / /x rw - fuse.\xff a rw\n").expect("any bytes are a kind");
        assert!(strange[0].kind.starts_with("fuse."));
    }

    #[test]
    fn escapes() {
        let point = |escaped: &str| one(&format!("1 0 8:1 / {escaped} rw - ext4 a\\040b rw")).expect("a mount").point;
        for (escaped, plain) in [
            ("/a\\040b\\011c\\012d", "/a b\tc\nd"),
            ("/back\\134slash\\134040", "/back\\slash\\040"),
            ("/\\303\\244", "/ä"),
            ("/ends\\04", "/ends\\04"),
            ("/not\\999\\400", "/not\\999\\400"),
            ("/\\", "/\\"),
        ] {
            assert_eq!(point(escaped), Path::new(plain), "{escaped}");
        }
    }

    #[test]
    fn a_line_that_is_not_understood_is_named() {
        let good = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n";
        assert_eq!(parse(b""), Ok(Vec::new()));
        assert_eq!(parse(format!("{good}{good}").as_bytes()).map(|mounts| mounts.len()), Ok(2));
        for bad in ["x", "1 0 8 / / rw - ext4 a rw", "1 0 8:1 / / rw ext4 a rw", "1 0 8:1 / / rw - ext4 a", "- - -"] {
            assert_eq!(parse(format!("{good}{bad}\n").as_bytes()), Err(Malformed { line: 2 }), "{bad}");
        }
        let all = (0..=255_u8).collect::<Vec<_>>();
        let last = good.rfind(' ').expect("fields");
        for cut in 0..good.len() {
            let _ = parse(&[&good.as_bytes()[..cut], &all].concat());
            assert_eq!(parse(&good.as_bytes()[..cut]).is_ok(), cut == 0 || cut > last, "{cut}");
        }
    }
}
