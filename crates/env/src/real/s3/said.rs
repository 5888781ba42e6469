//! What a service or the network said, in one sentence.
//!
//! Never knows: what was asked for.

use std::io;

use object_store::Error;

use crate::objects::{Key, ObjectError};

/// Words by which services say that they are full. There is no standard one.
const FULL: [&str; 6] =
    ["507 ", "QuotaExceeded", "StorageFull", "InsufficientStorage", "TooMuchData", "EntityTooManyBytes"];
/// The longest sentence, in characters.
const LONGEST: usize = 300;

/// Turns what happened into what the caller asked.
pub(super) fn failed(key: &Key, error: &Error) -> ObjectError {
    let text = error.to_string();
    if FULL.iter().any(|word| text.contains(word)) {
        return ObjectError::NoSpace(key.clone());
    }
    match error {
        Error::NotFound { .. } if !text.contains("NoSuchBucket") => ObjectError::NotFound(key.clone()),
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            ObjectError::Denied { key: key.clone(), source: io::Error::other(sentence(error)) }
        }
        _ => io(key, sentence(error)),
    }
}

pub(super) fn io(key: &Key, why: String) -> ObjectError {
    ObjectError::Io { key: key.clone(), source: io::Error::other(why) }
}

/// What is worth telling a person.
pub(super) fn sentence(error: &Error) -> String {
    let text = error.to_string();
    if text.contains("169.254.169.254") {
        return "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY".to_string();
    }
    let said = match (between(&text, "<Code>", "</Code>"), between(&text, "<Message>", "</Message>")) {
        (Some(code), Some(message)) if !message.is_empty() => {
            format!("the service says {code}: {message}")
        }
        (Some(code), _) => format!("the service says {code}"),
        (None, _) => deepest(error),
    };
    let one_line = said.split_whitespace().collect::<Vec<_>>().join(" ");
    one_line.chars().take(LONGEST).collect()
}

/// The last cause: what is above it repeats the names of layers.
fn deepest(error: &Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    let mut said = Vec::new();
    while let Some(source) = cause.source() {
        cause = source;
        said.push(cause.to_string());
    }
    let last = said.pop().unwrap_or_else(|| error.to_string());
    match error {
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            format!("access denied ({last})")
        }
        _ => last,
    }
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let after = text.split_once(start)?.1;
    Some(after.split_once(end)?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> Error {
        Error::Generic { store: "S3", source: text.to_string().into() }
    }

    #[test]
    fn what_services_say_becomes_one_sentence() {
        let xml =
            "Error performing PUT: 500: <Error><Code>SlowDown</Code>\n<Message>Reduce\n your rate</Message></Error>";
        assert_eq!(sentence(&generic(xml)), "the service says SlowDown: Reduce your rate");
        assert_eq!(sentence(&generic("connection refused")), "connection refused");
        assert!(sentence(&generic("GET http://169.254.169.254/latest")).contains("AWS_ACCESS_KEY_ID"));
        assert_eq!(sentence(&generic(&"long ".repeat(1000))).len(), LONGEST);
    }

    #[test]
    fn a_full_service_and_a_missing_bucket_are_told_from_others() {
        let key = Key::new("a/b").unwrap();
        let full = generic("<Code>XMinioStorageFull</Code><Message>Storage backend has reached its limit</Message>");
        assert!(matches!(failed(&key, &full), ObjectError::NoSpace(_)));
        let source = || "<Code>NoSuchBucket</Code>".into();
        let bucket = Error::NotFound { path: "a/b".to_string(), source: source() };
        assert!(matches!(failed(&key, &bucket), ObjectError::Io { .. }));
        let object = Error::NotFound { path: "a/b".to_string(), source: "<Code>NoSuchKey</Code>".into() };
        assert!(matches!(failed(&key, &object), ObjectError::NotFound(_)));
        let denied = Error::PermissionDenied { path: "a/b".to_string(), source: source() };
        assert!(matches!(failed(&key, &denied), ObjectError::Denied { .. }));
    }
}
