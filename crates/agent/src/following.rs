//! A point in the making, of what changed.
//!
//! Never knows: how changes are noticed, or what the server does with them.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use backstay_format::wire::v1::{BoundaryTold, FoundTold, MadeTold, Pages, ToAgent, ToServer, Told};

use crate::answer::{Reading, Seen};
use crate::link::AgentError;
use crate::session::{Session, ordered, unexpected};

/// Ranges of pages that one message names at most: an eighth of what a server takes, and of what a message has room for, a third.
const TOGETHER: usize = 1 << 17;

/// What rules come to on a disk.
pub struct Found {
    /// Pages that are left out, and no others.
    pub excluded: Vec<Range<u64>>,
    /// Pages that must be read: the timeline lacks them, and they are not left out any more.
    pub lacking: Vec<Range<u64>>,
    /// The rules that name something, by their places in the list, and bytes that they name.
    pub met: Vec<(u32, u64)>,
    /// Where less is left out than might be, for people.
    pub doubts: Vec<String>,
}

/// A point in the making.
pub struct Following {
    session: Arc<Session>,
    next: u64,
    begun: i64,
    extents: u64,
    /// Published, set down, or of no more use.
    over: bool,
}

impl Following {
    /// The server has begun it: its number, and when.
    pub(crate) fn begun(session: Arc<Session>, (next, begun): (u64, i64)) -> Following {
        Following { session, next, begun, extents: 0, over: false }
    }

    /// The number that the point gets if nobody else is quicker, and when it was begun.
    pub fn in_making(&self) -> (u64, i64) {
        (self.next, self.begun)
    }

    /// How many extents the server holds in memory for it.
    pub fn extents(&self) -> u64 {
        self.extents
    }

    /// Shows pages that may have changed: of some of the disks, by their places in the list that this began with. After a long time
    /// without a server there are more than one message can name.
    ///
    /// # Errors
    /// As [`Session::catch_up`]; this point cannot be made any more.
    pub fn pass(
        &mut self,
        (changed, disks): (Vec<(u32, Vec<Pages>)>, &[Reading<'_>]),
        (cancel, seen): (&AtomicBool, Seen<'_>),
    ) -> Result<(), AgentError> {
        messages(changed).try_for_each(|part| self.pass_at_once(part, disks, (cancel, seen)))
    }

    fn pass_at_once(
        &mut self,
        part: (u32, Vec<Pages>),
        disks: &[Reading<'_>],
        (cancel, seen): (&AtomicBool, Seen<'_>),
    ) -> Result<(), AgentError> {
        let verdict = || (false, Vec::new());
        let reply = self.session.run(&ToServer::Pass { changed: vec![part] }, (disks, &verdict), (cancel, seen));
        self.passed(reply)
    }

    /// Pages of a disk that nothing uses any more; they are not shown.
    ///
    /// # Errors
    /// As [`Session::boundary`]; this point cannot be made any more.
    pub fn absent(&mut self, disk: u32, pages: Vec<Pages>) -> Result<(), AgentError> {
        messages(vec![(disk, pages)]).try_for_each(|part| {
            let reply = self.session.ask(&ToServer::Absent { pages: vec![part] });
            self.passed(reply)
        })
    }

    fn passed(&mut self, reply: Result<ToAgent, AgentError>) -> Result<(), AgentError> {
        match reply {
            Ok(ToAgent::Passed { extents, .. }) => {
                self.extents = extents;
                Ok(())
            }
            reply => {
                self.over = true;
                Err(reply.map_or_else(|error| error, unexpected))
            }
        }
    }

    /// What rules come to on each disk, as it is by what was shown. At most [`RULES`] of [`RULE`] bytes each.
    ///
    /// # Errors
    /// As [`Session::boundary`]; this point cannot be made any more.
    ///
    /// [`RULES`]: backstay_format::wire::v1::RULES
    /// [`RULE`]: backstay_format::wire::v1::RULE
    pub fn look_up(&mut self, rules: Vec<String>) -> Result<Vec<Found>, AgentError> {
        let reply = self.session.ask(&ToServer::LookUp { rules });
        let found = match reply {
            Ok(ToAgent::Found { disks }) => disks.into_iter().map(found).collect(),
            reply => Err(reply.map_or_else(|error| error, unexpected)),
        };
        self.over |= found.is_err();
        found
    }

    /// Makes the point: it is safe on `Ok`.
    ///
    /// # Errors
    /// As [`Session::boundary`]. After [`AgentError::Lost`] it may have been made or not; what it is known by tells.
    pub fn publish(mut self, told: Told) -> Result<MadeTold, AgentError> {
        self.over = true;
        match self.session.ask(&ToServer::Publish(told))? {
            ToAgent::Made(made) => Ok(made),
            other => Err(unexpected(other)),
        }
    }

    /// Makes no point, but what was shown is kept.
    ///
    /// # Errors
    /// As [`Following::publish`].
    pub fn set_down(mut self) -> Result<BoundaryTold, AgentError> {
        self.over = true;
        match self.session.ask(&ToServer::SetDown)? {
            ToAgent::CaughtUp(boundary) => Ok(boundary),
            other => Err(unexpected(other)),
        }
    }
}

fn found(told: FoundTold) -> Result<Found, AgentError> {
    let FoundTold { excluded, lacking, met, doubts } = told;
    Ok(Found { excluded: ordered(excluded)?, lacking: ordered(lacking)?, met, doubts })
}

impl Drop for Following {
    fn drop(&mut self) {
        if !self.over {
            // If that fails, so will the next request, and the server has given it up.
            drop(self.session.ask(&ToServer::Abandon));
        }
    }
}

/// Pages in parts that one message can name each.
fn messages(changed: Vec<(u32, Vec<Pages>)>) -> impl Iterator<Item = (u32, Vec<Pages>)> {
    let parts =
        |(disk, pages): (u32, Vec<Pages>)| pages.chunks(TOGETHER).map(|part| (disk, part.to_vec())).collect::<Vec<_>>();
    changed.into_iter().flat_map(parts)
}

#[cfg(test)]
mod tests {
    use backstay_env::link::MOST;
    use backstay_format::wire::{decode, encode};

    use super::*;

    #[test]
    fn every_message_has_room_for_its_pages() {
        let far = u64::MAX / 2;
        let scattered: Vec<Pages> = (0..3 * TOGETHER as u64 / 2).map(|n| (far + 2 * n, far + 2 * n + 1)).collect();
        let parts: Vec<_> = messages(vec![(0, vec![(1, 2)]), (3, scattered.clone()), (5, Vec::new())]).collect();
        assert_eq!(
            parts.iter().map(|(disk, pages)| (*disk, pages.len())).collect::<Vec<_>>(),
            [(0, 1), (3, TOGETHER), (3, TOGETHER / 2)]
        );
        assert!([&parts[1].1[..], &parts[2].1].concat() == scattered);
        let message = encode(&ToServer::Pass { changed: vec![parts[1].clone()] });
        assert!(message.len() <= MOST && decode::<ToServer>(&message).is_ok(), "{} bytes", message.len());
    }
}
