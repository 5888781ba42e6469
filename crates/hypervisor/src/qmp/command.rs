//! A monitor or agent behind libvirt, which keeps both sockets for itself: `virsh` passes commands on.
//!
//! Never knows: what is asked.

use std::io::{self, Read as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{AskError, Channel, LONGEST, Message, nonsense, parse};

/// What answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Monitor,
    Agent,
}

/// Commands passed on by `virsh`.
#[derive(Clone, Debug)]
pub struct Virsh {
    domain: String,
    who: Who,
}

impl Virsh {
    /// The monitor of a domain.
    pub fn monitor(domain: &str) -> Virsh {
        Virsh { domain: domain.to_owned(), who: Who::Monitor }
    }

    /// The guest agent of a domain.
    pub fn agent(domain: &str) -> Virsh {
        Virsh { domain: domain.to_owned(), who: Who::Agent }
    }

    fn command(&self, text: &str, limit: Duration) -> Command {
        let mut arguments = vec!["--quiet".to_owned()];
        match self.who {
            Who::Monitor => arguments.push("qemu-monitor-command".into()),
            Who::Agent => {
                let seconds = limit.as_secs().max(1).to_string();
                arguments.extend(["qemu-agent-command".into(), "--timeout".into(), seconds]);
            }
        }
        arguments.extend(["--domain".into(), self.domain.clone(), "--cmd".into(), text.into()]);
        let mut command = Command::new("virsh");
        command.args(arguments);
        command
    }
}

impl Channel for Virsh {
    fn ask_within(&mut self, command: &str, arguments: Value, limit: Duration) -> Result<Value, AskError> {
        let asked = json!({ "execute": command, "arguments": arguments }).to_string();
        let said = run(&mut self.command(&asked, limit), limit).map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => AskError::Late(command.to_owned()),
            _ => AskError::Lost(error),
        })?;
        match parse(&said).map_err(|why| nonsense(command, why))? {
            Message::Return { value, .. } => Ok(value),
            Message::Error { class, text, .. } => Err(AskError::Refused { command: command.to_owned(), class, text }),
            _ => Err(nonsense(command, "it is no answer")),
        }
    }
}

/// Runs a program that must succeed within a time; what it printed.
///
/// # Errors
/// `TimedOut`; `NotFound`: there is no such program; what it said on standard error else.
pub(crate) fn run(command: &mut Command, limit: Duration) -> io::Result<Vec<u8>> {
    command.env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let out = std::thread::spawn(move || all(out));
    let err = std::thread::spawn(move || all(err));
    let end = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > end {
            child.kill()?;
            child.wait()?;
            return Err(io::ErrorKind::TimedOut.into());
        }
        std::thread::sleep(Duration::from_millis(3));
    };
    let (out, err) = (out.join().unwrap_or_default(), err.join().unwrap_or_default());
    match status.success() {
        true => Ok(out),
        false => Err(io::Error::other(words(&err))),
    }
}

fn all(from: Option<impl io::Read>) -> Vec<u8> {
    let mut all = Vec::new();
    if let Some(from) = from {
        // A program that says more than this is cut short, and what it said makes no sense then.
        drop(from.take(LONGEST as u64).read_to_end(&mut all));
    }
    all
}

/// What a program said of its failure, on one line.
fn words(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let lines: Vec<&str> = text.lines().map(|line| line.trim().trim_start_matches("error: ")).collect();
    let lines: Vec<&str> = lines.into_iter().filter(|line| !line.is_empty()).collect();
    lines.join(": ").chars().filter(|c| !c.is_control()).take(400).collect()
}
