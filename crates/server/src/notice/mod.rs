//! Telling people of alerts, by mail and by webhook: each beginning and each end, at least once, whatever dies meanwhile.
//!
//! Never knows: what is watched for.

pub(crate) mod address;
mod channel;
mod courier;
mod mail;
pub(crate) mod web;
mod webhook;
mod words;

pub(crate) use channel::{Letter, channels, names};
pub(crate) use courier::{Bell, deliver};

/// Why somebody could not be told, in one sentence.
pub(crate) type Why = String;

/// An error with its causes, in one line.
pub(crate) fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    plain(&text, 500)
}

/// Text in one line and not for ever: what others wrote must not make lines of its own.
pub(crate) fn plain(text: &str, most: usize) -> String {
    let cut = &text[..text.floor_char_boundary(most)];
    cut.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
