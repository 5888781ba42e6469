//! Standard Base 64 in its one form: padded, no stray bits, no line breaks.
//!
//! Never knows: what is encoded.

use backstay_format::DecodeError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Refuses all forms but the one that [`encode`] gives.
pub(crate) fn decode(text: &str, what: &'static str) -> Result<Vec<u8>, DecodeError> {
    STANDARD.decode(text).map_err(|_| DecodeError::Invalid(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_form_only() {
        assert_eq!(encode(b"ab"), "YWI=");
        assert_eq!(decode("YWI=", "x"), Ok(b"ab".to_vec()));
        for other in ["YWI", "YWJ=", "YWI=\n", " YWI=", "YWI==", "YW-_", "="] {
            assert_eq!(decode(other, "x"), Err(DecodeError::Invalid("x")), "{other:?}");
        }
    }
}
