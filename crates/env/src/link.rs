//! Links: messages between two programs, in order, each whole or not at all.
//!
//! Never knows: what the messages mean, or who is at the other end.

use std::io;
use std::time::Duration;

/// Bytes of a message at most.
pub const MOST: usize = 8 << 20;

/// A link to another program. Both directions may be used at the same time, and each from many threads.
///
/// Guarantees: messages arrive in the order in which they were sent, but for those that were sent ahead, whole, and not changed on the way by anyone who could not also
/// have sent them. Not guaranteed: that what was sent has arrived, before the other end says so.
pub trait Link: Send + Sync {
    /// Sends a message made of `parts` one after the other. Waits while the other end takes nothing.
    ///
    /// # Errors
    /// The link is gone, or the message is longer than [`MOST`]; then nothing of it was sent.
    fn send(&self, parts: &[&[u8]]) -> io::Result<()>;

    /// As [`Link::send`], but the message may overtake others that wait to be sent.
    ///
    /// # Errors
    /// As [`Link::send`].
    fn send_ahead(&self, parts: &[&[u8]]) -> io::Result<()> {
        self.send(parts)
    }

    /// Waits for the next message. `None`: the other end has said that there will be no more.
    ///
    /// # Errors
    /// The link is gone.
    fn receive(&self) -> io::Result<Option<Vec<u8>>>;

    /// As [`Link::receive`], for so long.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`]: nothing came; the link is as it was.
    fn receive_within(&self, patience: Duration) -> io::Result<Option<Vec<u8>>>;

    /// Ends the link: whoever waits at either end gets an error or the end. May be called more than once.
    fn close(&self);
}
