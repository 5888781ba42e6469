//! The watchdog's own side.
//!
//! Never knows: who started it.

use std::io::{self, BufRead as _, Write as _};
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::hand::{Hand, PAUSE};
use super::second::{Second, Word};
use super::{Answer, Order, harden};

/// Serves as a watchdog on standard input and output, until told to end or left alone. `second`: what calls
/// [`super::serve_second`].
///
/// # Errors
/// It was not told what it is in charge of.
pub fn serve(second: Command) -> io::Result<()> {
    harden();
    let mut first = String::new();
    io::stdin().read_line(&mut first)?;
    let hand = Hand::new(serde_json::from_str(&first)?);
    let orders = listen();
    let mut watch = Watch { second: Second::new(second, &hand.charge), hand, guest: Guest::Free };
    loop {
        match watch.wait(&orders) {
            // If nobody hears the answer, the next thing that is heard is the end.
            Some(Order::Freeze { within_ms, hold_ms }) => {
                drop(say(&watch.freeze(Duration::from_millis(within_ms), Duration::from_millis(hold_ms))));
            }
            Some(Order::Thaw) => drop(say(&watch.thaw())),
            Some(Order::Bye) => break,
            None => {
                watch.abandoned();
                break;
            }
        }
    }
    watch.let_go_at_last();
    watch.second.tell(Word::Bye);
    Ok(())
}

/// What is known of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guest {
    /// Nothing of ours holds it.
    Free,
    /// It is held, no longer than this.
    Still(Instant),
    /// It may be held, now or later, and has not said yet that it was let go.
    Unsure,
}

struct Watch {
    hand: Hand,
    second: Second,
    guest: Guest,
}

impl Watch {
    /// The next order; `None` when there will be no more. Meanwhile a guest whose time is over is let go.
    fn wait(&mut self, orders: &Receiver<Order>) -> Option<Order> {
        loop {
            let patience = match self.guest {
                Guest::Free => return orders.recv().ok(),
                Guest::Still(until) => until.saturating_duration_since(Instant::now()),
                Guest::Unsure => PAUSE,
            };
            match orders.recv_timeout(patience) {
                Err(RecvTimeoutError::Timeout) => drop(self.let_go()),
                order => return order.ok(),
            }
        }
    }

    fn freeze(&mut self, within: Duration, hold: Duration) -> Answer {
        match self.try_freeze(within, hold) {
            Ok(count) => Answer::Frozen(count),
            Err(why) => Answer::Failed(why),
        }
    }

    fn try_freeze(&mut self, within: Duration, hold: Duration) -> Result<u64, String> {
        if self.guest != Guest::Free {
            self.let_go()?;
        }
        self.hand.agent()?;
        self.second.tell(Word::Still);
        // What is not answered may come about later; then letting go waits its turn behind it.
        self.guest = Guest::Unsure;
        match self.hand.agent()?.freeze(within) {
            Ok(count) => {
                self.guest = Guest::Still(Instant::now() + hold);
                Ok(count)
            }
            Err(error) => {
                if !error.is_refusal() {
                    self.hand.forget_agent();
                }
                Err(error.to_string())
            }
        }
    }

    fn thaw(&mut self) -> Answer {
        match self.guest {
            Guest::Still(_) => self.let_go().map_or_else(Answer::Failed, Answer::Thawed),
            Guest::Free | Guest::Unsure => Answer::Late,
        }
    }

    /// Tries once.
    fn let_go(&mut self) -> Result<u64, String> {
        self.guest = Guest::Unsure;
        let count = self.hand.let_go()?;
        self.is_free();
        Ok(count)
    }

    /// The process that is watched is gone.
    fn abandoned(&mut self) {
        if self.guest != Guest::Free {
            drop(self.let_go()); // and again after what does not wait for an agent
        }
        self.hand.clean();
    }

    fn let_go_at_last(&mut self) {
        if self.guest != Guest::Free {
            self.hand.let_go_at_last();
            self.is_free();
        }
    }

    fn is_free(&mut self) {
        self.guest = Guest::Free;
        self.second.tell(Word::Free);
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
