//! Our side of a watchdog.
//!
//! Never knows: how it does what it is told.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Answer, Charge, Order, TRY};
use crate::agent::Way;

/// How long one that was dismissed may take to end.
const FAREWELL: Duration = Duration::from_secs(5);
/// Between two looks whether it has.
const LOOK: Duration = Duration::from_millis(2);

/// A watchdog at work. When it is dropped it takes away what its charge holds, unless it was dismissed.
pub struct Watchdog {
    /// `None` once it is left to itself.
    child: Option<Child>,
    /// Closed, it tells the watchdog that we are gone.
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    agent: Option<Way>,
}

/// A guest that is held still, for a while.
pub struct Frozen<'w> {
    watchdog: &'w mut Watchdog,
    /// How many file systems.
    pub count: u64,
}

impl Watchdog {
    /// Starts a program that calls [`super::serve`].
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(mut command: Command, charge: &Charge) -> io::Result<Watchdog> {
        // An interrupt from the terminal is not for it.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let (orders, answers) = (child.stdin.take(), child.stdout.take());
        let Some(answers) = answers else { return Err(io::ErrorKind::BrokenPipe.into()) };
        let agent = charge.agent.clone();
        let mut watchdog = Watchdog { child: Some(child), orders, answers: BufReader::new(answers), agent };
        watchdog.send(&serde_json::to_string(charge)?)?;
        Ok(watchdog)
    }

    /// Whether it is still there.
    pub fn is_fit(&mut self) -> bool {
        self.orders.is_some() && self.is_running()
    }

    fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Holds the guest still, for `hold` at most.
    ///
    /// # Errors
    /// Why it is not still, in words.
    pub fn freeze(&mut self, within: Duration, hold: Duration) -> Result<Frozen<'_>, String> {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        match self.ask(Order::Freeze { within_ms: ms(within), hold_ms: ms(hold) }) {
            Ok(Answer::Frozen(count)) => Ok(Frozen { watchdog: self, count }),
            Ok(Answer::Failed(why)) => Err(why),
            Ok(_) => Err("the watchdog answers something else".into()),
            Err(error) => {
                self.thaw_alone();
                Err(format!("the watchdog died: {error}"))
            }
        }
    }

    /// All is in order: it ends. One that must still see a guest go on does that alone.
    pub fn dismiss(mut self) {
        drop(self.order(Order::Bye));
        drop(self.orders.take());
        let end = Instant::now() + FAREWELL;
        while Instant::now() < end && self.is_running() {
            std::thread::sleep(LOOK);
        }
    }

    fn ask(&mut self, order: Order) -> io::Result<Answer> {
        self.order(order)?;
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_str(&line)?)
    }

    fn order(&mut self, order: Order) -> io::Result<()> {
        self.send(&serde_json::to_string(&order)?)
    }

    fn send(&mut self, line: &str) -> io::Result<()> {
        let orders = self.orders.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        orders.write_all(line.as_bytes())?;
        orders.write_all(b"\n")
    }

    /// The watchdog is dead, so that the agent answers us; nothing may be held still, or everything.
    fn thaw_alone(&mut self) {
        drop(self.orders.take());
        let agent = self.agent.as_ref().and_then(|way| way.agent().ok());
        drop(agent.map(|mut agent| agent.thaw(TRY)));
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(mut child) = self.child.take() {
            // Somebody takes note of its end, whenever that is; if nobody can be found for it, our own end does.
            drop(std::thread::Builder::new().spawn(move || child.wait()));
        }
    }
}

impl Frozen<'_> {
    /// Lets the guest go.
    ///
    /// # Errors
    /// Why it was not still all the time, in words.
    pub fn thaw(self) -> Result<(), String> {
        match self.watchdog.ask(Order::Thaw) {
            Ok(Answer::Thawed(0)) if self.count > 0 => {
                Err("somebody else let the guest go before all disks were held".into())
            }
            Ok(Answer::Thawed(_)) => Ok(()),
            Ok(Answer::Failed(why)) => Err(why),
            Ok(_) => Err("the time was over before all disks were held".into()),
            Err(error) => {
                self.watchdog.thaw_alone();
                Err(format!("the watchdog died: {error}"))
            }
        }
    }
}
