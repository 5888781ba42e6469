//! Headers of a tar archive: ustar (POSIX.1-1988), with extended records (pax, POSIX.1-2001) where its fields are too small.
//!
//! Never knows: where files come from.

use backstay_items::tree::{FileTime, Metadata, NodeKind};

/// Everything in an archive lies in blocks of this length.
pub(super) const BLOCK: usize = 512;

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Member<'m> {
    /// A file of so many bytes, which follow.
    File(u64),
    /// A folder.
    Folder,
    /// Another name of a file that came before.
    Link(&'m [u8]),
    /// A symbolic link.
    Symlink(&'m [u8]),
    /// A device or named pipe.
    Special(NodeKind, (u32, u32)),
}

impl Member<'_> {
    fn flag(&self) -> u8 {
        match self {
            Member::File(_) => b'0',
            Member::Link(_) => b'1',
            Member::Symlink(_) => b'2',
            Member::Special(NodeKind::CharDevice, _) => b'3',
            Member::Special(NodeKind::BlockDevice, _) => b'4',
            Member::Folder => b'5',
            Member::Special(..) => b'6',
        }
    }

    fn size(&self) -> u64 {
        if let Member::File(size) = self { *size } else { 0 }
    }

    fn target(&self) -> &[u8] {
        match self {
            Member::Link(target) | Member::Symlink(target) => target,
            _ => b"",
        }
    }
}

/// Everything before a member's content. Names are taken as they are, whatever their encoding.
pub(super) fn header(name: &[u8], member: &Member<'_>, about: &Metadata) -> Vec<u8> {
    let records = records(name, member, about);
    let mut out = Vec::new();
    if !records.is_empty() {
        let plain = Fields { name: b"extended", mode: 0o644, size: records.len() as u64, ..Fields::default() };
        out.extend_from_slice(&plain.block(b'x'));
        out.extend_from_slice(&records);
        out.resize(out.len().next_multiple_of(BLOCK), 0);
    }
    let device = if let Member::Special(_, device) = member { *device } else { (0, 0) };
    let fields = Fields {
        name,
        mode: about.permissions & 0o7777,
        owner: (about.uid, about.gid),
        size: member.size(),
        modified: about.modified.seconds,
        target: member.target(),
        device,
    };
    out.extend_from_slice(&fields.block(member.flag()));
    out
}

/// Zeros that fill the last block of so many bytes.
pub(super) fn padding(size: u64) -> usize {
    (size.next_multiple_of(BLOCK as u64) - size) as usize
}

/// What fits no field.
fn records(name: &[u8], member: &Member<'_>, about: &Metadata) -> Vec<u8> {
    let mut out = Vec::new();
    let mut put = |key: &str, value: &[u8]| out.extend_from_slice(&record(key, value));
    if name.len() > NAME {
        put("path", name);
    }
    if member.target().len() > NAME {
        put("linkpath", member.target());
    }
    for (key, value, most) in
        [("size", member.size(), LONG), ("uid", about.uid.into(), SHORT), ("gid", about.gid.into(), SHORT)]
    {
        if value > most {
            put(key, value.to_string().as_bytes());
        }
    }
    let FileTime { seconds, nanos } = about.modified;
    if nanos != 0 || seconds < 0 || seconds as u64 > LONG {
        put("mtime", time(about.modified).as_bytes());
    }
    out
}

/// A record says its own length first, its digits included.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [length.to_string().as_bytes(), b" ", key.as_bytes(), b"=", value, b"\n"].concat()
}

/// Seconds with their fraction; before 1970 the whole of it is negative.
fn time(at: FileTime) -> String {
    let nanos = i128::from(at.seconds) * 1_000_000_000 + i128::from(at.nanos);
    let (sign, nanos) = (if nanos < 0 { "-" } else { "" }, nanos.unsigned_abs());
    format!("{sign}{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)
}

/// Bytes of names.
const NAME: usize = 100;
/// The largest numbers of seven and of eleven octal digits.
const SHORT: u64 = (1 << 21) - 1;
const LONG: u64 = (1 << 33) - 1;

#[derive(Default)]
struct Fields<'f> {
    name: &'f [u8],
    mode: u16,
    owner: (u32, u32),
    size: u64,
    modified: i64,
    target: &'f [u8],
    device: (u32, u32),
}

impl Fields<'_> {
    fn block(&self, flag: u8) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        // What is too long or too large is in a record.
        let octal =
            |value: u64, digits: usize, most: u64| format!("{:0digits$o}\0", if value > most { 0 } else { value });
        put(0, &self.name[..self.name.len().min(NAME)]);
        put(100, octal(self.mode.into(), 7, SHORT).as_bytes());
        put(108, octal(self.owner.0.into(), 7, SHORT).as_bytes());
        put(116, octal(self.owner.1.into(), 7, SHORT).as_bytes());
        put(124, octal(self.size, 11, LONG).as_bytes());
        put(136, octal(self.modified.try_into().unwrap_or(0), 11, LONG).as_bytes());
        put(148, b"        "); // the checksum counts itself as spaces
        put(156, &[flag]);
        put(157, &self.target[..self.target.len().min(NAME)]);
        put(257, b"ustar\x0000");
        put(329, octal(self.device.0.into(), 7, SHORT).as_bytes());
        put(337, octal(self.device.1.into(), 7, SHORT).as_bytes());
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_its_own_digits() {
        assert_eq!(record("path", b"ab"), b"11 path=ab\n");
        assert_eq!(record("p", &[b'x'; 94]).len(), 101);
        for len in 0..2000 {
            let made = record("path", &vec![b'x'; len]);
            let said: usize = std::str::from_utf8(&made).unwrap().split(' ').next().unwrap().parse().unwrap();
            assert_eq!(said, made.len());
        }
    }

    #[test]
    fn times_before_1970_are_negative_as_a_whole() {
        assert_eq!(time(FileTime { seconds: -2, nanos: 500_000_000 }), "-1.500000000");
        assert_eq!(time(FileTime { seconds: 3, nanos: 7 }), "3.000000007");
    }
}
