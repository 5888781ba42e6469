//! `agent.toml`: how this machine is protected, for a service that has no command line of its own.
//!
//! Never knows: how points are made.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use backstay_items::exclude::Rule;
use serde::Deserialize;

use super::{Absolute, Value};
use crate::args::Agent;
use crate::failure::Failure;
use crate::moment;
use crate::rate::{BytesPerSecond, RateAt};

/// Where it is, if nobody says.
const FILE: &str = "/etc/backstay/agent.toml";

/// The file, as typed.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Typed {
    disks: Vec<Value<Absolute>>,
    dir: Option<Value<Absolute>>,
    every: Option<Value<Length>>,
    max_rate: Option<Value<BytesPerSecond>>,
    max_rate_at: Vec<Value<RateAt>>,
    max_freeze: Option<Value<Length>>,
    threads: Option<Threads>,
    all_blocks: bool,
    exclude: Vec<Value<Rule>>,
    note: String,
    before: Option<String>,
    after: Option<String>,
    postgres: Vec<String>,
    mariadb: Vec<String>,
    hook_limit: Option<Value<Length>>,
}

/// Adds what the file says to what the command line does not say.
pub(crate) fn fill(mut args: Agent) -> Result<Agent, Failure> {
    let typed: Typed = super::read(args.config.as_deref(), Path::new(FILE))?;
    let text = |length: Option<Value<Length>>| length.map(|length| length.0.0);
    if args.sources.is_empty() {
        args.sources = typed.disks.into_iter().map(PathBuf::from).collect();
    }
    args.dir = args.dir.or(typed.dir.map(PathBuf::from));
    let how = &mut args.how;
    how.every = how.every.take().or(text(typed.every));
    if how.max_rate.is_none() && how.max_rate_at.is_empty() {
        how.max_rate = typed.max_rate.map(|rate| rate.0);
        how.max_rate_at = typed.max_rate_at.into_iter().map(|rate| rate.0).collect();
    }
    how.max_freeze = how.max_freeze.take().or(text(typed.max_freeze));
    how.threads = how.threads.or(typed.threads.map(|threads| threads.0));
    how.all_blocks |= typed.all_blocks;
    if how.exclude.is_empty() {
        how.exclude = typed.exclude.into_iter().map(|rule| rule.0).collect();
    }
    if how.note.is_empty() {
        how.note = typed.note;
    }
    how.before = how.before.take().or(typed.before);
    how.after = how.after.take().or(typed.after);
    if how.postgres.is_empty() {
        how.postgres = typed.postgres;
    }
    if how.mariadb.is_empty() {
        how.mariadb = typed.mariadb;
    }
    how.hook_limit = how.hook_limit.take().or(text(typed.hook_limit));
    Ok(args)
}

/// A length of time.
#[derive(Debug)]
struct Length(String);

impl FromStr for Length {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        moment::duration(text).map(|_| Length(text.to_owned())).map_err(|failure| failure.to_string())
    }
}

/// At least one.
#[derive(Debug, Deserialize)]
#[serde(try_from = "u16")]
struct Threads(u16);

impl TryFrom<u16> for Threads {
    type Error = &'static str;

    fn try_from(number: u16) -> Result<Self, Self::Error> {
        if number == 0 { Err("at least 1") } else { Ok(Threads(number)) }
    }
}
