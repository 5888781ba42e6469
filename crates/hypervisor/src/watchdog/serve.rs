//! The watchdog's own side.
//!
//! Never knows: who started it.

use std::io::{self, BufRead as _, Write as _};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::{Answer, Charge, Order, PERSISTENCE, TRY};
use crate::agent::Agent;
use crate::leftovers;

/// How long the monitor may be held by the process that is gone.
const TAKING_OVER: Duration = Duration::from_secs(60);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(200);

/// Serves as a watchdog on standard input and output, until told to end or left alone.
///
/// # Errors
/// It was not told what it is in charge of.
pub fn serve() -> io::Result<()> {
    let mut first = String::new();
    io::stdin().read_line(&mut first)?;
    let charge: Charge = serde_json::from_str(&first)?;
    let orders = listen();
    let mut watch = Watch { charge, agent: None, until: None };
    loop {
        match watch.wait(&orders) {
            Some(Order::Bye) => return Ok(()),
            Some(Order::Freeze { within_ms, hold_ms }) => {
                let answer = watch.freeze(Duration::from_millis(within_ms), Duration::from_millis(hold_ms));
                // If nobody hears, the next thing that is heard is the end.
                drop(say(&answer));
            }
            Some(Order::Thaw) => {
                let was_held = watch.until.take().is_some();
                if was_held {
                    watch.thaw();
                }
                drop(say(if was_held { &Answer::Thawed } else { &Answer::Late }));
            }
            None => {
                if watch.until.take().is_some() {
                    watch.thaw();
                }
                watch.clean();
                return Ok(());
            }
        }
    }
}

struct Watch {
    charge: Charge,
    agent: Option<Agent>,
    /// The guest is held still no longer than this.
    until: Option<Instant>,
}

impl Watch {
    /// The next order; `None` when there will be no more. Lets the guest go meanwhile, if its time is over.
    fn wait(&mut self, orders: &Receiver<Order>) -> Option<Order> {
        if let Some(until) = self.until {
            match orders.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Err(RecvTimeoutError::Timeout) => {
                    self.until = None;
                    self.thaw();
                }
                order => return order.ok(),
            }
        }
        orders.recv().ok()
    }

    fn freeze(&mut self, within: Duration, hold: Duration) -> Answer {
        match self.try_freeze(within) {
            Ok(count) => {
                self.until = Some(Instant::now() + hold);
                Answer::Frozen(count)
            }
            Err(why) => Answer::Failed(why),
        }
    }

    fn try_freeze(&mut self, within: Duration) -> Result<u64, String> {
        let Some(way) = &self.charge.agent else { return Err("there is no guest agent".into()) };
        if self.agent.is_none() {
            self.agent = Some(way.agent().map_err(|e| format!("the guest agent does not answer: {e}"))?);
        }
        let Some(agent) = &mut self.agent else { return Err("there is no guest agent".into()) };
        match agent.freeze(within) {
            Ok(count) => Ok(count),
            Err(why) => {
                // It may come about later; the thaw waits its turn behind it.
                self.thaw();
                Err(why.to_string())
            }
        }
    }

    /// Lets the guest go, and does not give up soon.
    fn thaw(&mut self) {
        let end = Instant::now() + PERSISTENCE;
        while Instant::now() < end {
            if self.agent.is_none() {
                self.agent = self.charge.agent.as_ref().and_then(|way| way.agent().ok());
            }
            match self.agent.as_mut().map(|agent| agent.thaw(TRY)) {
                Some(Ok(_)) => return,
                // It was heard to say no: another try is for another error.
                Some(Err(error)) if error.is_refusal() => std::thread::sleep(PAUSE),
                _ => {
                    self.agent = None;
                    std::thread::sleep(PAUSE);
                }
            }
        }
    }

    /// Takes away what the process that is gone held.
    fn clean(&self) {
        let end = Instant::now() + TAKING_OVER;
        while Instant::now() < end {
            let monitor = self.charge.monitor.monitor();
            if monitor.is_ok_and(|mut m| leftovers::clean(m.as_mut(), &self.charge.prefix, &self.charge.folder).is_ok())
            {
                return;
            }
            std::thread::sleep(PAUSE);
        }
    }
}

/// Orders as they come; closed when nobody can give any.
fn listen() -> Receiver<Order> {
    let (send, orders) = channel();
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let order = line.ok().and_then(|line| serde_json::from_str(&line).ok());
            match order {
                Some(order) if send.send(order).is_ok() => {}
                _ => return,
            }
        }
    });
    orders
}

fn say(answer: &Answer) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, answer)?;
    out.write_all(b"\n")?;
    out.flush()
}
