//! Knows when file systems are held still: a thread writes without end, and the kernel says what it waits for.
//!
//! Never knows: who holds them.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicI64, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::fail::{During, Fail, Result};
use crate::tools::{Stop, now};

/// What is in a stack of the kernel of who waits for a thaw.
const HELD: &[&str] = &["percpu_down_read", "percpu_rwsem_wait", "sb_start_write", "__sb_start_write"];

/// Writes to a file system all the time.
pub(crate) struct Probe {
    stop: Stop,
    task: Arc<AtomicI32>,
    /// When the write under way began; 0: none is.
    since: Arc<AtomicI64>,
    thread: Option<JoinHandle<()>>,
}

impl Probe {
    /// # Errors
    /// There can be no file.
    pub(crate) fn start(mounted: &Path) -> Result<Probe> {
        let path = mounted.join("probe");
        let file = File::create(&path).during(path.display())?;
        let (stop, task, since) = (Stop::default(), Arc::new(AtomicI32::new(0)), Arc::new(AtomicI64::new(0)));
        let (asked, mine, begun) = (stop.clone(), task.clone(), since.clone());
        let thread = std::thread::spawn(move || {
            mine.store(rustix::thread::gettid().as_raw_nonzero().get(), SeqCst);
            while !asked.asked() {
                begun.store(now(), SeqCst);
                drop(file.write_at(b"x", 0)); // a full file system is no matter
                begun.store(0, SeqCst);
                std::thread::sleep(Duration::from_micros(300));
            }
        });
        Ok(Probe { stop, task, since, thread: Some(thread) })
    }

    /// Whether writers are held now.
    pub(crate) fn held(&self) -> bool {
        let path = format!("/proc/self/task/{}/stack", self.task.load(SeqCst));
        let stack = std::fs::read_to_string(path).unwrap_or_default();
        HELD.iter().any(|word| stack.contains(word))
    }

    /// Waits for the next time that they are, and no longer than so; whether it came.
    pub(crate) fn wait_held(&self, within: Duration) -> bool {
        let end = Instant::now() + within;
        while Instant::now() < end {
            if self.held() {
                return true;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        false
    }

    /// Waits until the write goes on; how long it waited in all.
    ///
    /// # Errors
    /// It does not.
    pub(crate) fn wait_thawed(&self, within: Duration) -> Result<Duration> {
        let begun = self.since.load(SeqCst);
        let end = Instant::now() + within;
        while begun != 0 && self.since.load(SeqCst) == begun {
            if Instant::now() > end {
                return Err(Fail::new(format!("a file system is still held after {within:?}")));
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        let waited = if begun == 0 { 0 } else { now() - begun };
        Ok(Duration::from_nanos(u64::try_from(waited).unwrap_or_default()))
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.stop.ask();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
