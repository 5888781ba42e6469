//! The clock: what people call the time.
//!
//! Never knows: what the time is used for. It must not be used for order or safety, since a wall clock may jump.

pub use backstay_format::units::Timestamp;

/// A wall clock.
pub trait Clock: Send + Sync {
    /// The time now. Two readings may be equal, and a later one may be smaller.
    fn now(&self) -> Timestamp;
}

impl<C: Clock + ?Sized> Clock for std::sync::Arc<C> {
    fn now(&self) -> Timestamp {
        (**self).now()
    }
}
