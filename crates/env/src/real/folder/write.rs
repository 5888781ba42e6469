//! Writing the bytes of a new file: large ones past the page cache.
//!
//! An object is made durable before it gets its name, so the page cache saves nothing; and Linux (seen with 6.18, ext4) needs
//! several times the processor time of compressing them to take 32 MiB into its cache. The cache stays for those who
//! run beside us, too.
//!
//! Never knows: names.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

use crate::real::disk::AlignedBuf;

/// From this length on, in bytes.
const DIRECT_FROM: usize = 1 << 20;
/// Bytes written at once.
const PIECE: usize = 1 << 20;
/// Multiples of it, in bytes, are written directly; what every disk and file system takes.
const UNIT: usize = 4096;

/// Writes all parts one after the other to the end of an empty file. Not durable yet.
///
/// # Errors
/// What the system says; `NOSPC` when it takes nothing and says nothing.
pub(super) fn write_all(file: BorrowedFd<'_>, parts: &[&[u8]]) -> Result<(), Errno> {
    let total: usize = parts.iter().map(|part| part.len()).sum();
    let mut writer = Writer { file, direct: total >= DIRECT_FROM && set_direct(file, true).is_ok() };
    let mut piece = AlignedBuf::new(PIECE.min(total));
    let mut filled = 0;
    for part in parts {
        let mut rest = *part;
        while !rest.is_empty() {
            let taken = rest.len().min(piece.len() - filled);
            piece[filled..filled + taken].copy_from_slice(&rest[..taken]);
            (filled, rest) = (filled + taken, &rest[taken..]);
            if filled == piece.len() {
                writer.write(&piece)?;
                filled = 0;
            }
        }
    }
    let whole = filled - filled % UNIT;
    writer.write(&piece[..whole])?;
    writer.go_buffered()?;
    writer.write(&piece[whole..filled])
}

struct Writer<'a> {
    file: BorrowedFd<'a>,
    direct: bool,
}

impl Writer<'_> {
    fn write(&mut self, mut bytes: &[u8]) -> Result<(), Errno> {
        while !bytes.is_empty() {
            match rustix::io::retry_on_intr(|| rustix::io::write(self.file, bytes)) {
                // A file system that takes the flag and not the writes; or one that took part of a unit just now.
                Err(Errno::INVAL) if self.direct => self.go_buffered()?,
                Ok(0) => return Err(Errno::NOSPC),
                written => bytes = &bytes[written?..],
            }
        }
        Ok(())
    }

    fn go_buffered(&mut self) -> Result<(), Errno> {
        if std::mem::take(&mut self.direct) {
            set_direct(self.file, false)?;
        }
        Ok(())
    }
}

fn set_direct(file: impl AsFd, on: bool) -> Result<(), Errno> {
    let mut flags = fcntl_getfl(&file)?;
    flags.set(OFlags::DIRECT, on);
    fcntl_setfl(&file, flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_hold_their_parts_whatever_the_lengths() {
        let folder = tempfile::tempdir().unwrap();
        for (number, lens) in [
            &[][..],
            &[0],
            &[1],
            &[5, 0, 4091],
            &[DIRECT_FROM - 1],
            &[DIRECT_FROM],
            &[DIRECT_FROM, 1],
            &[3 * PIECE / 2, 7, PIECE, 4096],
            &[4096, 3 * PIECE + 511],
        ]
        .iter()
        .enumerate()
        {
            let parts: Vec<Vec<u8>> =
                lens.iter().map(|len| (0..*len).map(|at| (at * 31 + at / 4096 + number) as u8).collect()).collect();
            let path = folder.path().join(number.to_string());
            let file = std::fs::File::create(&path).unwrap();
            write_all(file.as_fd(), &parts.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), parts.concat(), "{lens:?}");
        }
    }
}
