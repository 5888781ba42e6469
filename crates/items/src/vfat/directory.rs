//! Directories of FAT: entries of 32 bytes, long names in entries before the one they belong to.
//!
//! Never knows: where the entries came from.

use crate::bytes::{le16, le32};
use crate::tree::FileTime;

pub(super) const ENTRY: usize = 32;
const LONG: u8 = 0x0F;
const LABEL: u8 = 0x08;
const DIRECTORY: u8 = 0x10;
const DELETED: u8 = 0xE5;

/// What IBM's code page 437 shows for the bytes from 0x80.
const HIGH: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";

/// A file's or directory's own entry.
#[derive(Clone, Copy)]
pub(super) struct Short([u8; ENTRY]);

impl Short {
    pub(super) fn new(bytes: [u8; ENTRY]) -> Self {
        Short(bytes)
    }

    /// Whether it stands for a file or directory.
    pub(super) fn is_file(&self) -> bool {
        let free = matches!(self.0[0], 0 | DELETED);
        !free && self.0[11] & LABEL == 0
    }

    pub(super) fn is_directory(&self) -> bool {
        self.0[11] & DIRECTORY != 0
    }

    pub(super) fn cluster(&self) -> u32 {
        u32::from(le16(&self.0, 20)) << 16 | u32::from(le16(&self.0, 26))
    }

    pub(super) fn size(&self) -> u64 {
        u64::from(le32(&self.0, 28))
    }

    pub(super) fn modified(&self) -> FileTime {
        time(le16(&self.0, 24), le16(&self.0, 22))
    }

    pub(super) fn created(&self) -> FileTime {
        time(le16(&self.0, 16), le16(&self.0, 14))
    }

    pub(super) fn accessed(&self) -> FileTime {
        time(le16(&self.0, 18), 0)
    }

    fn sum(&self) -> u8 {
        let step = |sum: u8, &byte: &u8| sum.rotate_right(1).wrapping_add(byte);
        self.0[..11].iter().fold(0, step)
    }

    fn name(&self) -> String {
        let part = |bytes: &[u8], lower: bool| -> String {
            let end = bytes.iter().rposition(|&b| b != b' ').map_or(0, |i| i + 1);
            let text = bytes[..end].iter().map(|&b| letter(b));
            match lower {
                true => text.map(|c| c.to_ascii_lowercase()).collect(),
                false => text.collect(),
            }
        };
        let mut bytes = self.0;
        if bytes[0] == 5 {
            bytes[0] = DELETED;
        }
        let base = part(&bytes[..8], bytes[12] & 0x08 != 0);
        match part(&bytes[8..11], bytes[12] & 0x10 != 0) {
            extension if extension.is_empty() => base,
            extension => format!("{base}.{extension}"),
        }
    }
}

fn letter(byte: u8) -> char {
    match byte {
        0x80.. => HIGH.chars().nth(usize::from(byte) - 0x80).unwrap_or('?'),
        byte => char::from(byte),
    }
}

/// A name, its entry, and the entry's place in the bytes given.
pub(super) struct Name {
    pub(super) name: String,
    pub(super) entry: Short,
    pub(super) at: usize,
}

/// The names in a directory's bytes, but for `.` and `..`.
pub(super) fn names(bytes: &[u8]) -> Vec<Name> {
    let mut out = Vec::new();
    let mut long = Long::default();
    for (i, chunk) in bytes.as_chunks::<ENTRY>().0.iter().enumerate() {
        let entry = Short::new(*chunk);
        if chunk[0] == 0 {
            break;
        }
        if chunk[11] & 0x3F == LONG && chunk[0] != DELETED {
            long.add(chunk);
            continue;
        }
        let long = std::mem::take(&mut long).finish(entry.sum());
        if entry.is_file() && !matches!(&chunk[..2], b". " | b"..") {
            let name = long.unwrap_or_else(|| entry.name());
            let at = i * ENTRY;
            out.push(Name { name, entry, at });
        }
    }
    out
}

/// A long name as its entries come by, last piece first.
#[derive(Default)]
struct Long {
    letters: Vec<u16>,
    expected: u8,
    sum: u8,
}

impl Long {
    fn add(&mut self, entry: &[u8; ENTRY]) {
        let (number, sum) = (entry[0] & 0x1F, entry[13]);
        if entry[0] & 0x40 != 0 {
            *self = Long { letters: Vec::new(), expected: number, sum };
        }
        if number == 0 || number != self.expected || sum != self.sum {
            *self = Long::default();
            return;
        }
        let places = (1..11).step_by(2).chain((14..26).step_by(2)).chain([28, 30]);
        let piece = places.map(|at| le16(entry, at));
        self.letters.splice(0..0, piece);
        self.expected -= 1;
        if self.expected == 0 {
            // Complete: one more piece would be one too many.
            self.expected = 0x80;
        }
    }

    fn finish(self, sum: u8) -> Option<String> {
        if self.expected != 0x80 || self.sum != sum {
            return None;
        }
        let letters = self.letters.into_iter().take_while(|&c| c != 0);
        Some(String::from_utf16_lossy(&letters.collect::<Vec<_>>()))
    }
}

/// Local time of an unknown zone, taken as UTC.
fn time(date: u16, time: u16) -> FileTime {
    let (year, month) = (1980 + i64::from(date >> 9), i64::from(date >> 5 & 15).clamp(1, 12));
    let days = days(year, month, i64::from(date & 31).max(1));
    let (hour, minute) = (i64::from(time >> 11), i64::from(time >> 5 & 63));
    FileTime { seconds: days * 86_400 + hour * 3600 + minute * 60 + i64::from(time & 31) * 2, nanos: 0 }
}

/// Days from 1970-01-01 in the Gregorian calendar, for years after 0; March starts the year, so that leap days end it.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let in_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + in_year - 719_468
}
