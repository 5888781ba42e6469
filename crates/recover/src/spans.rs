//! A volume's spans, checked: whoever relies on them for what not to read should not rely on their order, too.
//!
//! Never knows: what they are for.

use std::io;

use backstay_env::volume::{Span, Volume};

/// As [`Volume::spans`].
///
/// # Errors
/// As there; `InvalidData` for an answer with gaps, for one that goes too far, and for none.
pub(crate) fn describe(volume: &dyn Volume, offset: u64, len: u64) -> io::Result<Vec<Span>> {
    let spans = volume.spans(offset, len)?;
    let (mut at, end) = (offset, offset.saturating_add(len));
    for span in &spans {
        if span.offset != at || span.len == 0 || span.len > end - at {
            return Err(bad("the volume's spans have gaps"));
        }
        at += span.len;
    }
    if at == offset && len > 0 { Err(bad("the volume describes nothing")) } else { Ok(spans) }
}

fn bad(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
