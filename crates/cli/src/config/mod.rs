//! Settings files (TOML): what is wrong with one is told in one sentence, with the file, the line and the key.
//!
//! Keys are named as the options of the command line that they stand in for; an option that is given counts more.
//!
//! Never knows: what the settings are for.

pub(crate) mod agent;
pub(crate) mod server;

use std::fmt::Display;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, de};

use crate::failure::Failure;

/// Longer than anybody's settings.
const MOST: u64 = 1 << 20;

/// Reads a file. One that was not named by anybody need not be there.
pub(crate) fn read<T: DeserializeOwned + Default>(named: Option<&Path>, usual: &Path) -> Result<T, Failure> {
    let path = named.unwrap_or(usual);
    let text = match std::fs::metadata(path).and_then(|about| match about.len() > MOST {
        true => Err(std::io::Error::other("it is too long for settings")),
        false => std::fs::read_to_string(path),
    }) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound && named.is_none() => return Ok(T::default()),
        Err(error) => return Err(Failure::new(format!("the settings {} cannot be read: {error}", path.display()))),
    };
    parse(path, &text)
}

fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, Failure> {
    toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start).min(text.len());
        let line = text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count();
        let key = key_at(text, line).map_or_else(String::new, |key| format!("{key}: "));
        let why = error.message().lines().collect::<Vec<_>>().join(" ");
        let why = match why.strip_prefix("unknown field ").and_then(|why| why.split_once(", expected ")) {
            // It is named already.
            Some((_, others)) => {
                format!("there is no such key, but {}", others.trim_start_matches("one of ").replace('`', ""))
            }
            None => why,
        };
        Failure::usage(format!("{}, line {}: {key}{why}", path.display(), line + 1))
    })
}

/// The key that a line is of; a value can take several lines.
fn key_at(text: &str, line: usize) -> Option<&str> {
    let lines: Vec<&str> = text.lines().take(line + 1).collect();
    let keys = lines.iter().rev().map(|line| line.split_once('=').map(|(key, _)| key.trim()));
    keys.flatten().find(|key| key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'))
}

/// A value as it is written on the command line, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Value<T>(pub(crate) T);

impl<'de, T: FromStr<Err: Display>> Deserialize<'de> for Value<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map(Value).map_err(de::Error::custom)
    }
}

/// A path that means the same wherever one stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Absolute(PathBuf);

impl FromStr for Absolute {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = PathBuf::from(text);
        if path.is_absolute() { Ok(Absolute(path)) } else { Err(format!("{text:?} does not begin at /")) }
    }
}

impl From<Value<Absolute>> for PathBuf {
    fn from(path: Value<Absolute>) -> PathBuf {
        path.0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Some {
        #[serde(default)]
        path: Option<Value<Absolute>>,
        #[serde(default)]
        list: Vec<Value<Absolute>>,
        #[serde(default)]
        number: u16,
    }

    #[test]
    fn what_is_wrong_is_named() {
        let told = |text: &str| parse::<Some>(Path::new("/x.toml"), text).unwrap_err().to_string();
        assert_eq!(
            told("\n# note\npaht = '/a'"),
            "/x.toml, line 3: paht: there is no such key, but path, list, number"
        );
        assert_eq!(told("path = 'a'"), "/x.toml, line 1: path: \"a\" does not begin at /");
        assert_eq!(told("list = [\n  '/a',\n  'b',\n]"), "/x.toml, line 1: list: \"b\" does not begin at /");
        assert_eq!(told("number = 70000"), "/x.toml, line 1: number: invalid value: integer `70000`, expected u16");
        assert!(told("number = 'x'").starts_with("/x.toml, line 1: number: invalid type"));
        for broken in ["path = /a", "path", "path = '/a", "= 1", "path = '/a'\npath = '/b'", "[other]\n"] {
            let told = told(broken);
            assert!(told.starts_with("/x.toml, line ") && !told.contains('\n'), "{told}");
        }
        let right = parse::<Some>(Path::new("/x.toml"), "path = '/a'\nlist = ['/b']").unwrap();
        assert_eq!((right.path.map(PathBuf::from), right.list.len(), right.number), (Some("/a".into()), 1, 0));
    }
}
