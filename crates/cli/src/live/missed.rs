//! Why there is no point now, and what follows from that.
//!
//! Never knows: how points are made.

use backstay_capture::freeze::group::FreezeError;
use backstay_capture::point::NoPoint;
use backstay_format::rows::gap::Why;
use backstay_vault::VaultError;

use crate::failure::{Failure, sentence};
use crate::target::Trouble;

/// Why there is no point this time.
pub(crate) enum Missed {
    /// The same may work next time.
    Later(Why, String),
    /// The changes cannot be vouched for; a rescan comes first.
    Rescan(String),
    /// It makes no sense to go on.
    Final(Failure),
}

impl Missed {
    /// It is not begun.
    pub(super) fn nothing() -> Missed {
        Missed::Rescan("nothing is followed yet".into())
    }

    /// The same may work next time.
    pub(crate) fn later(text: impl Into<String>) -> Missed {
        Missed::Later(Why::Failed, text.into())
    }

    pub(crate) fn of(trouble: Trouble) -> Missed {
        if trouble.is_overtaken() {
            return Missed::Rescan("somebody else made a point of this machine, or took what this one used".into());
        }
        if matches!(trouble, Trouble::TooMuch) {
            return Missed::Rescan(trouble.to_string());
        }
        if trouble.is_cancelled() {
            return Missed::later("interrupted: no point was made");
        }
        let (why, failure) = (trouble.why(), Failure::from(trouble));
        if failure.is_final() { Missed::Final(failure) } else { Missed::Later(why, failure.to_string()) }
    }

    /// As [`Missed::of`], of the vault itself.
    pub(crate) fn of_vault(error: VaultError) -> Missed {
        Missed::of(error.into())
    }

    /// What kind of reason it is, and in words.
    pub(crate) fn told(self) -> (Why, String) {
        match self {
            Missed::Later(why, text) => (why, text),
            Missed::Rescan(text) => (Why::Failed, text),
            Missed::Final(failure) => (Why::Failed, failure.to_string()),
        }
    }

    pub(super) fn of_attempt(why: NoPoint<Trouble>) -> Missed {
        match why {
            NoPoint::Keep(error) => Missed::of(error),
            NoPoint::Freeze(FreezeError::Unguarded(_)) => Missed::later("the watchdog died; another is started"),
            why @ NoPoint::TooBusy { .. } => Missed::Later(Why::Busy, sentence(&why)),
            why => Missed::later(sentence(&why)),
        }
    }
}
