//! The second factor: codes of six digits by the time (RFC 6238).
//!
//! Never knows: whose it is, or which codes were used before.

use data_encoding::BASE32_NOPAD;
use totp_rs::Builder;

/// A secret as apps show and keep it.
pub(crate) fn secret(random: [u8; 20]) -> String {
    BASE32_NOPAD.encode(&random)
}

/// What an app reads out of a picture.
pub(crate) fn link(name: &str, secret: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._".contains(byte);
    let escaped = |byte: u8| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    let name: String = name.bytes().map(escaped).collect();
    format!("otpauth://totp/Backstay:{name}?secret={secret}&issuer=Backstay")
}

/// The step that a code is of, by this clock or half a minute before or after; `None`: it is no code of now.
pub(crate) fn step(secret: &str, code: &str, seconds: u64) -> Option<i64> {
    let secret = BASE32_NOPAD.decode(secret.as_bytes()).ok()?;
    let totp = Builder::new().with_secret(secret).build_noncompliant();
    totp.check(code.trim(), seconds).and_then(|step| i64::try_from(step).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_the_standard() {
        // RFC 6238, appendix B, cut to six digits.
        let secret = secret(*b"12345678901234567890");
        assert_eq!(step(&secret, "287082", 59), Some(1));
        assert_eq!(step(&secret, "081804", 1_111_111_109), Some(37_037_036));
        assert_eq!(step(&secret, "287082", 59 + 30), Some(1), "half a minute late");
        assert_eq!(step(&secret, "287082", 59 + 90), None);
        assert_eq!((step(&secret, "", 59), step("!", "287082", 59)), (None, None));
    }

    #[test]
    fn names_do_not_break_the_link() {
        assert_eq!(link("a b&secret=x", "S"), "otpauth://totp/Backstay:a%20b%26secret%3Dx?secret=S&issuer=Backstay");
    }
}
