//! A monitor or agent on a socket in the file system.
//!
//! Never knows: what is asked.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use super::{AskError, Channel, LONGEST, Message, nonsense, parse};

/// How long a monitor may take to greet: it talks to one program at a time and lets others wait.
const GREETING: Duration = Duration::from_secs(5);

/// An open socket.
#[derive(Debug)]
pub struct Socket {
    stream: UnixStream,
    /// What came and was not looked at yet.
    buffer: Vec<u8>,
    /// The number of the last command, where commands are numbered.
    numbered: Option<u64>,
    /// Answers that are still to come.
    owed: usize,
}

impl Socket {
    /// Connects to a monitor.
    ///
    /// # Errors
    /// [`AskError::Lost`]: nobody listens there; [`AskError::Late`]: another program holds it.
    pub fn monitor(path: &Path) -> Result<Socket, AskError> {
        let mut socket = Socket::connect(path, Some(0))?;
        match socket.message("greeting", Instant::now() + GREETING)? {
            Message::Greeting => {}
            _ => return Err(nonsense("greeting", "it is no monitor")),
        }
        socket.ask("qmp_capabilities", json!({}))?;
        Ok(socket)
    }

    /// Connects to a guest agent, and sees that it answers.
    ///
    /// # Errors
    /// [`AskError::Lost`]: nobody listens there; [`AskError::Late`]: no agent runs in the guest.
    pub fn agent(path: &Path) -> Result<Socket, AskError> {
        let mut socket = Socket::connect(path, None)?;
        // A number that no earlier program used, so that an answer to it is not taken for ours.
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let number = since.as_nanos() as u64 >> 11;
        let end = Instant::now() + GREETING;
        let asked = json!({ "execute": "guest-sync", "arguments": { "id": number } });
        socket.send(&asked.to_string(), GREETING).map_err(AskError::Lost)?;
        loop {
            match socket.message("guest-sync", end)? {
                Message::Return { value, .. } if value.as_u64() == Some(number) => return Ok(socket),
                _ => {}
            }
        }
    }

    fn connect(path: &Path, numbered: Option<u64>) -> Result<Socket, AskError> {
        let stream = UnixStream::connect(path).map_err(AskError::Lost)?;
        Ok(Socket { stream, buffer: Vec::new(), numbered, owed: 0 })
    }

    fn send(&mut self, text: &str, limit: Duration) -> io::Result<()> {
        self.stream.set_write_timeout(Some(limit))?;
        self.stream.write_all(text.as_bytes())?;
        self.stream.write_all(b"\n")
    }

    /// The next message.
    fn message(&mut self, command: &str, end: Instant) -> Result<Message, AskError> {
        loop {
            let line = self.line(command, end)?;
            if !line.iter().all(|byte| byte.is_ascii_whitespace() || *byte == 0xFF) {
                return parse(&line).map_err(|why| nonsense(command, why));
            }
        }
    }

    fn line(&mut self, command: &str, end: Instant) -> Result<Vec<u8>, AskError> {
        let mut looked = 0;
        loop {
            if let Some(at) = self.buffer[looked..].iter().position(|byte| *byte == b'\n') {
                let rest = self.buffer.split_off(looked + at + 1);
                return Ok(std::mem::replace(&mut self.buffer, rest));
            }
            looked = self.buffer.len();
            if looked > LONGEST {
                return Err(nonsense(command, "it is too long"));
            }
            self.more(command, end)?;
        }
    }

    fn more(&mut self, command: &str, end: Instant) -> Result<(), AskError> {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(AskError::Late(command.to_owned()));
        }
        self.stream.set_read_timeout(Some(left)).map_err(AskError::Lost)?;
        let mut chunk = [0; 16 << 10];
        match self.stream.read(&mut chunk) {
            Ok(0) => Err(AskError::Lost(io::ErrorKind::UnexpectedEof.into())),
            Ok(read) => {
                self.buffer.extend_from_slice(&chunk[..read]);
                Ok(())
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                Err(AskError::Late(command.to_owned()))
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(e) => Err(AskError::Lost(e)),
        }
    }
}

impl Channel for Socket {
    fn ask_within(&mut self, command: &str, arguments: Value, limit: Duration) -> Result<Value, AskError> {
        let end = Instant::now() + limit;
        let mut asked = json!({ "execute": command, "arguments": arguments });
        if let Some(number) = &mut self.numbered {
            *number += 1;
            asked["id"] = (*number).into();
        }
        self.send(&asked.to_string(), limit).map_err(AskError::Lost)?;
        self.owed += 1;
        loop {
            let (id, answer) = match self.message(command, end)? {
                Message::Return { id, value } => (id, Ok(value)),
                Message::Error { id, class, text } => {
                    (id, Err(AskError::Refused { command: command.to_owned(), class, text }))
                }
                Message::Event | Message::Greeting => continue,
            };
            self.owed = self.owed.saturating_sub(1);
            // What answers in order without numbers answers ours last.
            let is_ours = if self.numbered.is_some() { id == self.numbered } else { self.owed == 0 };
            if is_ours {
                self.owed = 0;
                return answer;
            }
        }
    }
}
