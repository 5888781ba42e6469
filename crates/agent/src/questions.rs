//! What the server asked and nobody took up yet.
//!
//! Who sends chunks over a slow link waits, and has the server wait for nothing else: so some look at segments and do nothing else, and
//! what is fetched is sent before more is looked at.
//!
//! Never knows: what is asked.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::answer::{Asked, HELD};

/// Waits to be answered.
#[derive(Default)]
pub(crate) struct Questions {
    state: Mutex<State>,
    more: Condvar,
}

#[derive(Default)]
struct State {
    looks: VecDeque<Asked>,
    fetches: VecDeque<Asked>,
    over: bool,
}

/// What somebody takes up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    /// Anything.
    All,
    /// Segments to be looked at.
    Looks,
}

impl Questions {
    /// Takes a question in; `false`: a server that keeps to the protocol does not ask so many.
    #[must_use]
    pub(crate) fn put(&self, asked: Asked) -> bool {
        let mut state = self.lock();
        let fits = state.looks.len() + state.fetches.len() < 2 * HELD;
        match asked {
            _ if !fits => {}
            Asked::Look { .. } => state.looks.push_back(asked),
            _ => state.fetches.push_back(asked),
        }
        drop(state);
        // One that takes only looks may wake for what is no look.
        self.more.notify_all();
        fits
    }

    /// Waits for the next question; `None`: there will be no more.
    pub(crate) fn next(&self, takes: Takes) -> Option<Asked> {
        let mut state = self.lock();
        while !state.over {
            let fetch = if takes == Takes::All { state.fetches.pop_front() } else { None };
            if let Some(asked) = fetch.or_else(|| state.looks.pop_front()) {
                return Some(asked);
            }
            state = self.more.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the questions when it is dropped: nobody waits for more.
pub(crate) struct End<'a>(pub(crate) &'a Questions);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.lock().over = true;
        self.0.more.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(segment: u64) -> Asked {
        Asked::Look { segment, disk: 0, pieces: Vec::new() }
    }

    fn fetch(segment: u64) -> Asked {
        Asked::Fetch { segment, wanted: Vec::new() }
    }

    fn segment(asked: Option<Asked>) -> Option<u64> {
        asked.map(|asked| match asked {
            Asked::Look { segment, .. } | Asked::Fetch { segment, .. } | Asked::Forget { segment } => segment,
        })
    }

    #[test]
    fn what_is_fetched_comes_first_and_who_looks_does_not_send() {
        let questions = Questions::default();
        for asked in [look(1), look(2), fetch(3), look(4)] {
            assert!(questions.put(asked));
        }
        assert_eq!(segment(questions.next(Takes::Looks)), Some(1));
        assert_eq!(segment(questions.next(Takes::All)), Some(3));
        assert_eq!(segment(questions.next(Takes::All)), Some(2));
        std::thread::scope(|scope| {
            assert!(questions.put(fetch(5)));
            let looker = scope.spawn(|| segment(questions.next(Takes::Looks)));
            assert_eq!(segment(questions.next(Takes::All)), Some(5));
            assert_eq!(looker.join().unwrap(), Some(4));
            let waiting = scope.spawn(|| segment(questions.next(Takes::Looks)));
            drop(End(&questions));
            assert_eq!(waiting.join().unwrap(), None);
        });
        assert_eq!(segment(questions.next(Takes::All)), None);
    }

    #[test]
    fn too_many_are_refused() {
        let questions = Questions::default();
        (0..2 * HELD as u64).for_each(|n| assert!(questions.put(if n % 2 == 0 { look(n) } else { fetch(n) })));
        assert!(!questions.put(look(0)) && !questions.put(fetch(0)));
    }
}
