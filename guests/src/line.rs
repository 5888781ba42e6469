//! Commands to a guest, and its answers, over a virtio port.
//!
//! Never knows: QEMU, or what the commands do.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::fail::{During, Fail, Result};

/// A line to a guest.
pub(crate) struct Line {
    to: UnixStream,
    from: BufReader<UnixStream>,
    sent: u64,
    /// What has come of an answer so far.
    part: Vec<u8>,
}

/// What a command came to.
pub(crate) struct Answer {
    pub(crate) status: i32,
    pub(crate) said: String,
}

/// How often to look whether there is something to give up for.
const TICK: Duration = Duration::from_millis(500);

impl Line {
    /// Takes up the line at a socket, which QEMU has made.
    pub(crate) fn open(socket: &Path) -> Result<Line> {
        let patience = Instant::now() + Duration::from_secs(20);
        let to = loop {
            match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                Err(_) if Instant::now() < patience => std::thread::sleep(Duration::from_millis(50)),
                Err(cause) => return Err(Fail::new(format!("QEMU's socket: {cause}"))),
            }
        };
        to.set_read_timeout(Some(TICK)).during("QEMU's socket")?;
        let from = BufReader::new(to.try_clone().during("QEMU's socket")?);
        Ok(Line { to, from, sent: 0, part: Vec::new() })
    }

    /// Waits until the guest has started; answers the name of this run of it.
    pub(crate) fn ready(&mut self, limit: Duration) -> Result<String> {
        loop {
            let line = self.next(limit).during("waiting for the guest to start")?;
            if let Some(boot) = line.strip_prefix("ready ") {
                return Ok(boot.to_owned());
            }
        }
    }

    /// Has the guest run a script of bash.
    pub(crate) fn run(&mut self, script: &str, limit: Duration) -> Result<Answer> {
        self.send(script)?;
        let number = self.sent.to_string();
        let answer = self.next(limit)?;
        let mut words = answer.split(' ');
        let (Some(found), Some(status)) = (words.next(), words.next().and_then(|s| s.parse().ok())) else {
            return Err(Fail::new(format!("the guest said `{answer}`")));
        };
        if found != number {
            return Err(Fail::new(format!("the guest answered {found} instead of {number}: it was started anew")));
        }
        let said = decode(words.next().unwrap_or_default())?;
        Ok(Answer { status, said: String::from_utf8_lossy(&said).into_owned() })
    }

    /// As [`Line::run`], for what does not come back.
    pub(crate) fn send(&mut self, script: &str) -> Result<()> {
        self.sent += 1;
        let line = format!("{} {}\n", self.sent, encode(script.as_bytes()));
        self.to.write_all(line.as_bytes()).during("writing to the guest")
    }

    fn next(&mut self, limit: Duration) -> Result<String> {
        let patience = Instant::now() + limit;
        loop {
            match self.from.read_until(b'\n', &mut self.part) {
                Ok(0) => return Err(Fail::new("the guest is gone")),
                Ok(_) if self.part.last() == Some(&b'\n') => {
                    let line = std::mem::take(&mut self.part);
                    return Ok(String::from_utf8_lossy(&line).trim().to_owned());
                }
                Ok(_) => {}
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(e) => return Err(Fail::new(format!("reading from the guest: {e}"))),
            }
            if Instant::now() > patience {
                return Err(Fail::new(format!("the guest did not answer for {} s", limit.as_secs())));
            }
        }
    }
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for piece in bytes.chunks(3) {
        let bits = piece.iter().enumerate().fold(0u32, |bits, (at, byte)| bits | u32::from(*byte) << (16 - 8 * at));
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= piece.len() { digit.into() } else { '=' });
        }
    }
    text
}

fn decode(text: &str) -> Result<Vec<u8>> {
    let digit = |byte: &u8| DIGITS.iter().position(|digit| digit == byte).map(|at| at as u32);
    let digits: Option<Vec<u32>> = text.trim_end_matches('=').as_bytes().iter().map(digit).collect();
    let digits = digits.ok_or_else(|| Fail::new("the guest's answer is no base64"))?;
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for piece in digits.chunks(4) {
        let bits = piece.iter().enumerate().fold(0u32, |bits, (at, digit)| bits | digit << (18 - 6 * at));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..piece.len().max(1)]);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64() {
        for (plain, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(encode(plain.as_bytes()), text);
            assert_eq!(decode(text).unwrap_or_default(), plain.as_bytes());
        }
        assert!(decode("a*bc").is_err());
    }
}
