//! Passwords of people: what is kept of one tells whether another is the same, and nothing else.
//!
//! Never knows: whose they are, or where they are kept.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use backstay_format::keys::Argon2Cost;

use crate::boxes::Salt;
use crate::passphrase;

/// What is kept of a password: `argon2id$1$memory$passes$lanes$salt$hash`, numbers in decimal, bytes in hex.
///
/// Takes the time and the memory that the cost says.
pub fn keep(password: &[u8], cost: Argon2Cost, salt: &Salt) -> String {
    let hash = passphrase::slot_key(password, cost, salt);
    let Argon2Cost { memory_kib, passes, lanes } = cost;
    format!("argon2id$1${memory_kib}${passes}${lanes}${}${}", hex(salt), hex(&hash.0))
}

/// Whether this is the password that `kept` was made of. What is kept wrongly is nobody's password.
///
/// Takes the time and the memory that the cost said.
pub fn is(password: &[u8], kept: &str) -> bool {
    let Some((cost, salt, expected)) = read(kept) else { return false };
    let hash = passphrase::slot_key(password, cost, &salt);
    verify_slices_are_equal(&hash.0, &expected).is_ok()
}

/// The most that a kept cost may ask for: what lies in a database must not be able to take the machine's memory.
const MOST: Argon2Cost = Argon2Cost { memory_kib: 1 << 20, passes: 16, lanes: 16 };

fn read(kept: &str) -> Option<(Argon2Cost, Salt, [u8; 32])> {
    let mut fields = kept.strip_prefix("argon2id$1$")?.split('$');
    let mut number = |most: u32| fields.next()?.parse::<u32>().ok().filter(|n| (1..=most).contains(n));
    let cost =
        Argon2Cost { memory_kib: number(MOST.memory_kib)?, passes: number(MOST.passes)?, lanes: number(MOST.lanes)? };
    let (salt, hash) = (unhex(fields.next()?)?, unhex(fields.next()?)?);
    let enough = cost.memory_kib >= 8 * cost.lanes;
    (enough && fields.next().is_none()).then_some((cost, salt, hash))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    let mut bytes = [0; N];
    if digits.len() != 2 * N || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Argon2Cost = Argon2Cost { memory_kib: 32, passes: 1, lanes: 1 };

    #[test]
    fn only_the_same_password_is_it() {
        let kept = keep(b"correct horse", CHEAP, &[7; 16]);
        assert!(kept.starts_with("argon2id$1$32$1$1$07070707"), "{kept}");
        assert!(is(b"correct horse", &kept));
        assert!(!is(b"correct hors", &kept) && !is(b"", &kept));
        assert_ne!(kept, keep(b"correct horse", CHEAP, &[8; 16]));
    }

    #[test]
    fn what_is_kept_wrongly_is_nobodys() {
        let kept = keep(b"x", CHEAP, &[7; 16]);
        for wrong in [
            "",
            "argon2id$1$",
            &kept[..kept.len() - 1],
            &format!("{kept}$"),
            &kept.replace("$32$", "$4000000000$"),
            &kept.replace("$32$", "$0$"),
            &kept.replace("$32$1$1$", "$32$1$16$"),
        ] {
            assert!(!is(b"x", wrong), "{wrong}");
        }
    }
}
