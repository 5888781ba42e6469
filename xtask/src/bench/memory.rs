//! The memory of a process, with the kernel's maps that it has mapped apart: they are there whether it lives or not.
//!
//! Never knows: what the process does.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::fail::{During, Result};

/// Bytes resident.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Resident {
    /// Without the kernel's maps.
    pub(super) own: u64,
    /// Of the kernel's maps.
    pub(super) maps: u64,
}

/// What is resident now.
pub(super) fn now(process: u32) -> Result<Resident> {
    let path = format!("/proc/{process}/smaps");
    Ok(sum(&fs::read_to_string(&path).during(path)?))
}

/// The most that was ever resident, the kernel's maps included.
pub(super) fn most(process: u32) -> Result<u64> {
    let path = format!("/proc/{process}/status");
    let text = fs::read_to_string(&path).during(path)?;
    Ok(text.lines().find_map(|line| kibibytes(line, "VmHWM:")).unwrap_or_default())
}

/// Does something, and looks five times a second at what is resident; the most that was seen of each.
pub(super) fn watched<T>(process: u32, work: impl FnOnce() -> Result<T>) -> Result<(T, Resident)> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let seen = scope.spawn(|| {
            let mut most = Resident::default();
            while !over.load(Ordering::Relaxed) {
                let Resident { own, maps } = now(process).unwrap_or_default();
                most = Resident { own: most.own.max(own), maps: most.maps.max(maps) };
                std::thread::sleep(Duration::from_millis(200));
            }
            most
        });
        let done = work();
        over.store(true, Ordering::Relaxed);
        Ok((done?, seen.join().unwrap_or_default()))
    })
}

fn sum(smaps: &str) -> Resident {
    let (mut found, mut is_map) = (Resident::default(), false);
    for line in smaps.lines() {
        match kibibytes(line, "Rss:") {
            Some(bytes) if is_map => found.maps += bytes,
            Some(bytes) => found.own += bytes,
            // The first line of a mapping: `start-end rights offset device inode name`.
            None if line.split(' ').next().is_some_and(|word| word.contains('-')) => {
                is_map = line.contains("bpf-map") || line.contains("bpf_map");
            }
            None => {}
        }
    }
    found
}

fn kibibytes(line: &str, name: &str) -> Option<u64> {
    let count: u64 = line.strip_prefix(name)?.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(count * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_counted_apart() {
        let smaps = "7f00-7f10 rw-s 00000000 00:0e 12  anon_inode:bpf-map\nSize: 64 kB\nRss:                  64 kB\n\
            5500-5510 r-xp 00000000 fe:00 34 /usr/bin/backstay\nRss:       12 kB\nVmFlags: rd ex\n";
        assert_eq!(sum(smaps), Resident { own: 12 << 10, maps: 64 << 10 });
    }
}
