//! Programs with an end: in a process group of their own, killed with it when their time is over, whatever they print
//! bounded.
//!
//! Never knows: what a program is for.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, Signal, kill_process_group};

/// What is kept of a program's output.
pub(super) const KEPT: usize = 16 << 10;

/// As much as a pipe may hold, of the largest kind.
const PIPE: usize = 1 << 20;

/// How often to look whether a program has ended that keeps its pipes open, or closed them before its end.
const TICK: Duration = Duration::from_millis(10);

/// The end of something that may be long.
#[derive(Debug, Default)]
pub(super) struct Tail {
    bytes: Vec<u8>,
    cut: bool,
}

impl Tail {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() > KEPT {
            self.bytes.drain(..self.bytes.len() - KEPT);
            self.cut = true;
        }
    }

    /// As text; says so if it is not all.
    pub(super) fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        if self.cut { format!("(cut) {text}") } else { text.into_owned() }
    }
}

/// Which of a program's pipes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pipe {
    Output,
    Errors,
}

/// A program that runs. Killed with its process group when this is dropped, unless it has ended before; what it left in
/// the background then is left alone.
pub(super) struct Program {
    child: Child,
    input: Option<ChildStdin>,
    pipes: [Option<File>; 2],
    status: Option<ExitStatus>,
}

impl Program {
    /// Starts it, with nothing or a pipe to read from.
    pub(super) fn start(command: &mut Command, input: Stdio) -> io::Result<Program> {
        command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn()?;
        let output = child.stdout.take().map(|pipe| File::from(OwnedFd::from(pipe)));
        let errors = child.stderr.take().map(|pipe| File::from(OwnedFd::from(pipe)));
        let input = child.stdin.take();
        Ok(Program { child, input, pipes: [output, errors], status: None })
    }

    /// Writes to it what fits into a pipe: a few KiB.
    pub(super) fn tell(&mut self, text: &str) -> io::Result<()> {
        self.input.as_mut().ok_or(io::ErrorKind::BrokenPipe)?.write_all(text.as_bytes())
    }

    /// Nothing more will be told.
    pub(super) fn hang_up(&mut self) {
        self.input = None;
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.child.try_wait()?;
        }
        Ok(self.status)
    }

    /// Waits a little, at most until then, for something to be said, and passes it on. `false` if nothing was.
    pub(super) fn listen(&mut self, until: Instant, take: &mut dyn FnMut(Pipe, &[u8])) -> io::Result<bool> {
        let mut heard = false;
        let patience = until.saturating_duration_since(Instant::now()).min(TICK);
        let ready = self.ready(patience)?;
        for (pipe, at) in [(Pipe::Output, 0), (Pipe::Errors, 1)] {
            if let (true, Some(file)) = (ready[at], &mut self.pipes[at]) {
                let mut buffer = [0; 4096];
                match file.read(&mut buffer)? {
                    0 => self.pipes[at] = None,
                    read => take(pipe, &buffer[..read]),
                }
                heard = true;
            }
        }
        Ok(heard)
    }

    fn ready(&self, patience: Duration) -> io::Result<[bool; 2]> {
        let mut ready = [false; 2];
        let open = || self.pipes.iter().enumerate().filter_map(|(at, pipe)| Some((at, pipe.as_ref()?)));
        let mut polled: Vec<PollFd<'_>> = open().map(|(_, pipe)| PollFd::new(pipe, PollFlags::IN)).collect();
        let timeout = Timespec { tv_sec: 0, tv_nsec: patience.subsec_nanos().into() };
        match rustix::event::poll(&mut polled, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(other) => return Err(other.into()),
        }
        for ((at, _), polled) in open().zip(&polled) {
            ready[at] = !polled.revents().is_empty();
        }
        Ok(ready)
    }

    /// Kills it with all it started that is still in its group.
    pub(super) fn kill(&mut self) {
        if self.status.is_none() {
            let group = Pid::from_child(&self.child);
            let _ = kill_process_group(group, Signal::KILL);
            self.status = self.child.wait().ok();
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// How a program ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// By itself.
    Exit(ExitStatus),
    /// It was killed, as its time was over.
    Late,
}

/// Runs a program to its end, with nothing to read. What it prints goes into one tail.
pub(super) fn run(command: &mut Command, until: Instant, said: &mut Tail) -> io::Result<Ended> {
    let mut program = Program::start(command, Stdio::null())?;
    loop {
        if let Some(status) = program.ended()? {
            // Something in the background may go on printing: what can be in the pipes by now is enough.
            let now = Instant::now();
            let mut more = 0;
            while more < PIPE
                && program.listen(now, &mut |_, bytes| {
                    more += bytes.len();
                    said.push(bytes)
                })?
            {}
            return Ok(Ended::Exit(status));
        }
        if Instant::now() >= until {
            program.kill();
            return Ok(Ended::Late);
        }
        program.listen(until, &mut |_, bytes| said.push(bytes))?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_is_kept() {
        let mut tail = Tail::default();
        tail.push(b"abc");
        assert_eq!(tail.text(), "abc");
        for _ in 0..3 {
            tail.push(&[b'x'; KEPT / 2]);
        }
        tail.push(b"end");
        let text = tail.text();
        assert!(text.starts_with("(cut) xxx") && text.ends_with("xxxend"));
        assert_eq!(text.len(), KEPT + "(cut) ".len());
    }
}
