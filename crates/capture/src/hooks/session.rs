//! A database's own client program, held open: statements in, rows out, an end that nothing can put off.
//!
//! The client programs are used rather than libraries for three reasons. They know every way of proving who one is that
//! their server knows: TLS, peer credentials, password files, plugins. They can be killed when their time is over, in
//! whatever they hang. And they come with the server, or from inside its container. They are started before the freeze
//! and ended after it; during it they wait for the next line.
//!
//! Never knows: which statements, or whose client.

use std::process::{Command, Stdio};
use std::time::Instant;

use super::Outcome;
use super::program::{Program, Tail};

/// As much as is read of one answer.
const MOST: usize = 1 << 20;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Fault {
    /// Not in time.
    Late,
    /// It ended, for this reason.
    Ended(String),
}

impl Fault {
    pub(super) fn outcome(self) -> Outcome {
        match self {
            Fault::Late => Outcome::Late,
            Fault::Ended(why) => Outcome::Failed(why),
        }
    }
}

/// A client that runs and reads statements. Killed when this is dropped.
pub(super) struct Session {
    name: String,
    program: Program,
    /// Makes the client print a line of its own: all before it is the answer.
    echo: fn(&str) -> String,
    asked: u32,
    heard: Vec<u8>,
    said: Tail,
}

impl Session {
    /// Starts a client, which must end at the first statement that fails.
    pub(super) fn start(command: &mut Command, echo: fn(&str) -> String) -> Result<Session, Fault> {
        let name = command.get_program().to_string_lossy().into_owned();
        let program = Program::start(command, Stdio::piped());
        let program = program.map_err(|e| Fault::Ended(format!("`{name}` could not be run: {e}")))?;
        Ok(Session { name, program, echo, asked: 0, heard: Vec::new(), said: Tail::default() })
    }

    /// Has statements carried out and returns the lines of the answer.
    pub(super) fn ask(&mut self, statements: &str, until: Instant) -> Result<Vec<String>, Fault> {
        self.asked += 1;
        let mark = format!("backstay-answered-{}", self.asked);
        if self.program.tell(&format!("{statements}\n{}\n", (self.echo)(&mark))).is_err() {
            return Err(self.listen_to_the_end(until));
        }
        self.heard.clear();
        loop {
            let text = String::from_utf8_lossy(&self.heard);
            if let Some(end) = text.lines().position(|line| line == mark) {
                return Ok(text.lines().take(end).map(str::to_owned).collect());
            }
            if Instant::now() >= until {
                return Err(Fault::Late);
            }
            if self.is_over(until)? {
                return Err(self.listen_to_the_end(until));
            }
        }
    }

    /// What the client said besides answers.
    pub(super) fn said(&self) -> String {
        self.said.text()
    }

    /// Ends the client as it wishes.
    pub(super) fn close(mut self, until: Instant) {
        self.program.hang_up();
        while Instant::now() < until && !self.is_over(until).unwrap_or(true) {}
    }

    /// Listens a little. Answers whether the client has ended, with all said.
    fn is_over(&mut self, until: Instant) -> Result<bool, Fault> {
        let (heard, said) = (&mut self.heard, &mut self.said);
        let mut take = |pipe, bytes: &[u8]| match pipe {
            super::program::Pipe::Output => heard.extend_from_slice(bytes),
            super::program::Pipe::Errors => said.push(bytes),
        };
        let broken = |e: std::io::Error| Fault::Ended(e.to_string());
        let ended = self.program.ended().map_err(broken)?.is_some();
        let listened = self.program.listen(until, &mut take).map_err(broken)?;
        if self.heard.len() > MOST {
            return Err(Fault::Ended(format!("`{}` answers without end", self.name)));
        }
        Ok(ended && !listened)
    }

    fn listen_to_the_end(&mut self, until: Instant) -> Fault {
        loop {
            match self.is_over(until) {
                Ok(false) if Instant::now() < until => {}
                Ok(false) => return Fault::Late,
                Ok(true) => break,
                Err(fault) => return fault,
            }
        }
        let said = self.said.text();
        Fault::Ended(format!("`{}` ended: {}", self.name, reason(&said)))
    }
}

/// The line that says why: clients warn before it and give hints after it.
fn reason(said: &str) -> &str {
    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
    let names_it = |line: &&str| ["ERROR", "error:", "FATAL"].iter().any(|word| line.contains(word));
    lines().find(names_it).or(lines().next_back()).unwrap_or("it gave no reason")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons() {
        let psql = "NOTICE:  x\npsql: error: connection to server failed: No such file\n\tIs the server running?\n";
        assert_eq!(reason(psql), "psql: error: connection to server failed: No such file");
        assert_eq!(reason("ERROR 1045 (28000): Access denied\n"), "ERROR 1045 (28000): Access denied");
        assert_eq!(reason("one\ntwo\n\n"), "two");
        assert_eq!(reason(""), "it gave no reason");
    }
}
