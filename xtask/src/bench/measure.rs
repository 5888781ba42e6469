//! Wall time, processor time and peak memory of a program, and the size of what it stored.
//!
//! Never knows: what the program did, or what is a good figure.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::fail::{During, Fail, Result};
use crate::run;

/// What one run of one program took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sample {
    /// From start to exit.
    pub(super) wall: Duration,
    /// User and system time of all its threads.
    pub(super) cpu: Duration,
    /// The largest resident set it ever had, in bytes.
    pub(super) peak: u64,
}

/// Runs the command under GNU time. The kernel counts what a process held before `exec` towards its peak, so a small
/// program in between keeps our own memory out of the figure.
/// # Errors
/// The command fails; its output is in the message.
pub(super) fn timed(command: &Command) -> Result<Sample> {
    Ok(timed_output(command)?.0)
}

/// As [`timed`], with what was printed on standard output.
/// # Errors
/// As [`timed`].
pub(super) fn timed_output(command: &Command) -> Result<(Sample, Vec<u8>)> {
    let report = std::env::temp_dir().join(format!("backstay-bench-{}.time", std::process::id()));
    let mut wrapped = Command::new("/usr/bin/time");
    wrapped.args(["-f", "%U %S %M", "-o"]).arg(&report);
    wrapped.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        wrapped.current_dir(dir);
    }
    let start = Instant::now();
    let printed = run::output(&mut wrapped)?;
    let wall = start.elapsed();
    let said = fs::read_to_string(&report).during(report.display())?;
    fs::remove_file(&report).during(report.display())?;
    let sample = parse(&said, wall);
    let sample = sample.ok_or_else(|| Fail::new(format!("/usr/bin/time said `{}`", said.trim())))?;
    Ok((sample, printed))
}

/// What a process has taken of the processors so far, by all its threads, also those that have ended.
/// # Errors
/// It is gone.
pub(super) fn processor_time(process: u32) -> Result<Duration> {
    // proc_pid_stat(5): ticks, of which there are 100 in a second for programs, whatever the kernel's own are.
    const TICK: Duration = Duration::from_millis(10);
    const USER: usize = 11;
    let path = format!("/proc/{process}/stat");
    let text = fs::read_to_string(&path).during(&path)?;
    // Names may have spaces and brackets in them.
    let after_name = text.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(USER).take(2).map(|word| word.parse::<u32>().unwrap_or_default());
    Ok(TICK * ticks.sum())
}

fn parse(said: &str, wall: Duration) -> Option<Sample> {
    let mut words = said.lines().last()?.split_whitespace();
    let user: f64 = words.next()?.parse().ok()?;
    let system: f64 = words.next()?.parse().ok()?;
    let kib: u64 = words.next()?.parse().ok()?;
    Some(Sample { wall, cpu: Duration::try_from_secs_f64(user + system).ok()?, peak: kib * 1024 })
}

/// The lengths of all files below, folders themselves not counted: what a copy to elsewhere would have to carry.
/// # Errors
/// The folder cannot be read.
pub(super) fn stored(path: &Path) -> Result<u64> {
    let facts = fs::symlink_metadata(path).during(path.display())?;
    if !facts.is_dir() {
        return Ok(facts.len());
    }
    let mut sum = 0;
    for entry in fs::read_dir(path).during(path.display())? {
        sum += stored(&entry.during(path.display())?.path())?;
    }
    Ok(sum)
}

/// Brings a file into the page cache, and has everything that waits to be written written, so that no run pays for
/// the one before it.
/// # Errors
/// The file cannot be read.
pub(super) fn settle(hot: &Path) -> Result<()> {
    run::run(&mut Command::new("sync"))?;
    let mut file = fs::File::open(hot).during(hot.display())?;
    std::io::copy(&mut file, &mut std::io::sink()).during(hot.display()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_of_gnu_time_is_understood() {
        let sample = parse("1.50 0.25 2048\n", Duration::from_secs(1)).unwrap_or_default();
        assert_eq!((sample.cpu, sample.peak), (Duration::from_millis(1750), 2 << 20));
        assert!(parse("Command terminated", Duration::ZERO).is_none());
    }
}
