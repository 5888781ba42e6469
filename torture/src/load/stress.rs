//! stress-ng's stressors of files, a few of them in each round.
//!
//! Never knows: what they leave behind; the file system's own checker judges that.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use super::Load;
use crate::chance::Chance;
use crate::fail::{During, Result};
use crate::tools::{Running, program, text};

/// Stressors, and what keeps each small.
const ALL: &[&[&str]] = &[
    &["--dir", "2", "--dir-dirs", "512"],
    &["--dentry", "2", "--dentries", "512"],
    &["--rename", "2"],
    &["--link", "1"],
    &["--symlink", "1"],
    &["--chmod", "1"],
    &["--utime", "1"],
    &["--xattr", "1"],
    &["--filename", "1"],
    &["--touch", "1"],
    &["--hdd", "1", "--hdd-bytes", "16M", "--hdd-write-size", "16K"],
    &["--hdd", "1", "--hdd-bytes", "16M", "--hdd-opts", "direct,wr-rnd,fsync"],
    &["--fallocate", "1", "--fallocate-bytes", "16M"],
    &["--copy-file", "1", "--copy-file-bytes", "16M"],
    &["--sync-file", "1", "--sync-file-bytes", "16M"],
    &["--seek", "1", "--seek-size", "16M"],
    &["--aio", "1", "--aio-requests", "8"],
    &["--io-uring", "1"],
    &["--lockf", "1"],
];

/// How many of them at once.
const AT_ONCE: usize = 3;

struct Stress(Running);

/// Starts some in a folder that is made.
///
/// # Errors
/// stress-ng cannot be started.
pub(crate) fn start(mounted: &Path, logs: &Path, chance: &mut Chance) -> Result<Box<dyn Load>> {
    let folder = mounted.join("stress");
    std::fs::create_dir_all(&folder).during(folder.display())?;
    let mut command = program("stress-ng");
    // What a full file system or a missing ability makes of a stressor is not our concern.
    command.args(["--temp-path", text(&folder), "--timeout", "0", "--quiet", "--no-rand-seed", "--oom-avoid"]);
    let mut used: Vec<&str> = Vec::new();
    while used.len() < AT_ONCE {
        let choice = chance.pick(ALL);
        if !used.contains(&choice[0]) {
            used.push(choice[0]);
            command.args(*choice);
        }
    }
    Ok(Box::new(Stress(Running::start(&mut command, &logs.join("stress-ng"))?)))
}

impl Load for Stress {
    /// stress-ng ends by itself when all its stressors cannot go on, as some file systems lack what they ask for.
    fn check(&mut self) -> Result<()> {
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        self.0.signal(Signal::INT);
        drop(self.0.end(Duration::from_secs(3))); // what does not end is killed
        self.0.signal(Signal::KILL);
        Ok(())
    }
}
