//! What changes a file system as a whole while it is in use: fstrim, and growing it.
//!
//! Never knows: files.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use super::Load;
use crate::chance::Chance;
use crate::fail::{Fail, Result};
use crate::tools::{Stop, run, text};
use crate::world::kind::Kind;

struct Shaper {
    stop: Stop,
    thread: Option<JoinHandle<Result<()>>>,
}

/// Trims, and now and then lets the file system take a bit more of its device.
pub(crate) fn start(
    kind: Kind,
    device: PathBuf,
    mounted: PathBuf,
    room: (u64, u64),
    mut chance: Chance,
) -> Box<dyn Load> {
    let stop = Stop::default();
    let asked = stop.clone();
    let work = move || {
        let (mut size, most) = room;
        while !asked.asked() {
            asked.sleep(chance.millis(500, 6000));
            if chance.once_in(2) || !kind.can_grow() {
                trim(&mounted)?;
            } else if size < most {
                size = most.min(size + ((1 + chance.below(48)) << 20));
                kind.grow(&device, &mounted, size)?;
            }
        }
        Ok(())
    };
    Box::new(Shaper { stop, thread: Some(std::thread::spawn(work)) })
}

fn trim(mounted: &Path) -> Result<()> {
    run("fstrim", [text(mounted)]).map(drop)
}

impl Load for Shaper {
    fn check(&mut self) -> Result<()> {
        if self.thread.as_ref().is_some_and(JoinHandle::is_finished) { self.stop() } else { Ok(()) }
    }

    fn stop(&mut self) -> Result<()> {
        self.stop.ask();
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(ended) => ended.unwrap_or_else(|_| Err(Fail::new("the thread that trims died"))),
        }
    }
}

impl Drop for Shaper {
    fn drop(&mut self) {
        drop(self.stop());
    }
}
