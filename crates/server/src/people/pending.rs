//! What was begun with somebody and waits for their answer: for a while, of everybody a little.
//!
//! Never knows: what it is.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(300);
/// What waits at most, and from one address: who begins more gives up what they began first.
const MOST: usize = 4096;
const MOST_FROM_ONE: usize = 32;

struct Waiting<T> {
    what: T,
    from: String,
    since: Instant,
}

/// What waits, by a name that nobody can guess.
pub(crate) struct Pending<T>(Mutex<HashMap<String, Waiting<T>>>);

impl<T> Default for Pending<T> {
    fn default() -> Self {
        Pending(Mutex::default())
    }
}

impl<T> Pending<T> {
    /// Keeps something for whoever has its name; whether there was room.
    pub(crate) fn put(&self, name: &str, from: &str, what: T) -> bool {
        self.put_at(name, from, what, Instant::now())
    }

    fn put_at(&self, name: &str, from: &str, what: T, now: Instant) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, waiting| now.duration_since(waiting.since) < PATIENCE);
        let own = || all.iter().filter(|(_, waiting)| waiting.from == from);
        if own().count() >= MOST_FROM_ONE
            && let Some(oldest) = own().min_by_key(|(_, waiting)| waiting.since).map(|(name, _)| name.clone())
        {
            all.remove(&oldest);
        }
        if all.len() >= MOST {
            return false;
        }
        all.insert(name.to_owned(), Waiting { what, from: from.to_owned(), since: now });
        true
    }

    /// Takes it: what was begun is answered once.
    pub(crate) fn take(&self, name: &str) -> Option<T> {
        self.take_at(name, Instant::now())
    }

    fn take_at(&self, name: &str, now: Instant) -> Option<T> {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name)?;
        (now.duration_since(waiting.since) < PATIENCE).then_some(waiting.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_waits_for_a_while_and_is_taken_once() {
        let (pending, now) = (Pending::default(), Instant::now());
        assert!(pending.put_at("a", "10.0.0.1", 1, now) && pending.put_at("b", "10.0.0.1", 2, now));
        assert_eq!((pending.take_at("a", now), pending.take_at("a", now)), (Some(1), None));
        assert_eq!(pending.take_at("b", now + PATIENCE), None);
    }

    #[test]
    fn nobody_takes_the_room_of_others() {
        let (pending, now) = (Pending::default(), Instant::now());
        assert!(pending.put_at("mine", "10.0.0.1", 0, now));
        for name in 0..1000_u64 {
            assert!(pending.put_at(&format!("x{name}"), "10.0.0.2", name, now + Duration::from_millis(name)));
        }
        let later = now + Duration::from_secs(2);
        assert_eq!((pending.take_at("mine", later), pending.take_at("x0", later)), (Some(0), None));
        assert_eq!(pending.take_at("x999", later), Some(999));
        let many = |at: usize| pending.put_at(&format!("y{at}"), &at.to_string(), 0, now);
        assert!((0..MOST + 1).any(|at| !many(at)));
    }
}
