//! Randomness that nobody can guess: for keys, salts and names.
//!
//! Never knows: what it is used for.

/// A source of random bytes.
pub trait Random: Send + Sync {
    /// Fills `buf`. Blocks until the system has gathered enough randomness after its start; cannot fail after that.
    fn fill(&self, buf: &mut [u8]);
}

impl<R: Random + ?Sized> Random for std::sync::Arc<R> {
    fn fill(&self, buf: &mut [u8]) {
        (**self).fill(buf);
    }
}
