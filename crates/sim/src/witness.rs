//! The independent reader as a judge: a home is written out as a folder and read by it.
//!
//! Never knows: the vault that wrote it.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use backstay_env::sim::objects::SimObjects;
use backstay_verify::{Reader, Sink};

use crate::Violation;
use crate::disk::{DiskShot, PAGE};
use crate::model::Machine;
use crate::ripe::{PASSPHRASE, VAULT, objects_of};

struct Memory(Vec<u8>);

impl Sink for Memory {
    fn put(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let end = offset as usize + bytes.len();
        if self.0.len() < end {
            self.0.resize(end, 0);
        }
        self.0[offset as usize..end].copy_from_slice(bytes);
        Ok(())
    }

    fn finish(&mut self, size: u64) -> io::Result<()> {
        self.0.resize(size as usize, 0);
        Ok(())
    }
}

/// Reads a home as a stranger would. `strict`: nothing may be damaged. Says what it found damaged.
pub(crate) fn judge(home: &SimObjects, machines: &[Machine], strict: bool) -> Result<Vec<String>, Violation> {
    let failed = |e: io::Error| Violation(format!("a folder could not be written: {e}"));
    let folder = tempfile::tempdir().map_err(failed)?;
    write_out(home, folder.path()).map_err(failed)?;
    let reader = Reader::open(folder.path(), VAULT, PASSPHRASE).map_err(|e| Violation(format!("verify: {e}")))?;
    let report = reader.check();
    if strict && !report.findings.is_empty() {
        return Err(Violation(format!("verify found {}", report.findings[0])));
    }
    for machine in machines {
        compare(&reader, machine, strict)?;
    }
    Ok(report.findings.iter().map(ToString::to_string).collect())
}

fn write_out(home: &SimObjects, folder: &Path) -> io::Result<()> {
    for (key, body) in objects_of(home).map_err(io::Error::other)? {
        let path = folder.join(key.as_str());
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, body)?;
    }
    Ok(())
}

fn compare(reader: &Reader, machine: &Machine, strict: bool) -> Result<(), Violation> {
    let Some(id) = reader.find(&machine.name) else {
        let expected = machine.points.values().any(|known| known.must);
        let lost = strict && expected;
        return if lost { Err(Violation(format!("verify knows no machine {}", machine.name))) } else { Ok(()) };
    };
    let listed: BTreeSet<u64> = reader.points(id).map(|(number, _)| number).collect();
    for (number, known) in &machine.points {
        if !listed.contains(number) {
            if strict && known.must {
                return Err(Violation(format!("verify knows no point {number} of {}", machine.name)));
            }
            continue;
        }
        let disks =
            reader.point(id, *number).map(|p| p.disks.iter().map(|d| (d.number, d.name.clone())).collect::<Vec<_>>());
        for (disk, name) in disks.unwrap_or_default() {
            let shot = known.shot.0.iter().find(|shot| shot.name == name);
            let place = format!("verify: machine {}, point {number}, disk {name}", machine.name);
            let shot = shot.ok_or_else(|| Violation(format!("{place}: there was none")))?;
            let mut memory = Memory(Vec::new());
            let unvouched = reader.read_disk(id, *number, disk, &mut memory);
            let unvouched = unvouched.map_err(|e| Violation(format!("{place}: {e}")))?;
            let pages = |u: &backstay_verify::Unvouched| u.offset / PAGE..(u.offset + u.length).div_ceil(PAGE);
            let named: BTreeSet<u64> = unvouched.iter().flat_map(pages).collect();
            same(&memory.0, &named, shot, strict).map_err(|why| Violation(format!("{place}: {why}")))?;
        }
    }
    Ok(())
}

/// Whether what was read is what was captured, but for the pages that were named.
pub(crate) fn same(bytes: &[u8], named: &BTreeSet<u64>, shot: &DiskShot, strict: bool) -> Result<(), String> {
    if bytes.len() != shot.bytes.len() {
        return Err(format!("{} bytes instead of {}", bytes.len(), shot.bytes.len()));
    }
    if strict && *named != shot.unreadable {
        return Err(format!("named as unreadable are pages {named:?}, could not be read {:?}", shot.unreadable));
    }
    if let Some(page) = shot.unreadable.iter().find(|page| !named.contains(page)) {
        return Err(format!("page {page} could not be read, and is given out"));
    }
    for (number, (got, expected)) in bytes.chunks(PAGE as usize).zip(shot.bytes.chunks(PAGE as usize)).enumerate() {
        if got != expected && !named.contains(&(number as u64)) {
            return Err(format!("page {number} is wrong"));
        }
    }
    Ok(())
}
