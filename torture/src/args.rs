//! The command line.
//!
//! Never knows: what a world is.

use std::path::PathBuf;
use std::time::Duration;

use crate::fail::{Fail, Result};
use crate::tools::now;
use crate::world::plan::NAMES;

const USAGE: &str = "\
torture --backstay PROGRAM [--minutes N | --rounds N] [--seed S] [--only NAME,...] [--load SECONDS] [--folder DIR]
        [--evidence DIR]
    --backstay  the program that is proven
    --minutes   rounds begin for so long; 10
    --rounds    so many, however long they take
    --seed      of the first round; each that follows has the next
    --only      only these worlds: ext4, xfs, btrfs, parts, postgres, mariadb, slow
    --load      how long a round's loads are at work; 60
    --folder    where disks and stores lie; the folder for temporary files
    --evidence  where images of failures are kept; the same";

/// As meant.
#[derive(Debug)]
pub(crate) struct Args {
    pub(crate) program: PathBuf,
    pub(crate) time: Duration,
    /// Instead of a time.
    pub(crate) rounds: Option<u64>,
    pub(crate) seed: u64,
    /// Never empty.
    pub(crate) only: Vec<&'static str>,
    pub(crate) load: Duration,
    pub(crate) folder: PathBuf,
    pub(crate) evidence: PathBuf,
}

/// # Errors
/// A sentence with the usage.
pub(crate) fn parse(words: &[String]) -> Result<Args> {
    let temporary = std::env::temp_dir();
    let mut args = Args {
        program: PathBuf::new(),
        time: Duration::from_secs(600),
        rounds: None,
        seed: now().unsigned_abs() / 1_000_000_000 % 1_000_000 * 1000,
        only: NAMES.to_vec(),
        load: Duration::from_secs(60),
        folder: temporary.clone(),
        evidence: temporary,
    };
    let mut words = words.iter();
    while let Some(option) = words.next() {
        let value = words.next().ok_or_else(|| wrong(option))?;
        let number = || value.parse::<u64>().map_err(|_| wrong(value));
        match option.as_str() {
            "--backstay" => args.program = value.into(),
            "--minutes" => args.time = Duration::from_secs(60 * number()?),
            "--rounds" => args.rounds = Some(number()?),
            "--seed" => args.seed = number()?,
            "--only" => args.only = value.split(',').map(known).collect::<Result<_>>()?,
            "--load" => args.load = Duration::from_secs(number()?),
            "--folder" => args.folder = value.into(),
            "--evidence" => args.evidence = value.into(),
            _ => return Err(wrong(option)),
        }
    }
    if args.program.as_os_str().is_empty() { Err(Fail::new(USAGE)) } else { Ok(args) }
}

fn known(name: &str) -> Result<&'static str> {
    NAMES.iter().find(|known| **known == name).copied().ok_or_else(|| wrong(name))
}

fn wrong(word: &str) -> Fail {
    Fail::new(format!("`{word}` is not understood\n{USAGE}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Args> {
        parse(&line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn words_are_understood_or_not() {
        let args = parsed("--backstay b --minutes 3 --seed 7 --only xfs,slow").unwrap();
        assert_eq!((args.time, args.seed, args.only), (Duration::from_secs(180), 7, vec!["xfs", "slow"]));
        assert!(parsed("--minutes 3").is_err() && parsed("--backstay b --only ntfs").is_err());
        assert!(parsed("--backstay b --seed").is_err());
    }
}
