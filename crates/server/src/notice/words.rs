//! What is said of alerts, in plain text. Pure.
//!
//! Never knows: who reads it.

use std::fmt::Write as _;

use super::channel::Letter;
use super::plain;
use crate::catalogue::outbox::Notice;
use crate::moment::rfc3339;

/// Lines of a digest.
const MOST: usize = 200;

/// The subject of a letter.
pub(super) fn subject(server: &str, letter: &Letter) -> String {
    let server = plain(server, 100);
    match &letter.notices[..] {
        [] => format!("[{server}] this is a test"),
        [one] if one.began => format!("[{server}] {}: {}", one.alert.kind, plain(&one.alert.subject, 100)),
        [one] => format!("[{server}] over: {}: {}", one.alert.kind, plain(&one.alert.subject, 100)),
        many => {
            let began = many.iter().filter(|one| one.began).count();
            format!("[{server}] {began} alerts began, {} ended", many.len() - began)
        }
    }
}

/// The text of a letter.
pub(super) fn text(server: &str, letter: &Letter) -> String {
    let mut text = format!("From the Backstay server {}.\n\n", plain(server, 100));
    match &letter.notices[..] {
        [] => text.push_str("This is a test: alerts reach you.\n"),
        [one] => text.push_str(&alone(one)),
        many => {
            many.iter().take(MOST).for_each(|one| text.push_str(&line(one)));
            if many.len() > MOST {
                let _ = writeln!(text, "And {} more; `alerts` has them all.", many.len() - MOST);
            }
        }
    }
    if letter.lost > 0 {
        let _ = writeln!(text, "\n{} older ones were left out: nobody could be told for too long.", letter.lost);
    }
    text
}

fn alone(one: &Notice) -> String {
    let alert = &one.alert;
    let mut text = format!(
        "{}: {}\n{}\n\nSince {}.\n",
        alert.kind,
        plain(&alert.subject, 300),
        plain(&alert.told, 2000),
        rfc3339(alert.since)
    );
    match one.began {
        true => text.push_str("You will be told when it is over.\n"),
        false => {
            let _ = writeln!(text, "Over since {}.", rfc3339(one.at));
        }
    }
    text
}

fn line(one: &Notice) -> String {
    let word = if one.began { "began" } else { "ended" };
    let alert = &one.alert;
    format!("{} {word}  {}: {}: {}\n", rfc3339(one.at), alert.kind, plain(&alert.subject, 100), plain(&alert.told, 300))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::catalogue::alerts::Alert;
    use backstay_format::units::Timestamp;

    /// A notice to try things with.
    pub(in crate::notice) fn notice(id: i64, subject: &str, began: bool) -> Notice {
        let alert = Alert {
            id,
            kind: "late".into(),
            subject: subject.into(),
            told: "no point for longer than promised".into(),
            since: Timestamp(0),
            ended: None,
        };
        Notice { id, began, at: Timestamp(60_000_000_000), alert }
    }

    fn letter(notices: &[Notice], lost: u64) -> Letter {
        Letter { notices: notices.to_vec(), lost }
    }

    #[test]
    fn one_test_and_many() {
        let one = letter(&[notice(1, "web", true)], 0);
        assert_eq!(subject("here", &one), "[here] late: web");
        assert!(text("here", &one).contains("Since 1970-01-01T00:00:00Z.\nYou will be told"));
        let over = letter(&[notice(1, "web", false)], 0);
        assert_eq!(subject("here", &over), "[here] over: late: web");
        assert!(text("here", &over).contains("Over since 1970-01-01T00:01:00Z."));
        assert_eq!(subject("here", &letter(&[], 0)), "[here] this is a test");
        let many: Vec<Notice> = (0..300).map(|id| notice(id, "web", id < 200)).collect();
        let many = letter(&many, 7);
        assert_eq!(subject("here", &many), "[here] 200 alerts began, 100 ended");
        let text = text("here", &many);
        assert!(text.lines().count() < 210 && text.contains("And 100 more") && text.contains("7 older ones"));
    }

    #[test]
    fn nobody_writes_lines_of_their_own() {
        let evil = letter(&[notice(1, "x\r\nBcc: all@example.org\r\n\r\nhello", true)], 0);
        assert!(!subject("here", &evil).contains(['\r', '\n']));
        assert!(!text("here", &evil).contains("\nBcc"));
    }
}
