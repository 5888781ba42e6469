//! A second watchdog, for the case that the first is killed together with the process that it watches.
//!
//! It holds nothing open but a pipe from the first, which tells it whether the guest may be still. When the pipe ends without a
//! farewell, it does what the first would have done.
//! Never knows: orders of the process that is watched.

use std::io::{self, BufRead as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};

use serde::{Deserialize, Serialize};

use super::Charge;
use super::hand::Hand;
use super::harden;

/// What it is told, a line of JSON each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Word {
    /// The guest may be still from now on.
    Still,
    /// It is not.
    Free,
    /// All is in order; end.
    Bye,
}

/// The first's side of it.
pub(super) struct Second {
    command: Command,
    charge: Charge,
    running: Option<(Child, ChildStdin)>,
}

impl Second {
    /// One that is started by a program which calls [`serve_second`].
    pub(super) fn new(mut command: Command, charge: &Charge) -> Second {
        // Its output is not that of the first, or the end of the first would not be seen.
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut second = Second { command, charge: charge.clone(), running: None };
        second.tell(Word::Free);
        second
    }

    /// Tells it. One that is gone is started again; where that cannot be, the first is alone.
    pub(super) fn tell(&mut self, word: Word) {
        if self.send(word).is_err() {
            self.start().and_then(|()| self.send(word)).unwrap_or_default();
        }
    }

    fn start(&mut self) -> io::Result<()> {
        if let Some((mut child, _)) = self.running.take() {
            child.wait()?;
        }
        let mut child = self.command.spawn()?;
        let Some(mut words) = child.stdin.take() else { return Err(io::ErrorKind::BrokenPipe.into()) };
        line(&mut words, &self.charge)?;
        self.running = Some((child, words));
        Ok(())
    }

    fn send(&mut self, word: Word) -> io::Result<()> {
        let (_, words) = self.running.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        line(words, &word)
    }
}

fn line(to: &mut ChildStdin, what: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_string(what)?;
    text.push('\n');
    to.write_all(text.as_bytes())
}

/// Serves as the second watchdog on standard input.
///
/// # Errors
/// It was not told what it is in charge of.
pub fn serve_second() -> io::Result<()> {
    harden();
    let mut first = String::new();
    io::stdin().read_line(&mut first)?;
    let mut hand = Hand::new(serde_json::from_str(&first)?);
    let mut may_be_still = false;
    for line in io::stdin().lock().lines() {
        match line.ok().and_then(|line| serde_json::from_str(&line).ok()) {
            Some(Word::Still) => may_be_still = true,
            Some(Word::Free) => may_be_still = false,
            Some(Word::Bye) => return Ok(()),
            None => break,
        }
    }
    let is_still = may_be_still && hand.let_go().is_err();
    hand.clean();
    if is_still {
        hand.let_go_at_last();
    }
    Ok(())
}
