//! The clock that the calendar counts ages of points by. It runs at most twice as fast as time passes, so that a clock on the wall that was
//! set wrong makes nothing old: who drops points by age loses none before people could see what happened.
//!
//! Never knows: points, or what is dropped.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use backstay_format::units::Timestamp;

use crate::moment::SECOND;
use crate::{Server, moment};

/// The clock on the wall is this far ahead before people are told: a server that was off for a night is none of their business.
const AHEAD: i64 = 2 * 86_400 * SECOND;

/// Counts ages.
pub(crate) struct Ages(Mutex<State>);

struct State {
    at: Timestamp,
    looked: Instant,
}

impl Ages {
    /// Goes on from what was kept; the first time, from what the clock on the wall says.
    pub(crate) fn new(kept: Option<Timestamp>, wall: Timestamp) -> Ages {
        Ages(Mutex::new(State { at: kept.map_or(wall, |kept| kept.min(wall)), looked: Instant::now() }))
    }

    /// What it is, when the clock on the wall says `wall`.
    pub(crate) fn now(&self, wall: Timestamp) -> Timestamp {
        let mut state = self.lock();
        let passed = state.looked.elapsed();
        *state = State { at: after(state.at, passed.as_nanos(), wall), looked: state.looked + passed };
        state.at
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What follows `at` after so many nanoseconds.
fn after(at: Timestamp, passed: u128, wall: Timestamp) -> Timestamp {
    let most = i128::from(at.0) + 2 * i128::try_from(passed).unwrap_or(i128::MAX / 4);
    Timestamp(i64::try_from(most).unwrap_or(i64::MAX)).min(wall)
}

/// Keeps what it is. What cannot be kept is kept next time; ages are counted from longer ago meanwhile, and less is dropped.
pub(crate) async fn keep(server: &Server) {
    let _ = server.catalogue.set_ages(server.ages.now(server.now())).await;
}

/// Tells when the clock on the wall is far ahead of it.
pub(crate) async fn look(server: &Server) {
    let (wall, at) = (server.now(), server.ages.now(server.now()));
    if wall.0.saturating_sub(at.0) <= AHEAD {
        return server.all_clear("clock", &server.name).await;
    }
    let text = format!(
        "the clock says {}, which is far ahead of the time that this server saw pass: either it was off for so long, or the clock is wrong. \
         Until it has caught up, the calendar drops points by their ages as of {}",
        moment::rfc3339(wall),
        moment::rfc3339(at)
    );
    server.alert("clock", &server.name, &text).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR: i64 = 365 * 86_400 * SECOND;

    #[test]
    fn nothing_grows_old_by_a_clock_that_jumps() {
        let at = Timestamp(50 * YEAR);
        let hour = 3_600 * SECOND as u128;
        let wall = |ahead: i64| Timestamp(at.0 + ahead);
        assert_eq!(after(at, hour, wall(hour as i64)), wall(hour as i64), "a clock that is right");
        assert_eq!(after(at, hour, wall(YEAR)), wall(2 * hour as i64), "one that was set forward");
        assert_eq!(after(at, hour, wall(-YEAR)), wall(-YEAR), "one that was set back");
        assert_eq!(after(Timestamp(i64::MAX), u128::MAX, Timestamp(i64::MAX)).0, i64::MAX);
    }

    #[test]
    fn what_was_kept_counts() {
        let (kept, wall) = (Timestamp(50 * YEAR), Timestamp(51 * YEAR));
        assert!(Ages::new(Some(kept), wall).now(wall).0 < kept.0 + YEAR / 2);
        assert_eq!(Ages::new(None, wall).now(wall), wall);
        assert_eq!(Ages::new(Some(wall), kept).now(kept), kept);
    }
}
