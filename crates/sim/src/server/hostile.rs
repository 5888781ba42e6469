//! An end of a link whose messages are doubled, swapped, lost and mangled, as a hostile agent may send them.
//!
//! Never knows: what they meant.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backstay_env::link::Link;
use backstay_env::sim::random::Dice;

/// What a hostile agent sends over.
pub(crate) struct Mangler {
    link: Arc<dyn Link>,
    state: Mutex<State>,
}

struct State {
    dice: Dice,
    /// A message that is sent after the next one.
    held: Option<Vec<u8>>,
    mangled: u64,
}

impl Mangler {
    pub(crate) fn over(link: Arc<dyn Link>, seed: u64) -> Mangler {
        Mangler { link, state: Mutex::new(State { dice: Dice::seeded(seed), held: None, mangled: 0 }) }
    }

    /// Messages that did not go out as they were given.
    pub(crate) fn mangled(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).mangled
    }
}

impl State {
    /// What is sent instead.
    fn instead(&mut self, mut message: Vec<u8>) -> Vec<Vec<u8>> {
        let what = self.dice.below(100);
        self.mangled += u64::from(what >= 75);
        let mut out = match what {
            0..75 => vec![message],
            75..82 => vec![message.clone(), message],
            82..86 => Vec::new(),
            86..91 => {
                let earlier = self.held.replace(message);
                return earlier.into_iter().collect();
            }
            91..97 => {
                for _ in 0..1 + self.dice.below(3) {
                    let at = self.dice.below(message.len().max(1) as u64) as usize;
                    let bit = 1 << self.dice.below(8);
                    message.get_mut(at).into_iter().for_each(|byte| *byte ^= bit);
                }
                vec![message]
            }
            _ => {
                let length = self.dice.below(message.len() as u64 + 1) as usize;
                message.truncate(length);
                vec![message]
            }
        };
        out.extend(self.held.take());
        out
    }
}

impl Link for Mangler {
    fn send(&self, parts: &[&[u8]]) -> io::Result<()> {
        let out = self.state.lock().unwrap_or_else(PoisonError::into_inner).instead(parts.concat());
        out.iter().try_for_each(|message| self.link.send(&[message]))
    }

    fn receive(&self) -> io::Result<Option<Vec<u8>>> {
        self.link.receive()
    }

    fn receive_within(&self, patience: Duration) -> io::Result<Option<Vec<u8>>> {
        self.link.receive_within(patience)
    }

    fn close(&self) {
        self.link.close();
    }
}
