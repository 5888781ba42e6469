//! What the agent of a machine and a server say to each other.
//!
//! A message is the length of its head, a u32 in little-endian order; the head, one of the enums of a version in the encoding of
//! postcard 1 (<https://postcard.jamesmunns.com/wire-format>); and a body of bytes that the head speaks of, mostly none. The
//! protocol is asked for by name when a connection is made, so there is one module for each version of it.
//!
//! Never knows: how messages travel, or who believes them. Nothing at rest is made of these.

mod few;
pub mod v1;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::DecodeError;

/// The front of a message: what precedes its body.
///
/// # Panics
/// Never: what is encoded here has an encoding.
pub fn encode(head: &impl Serialize) -> Vec<u8> {
    let mut out = postcard::to_extend(head, vec![0; 4]).expect("messages have an encoding");
    let length = (out.len() - 4) as u32;
    out[..4].copy_from_slice(&length.to_le_bytes());
    out
}

/// The head and the body of a message.
///
/// # Errors
/// [`DecodeError`]; nothing is allocated beyond a small multiple of what the message has.
pub fn decode<T: DeserializeOwned>(message: &[u8]) -> Result<(T, &[u8]), DecodeError> {
    let (length, rest) = message.split_first_chunk().ok_or(DecodeError::Truncated)?;
    let (head, body) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or(DecodeError::Truncated)?;
    match postcard::take_from_bytes(head) {
        Ok((head, [])) => Ok((head, body)),
        Ok((_, rest)) => Err(DecodeError::Trailing(rest.len())),
        Err(_) => Err(DecodeError::Invalid("message")),
    }
}
