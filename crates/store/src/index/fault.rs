//! Why a run of the index is not used. The index is never the only place where something is known, so none of these is
//! an error to whoever asks it: the run's packs are no longer covered, and their owner adds them again.
//!
//! Never knows: what is done about it.

use std::sync::Arc;

use backstay_env::objects::ObjectError;
use backstay_format::DecodeError;

/// Why a run is not used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Fault {
    /// An object of it is not there.
    #[error("an object of it is missing")]
    Missing,
    /// Something in it is not as it was written.
    #[error("{0} of it is damaged")]
    Damaged(&'static str),
    /// Its root is damaged, of a newer version, or of another store.
    #[error("its root is not one")]
    Root(#[source] DecodeError),
    /// The home did not give it out.
    #[error("it could not be read")]
    Unreadable(#[source] Arc<ObjectError>),
}

impl Fault {
    /// Reading again gives the same: the run is of no use to anybody, and may be deleted. A run of a newer version is of
    /// use to a newer program.
    pub fn is_final(&self) -> bool {
        match self {
            Fault::Missing | Fault::Damaged(_) => true,
            Fault::Root(cause) => !matches!(cause, DecodeError::Version { .. } | DecodeError::Features { .. }),
            Fault::Unreadable(_) => false,
        }
    }
}

impl From<ObjectError> for Fault {
    fn from(error: ObjectError) -> Fault {
        match error {
            ObjectError::NotFound(_) => Fault::Missing,
            ObjectError::Short(_) => Fault::Damaged("the length"),
            error => Fault::Unreadable(Arc::new(error)),
        }
    }
}

impl From<DecodeError> for Fault {
    fn from(error: DecodeError) -> Fault {
        Fault::Root(error)
    }
}
