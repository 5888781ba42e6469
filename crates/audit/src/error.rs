//! Why the log could not do what it was asked.
//!
//! Never knows: what callers do about it. What they must not do is act as if it were logged.

use std::sync::Arc;

use backstay_env::objects::{Key, ObjectError};

/// Why nothing could be appended, or read. Shared by all whose events were to be written together.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AuditError {
    /// The home failed. What was to be appended may be in the log nevertheless.
    #[error("the audit log could not be written or read")]
    Home(#[source] Arc<ObjectError>),
    /// An object of the log is missing, or is not what it must be. The log refuses to go on from there.
    #[error("the audit log is damaged: {object} {why}")]
    Damaged {
        /// Which object.
        object: String,
        /// What is wrong with it, as the end of a sentence.
        why: &'static str,
    },
    /// The checkpoint was not signed with the key given.
    #[error("the audit log was not signed with this key")]
    Foreign,
    /// Not a name that a log may have.
    #[error("{0:?} cannot be the name of an audit log")]
    Origin(String),
    /// The event says what no record can hold; nothing was appended.
    #[error("an event of the audit log has {0}")]
    Event(&'static str),
    /// No record of that number in the log yet.
    #[error("the audit log has no record {0}")]
    NoRecord(u64),
    /// Others wrote to the log at the same time, again and again.
    #[error("others write to the audit log")]
    Busy,
    /// The thread that wrote for all who waited died. The log must be opened anew.
    #[error("the audit log was given up by the one who wrote it")]
    Abandoned,
}

impl AuditError {
    pub(crate) fn damaged(object: &Key, why: &'static str) -> AuditError {
        AuditError::Damaged { object: object.to_string(), why }
    }

    /// The same bytes are there next time: waiting does not help.
    pub fn is_damage(&self) -> bool {
        matches!(self, AuditError::Damaged { .. } | AuditError::Foreign)
    }
}

impl From<ObjectError> for AuditError {
    fn from(error: ObjectError) -> AuditError {
        AuditError::Home(Arc::new(error))
    }
}
