//! The room for saved blocks ends at once while a guest writes: the guest waits, is let go on, and notices nothing.
//!
//! Never knows: how a guest is run.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::follow::write;
use super::host::Host;
use super::outside::{DISKS, FOLDERS, MAKE};
use crate::fail::{During, Result, ensure};
use crate::guest::{Guest, Parts};
use crate::programs::{program, run as run_here};

pub(super) fn run(parts: &Parts<'_>) -> Result<String> {
    let mut guest = Guest::start_on_qcow2(parts, &[512, 512])?;
    let host = Host::new(parts)?;
    guest.run(MAKE)?;
    let scratch = Scratch::new(host.path("scratch"))?;
    let place = scratch.0.to_string_lossy().into_owned();
    let mut events = Events::listen(&host.path("monitor-2"))?;
    write(&mut guest, FOLDERS, 1)?;
    // Slow, so that there is time; and everything is overwritten meanwhile.
    let slow = ["--once", "--max-rate", "1MiB/s", "--scratch", &place];
    let mut protecting = host.protect_qemu(DISKS, &slow)?;
    host.held()?;
    scratch.fill()?;
    let status = protecting.end()?;
    let log = protecting.log()?;
    ensure(status == Some(1) && log.contains("too little free space for blocks saved"), || {
        format!("{status:?} {log}")
    })?;
    // The guest noticed nothing, and writes on.
    let count = "ls /mnt/data | wc -l; ls -t /mnt/more | head -1";
    let before = guest.run(count)?;
    guest.run("sleep 3; systemctl is-active writer; ! dmesg | grep -iE 'I/O error|Remounting|critical'")?;
    ensure(guest.run(count)? != before, || "the guest writes no more".into())?;
    let (stops, errors) = events.count()?;
    scratch.empty()?;
    let mut protecting = host.protect_qemu(DISKS, &["--once", "--scratch", &place])?;
    let status = protecting.end()?;
    ensure(status == Some(0), || format!("{status:?} {}", protecting.log().unwrap_or_default()))?;
    let points = host.points()?;
    ensure(points.len() == 1, || format!("{points:?}"))?;
    let judged = host.judge(&points[0], DISKS)?;
    guest.shut_down()?;
    Ok(format!(
        "QEMU met {errors} writes that could not be saved and stopped the guest {stops} times; it went on, and the next point has \
         its files up to {judged}"
    ))
}

/// A file system with little room.
struct Scratch(PathBuf);

impl Scratch {
    fn new(at: PathBuf) -> Result<Scratch> {
        fs::create_dir(&at).during(at.display())?;
        run_here(program("mount").args(["-t", "tmpfs", "-o", "size=560m", "none"]).arg(&at))?;
        Ok(Scratch(at))
    }

    /// Takes all that is free, as another program might.
    fn fill(&self) -> Result<()> {
        let said = run_here(program("stat").args(["--file-system", "--format=%a %S"]).arg(&self.0))?;
        let free: u64 = said.split_whitespace().filter_map(|word| word.parse::<u64>().ok()).product();
        run_here(program("fallocate").args(["--length", &free.to_string()]).arg(self.0.join("ballast"))).map(drop)
    }

    fn empty(&self) -> Result<()> {
        fs::remove_file(self.0.join("ballast")).during("the ballast")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(why) = run_here(program("umount").args(["--lazy"]).arg(&self.0)) {
            eprintln!("guests: left mounted: {why}");
        }
    }
}

/// What QEMU tells of by itself.
struct Events(BufReader<UnixStream>);

impl Events {
    fn listen(monitor: &Path) -> Result<Events> {
        let mut stream = UnixStream::connect(monitor).during(monitor.display())?;
        stream.write_all(b"{\"execute\":\"qmp_capabilities\"}\n").during(monitor.display())?;
        stream.set_read_timeout(Some(Duration::from_secs(1))).during(monitor.display())?;
        Ok(Events(BufReader::new(stream)))
    }

    /// How often the guest was stopped, and how many writes failed.
    fn count(&mut self) -> Result<(usize, usize)> {
        let (mut stops, mut errors) = (0, 0);
        let mut line = String::new();
        // Ends when nothing more comes.
        while self.0.read_line(&mut line).is_ok_and(|read| read > 0) {
            stops += usize::from(line.contains("\"STOP\""));
            errors += usize::from(line.contains("\"BLOCK_IO_ERROR\""));
            line.clear();
        }
        Ok((stops, errors))
    }
}
