//! A rule: what is left out of a capture, as people write it, and what rules come to on each disk.
//!
//! Never knows: file systems.

use std::str::FromStr;
use std::sync::Arc;

use backstay_env::volume::Volume;
use backstay_format::rows::Exclusion;

use super::{Choice, Excluded, Pattern, Stop, excluded};
use crate::disk::Part;

/// PATH, DISK:PATH or DISK:PARTITION:PATH.
#[derive(Clone, Debug)]
pub struct Rule {
    /// As it was written.
    pub text: String,
    /// The one disk that it is about.
    pub disk: Option<String>,
    partition: Option<u32>,
    pattern: Pattern,
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A colon behind the first slash belongs to the path.
        let place_end = text.find('/').unwrap_or(text.len());
        let (disk, rest) = match text[..place_end].find(':') {
            Some(at) => (Some(text[..at].to_owned()), &text[at + 1..]),
            None => (None, text),
        };
        let number = |part: &str| part.trim_start_matches('p').parse::<u32>().ok();
        let (partition, path) = match rest.split_once(':').and_then(|(part, path)| Some((number(part)?, path))) {
            Some((number, path)) if disk.is_some() => (Some(number), path),
            _ => (None, rest),
        };
        if disk.as_deref() == Some("") {
            return Err("there is no disk before the colon; write PATH, DISK:PATH or DISK:PARTITION:PATH".to_owned());
        }
        let pattern = Pattern::parse(path).map_err(|e| e.to_string())?;
        Ok(Rule { text: text.to_owned(), disk, partition, pattern })
    }
}

/// What rules come to on one disk.
#[derive(Default)]
pub struct Resolved {
    /// The bytes.
    pub found: Excluded,
    /// For the point to tell: the rules that name something here.
    pub exclusions: Vec<Exclusion>,
    /// The rules that name something here, by their places in the list.
    pub met: Vec<usize>,
}

/// Resolves those of the rules that are about a disk. If it is to `stop` early, the answer is of no use.
pub fn resolve(rules: &[Rule], (name, volume): (&str, &Arc<dyn Volume>), parts: &[Part], stop: Stop<'_>) -> Resolved {
    let is_about = |e: &Rule| e.disk.as_deref().is_none_or(|disk| disk == name);
    let about: Vec<usize> = (0..rules.len()).filter(|i| is_about(&rules[*i])).collect();
    let choice = |i: &usize| Choice { partition: rules[*i].partition, pattern: &rules[*i].pattern };
    let found = excluded(volume, parts, &about.iter().map(choice).collect::<Vec<_>>(), stop);
    let tallies = about.iter().zip(&found.tallies).filter(|(_, tally)| tally.files > 0);
    let (exclusions, met) =
        tallies.map(|(i, tally)| (Exclusion { rule: rules[*i].text.clone(), bytes: tally.bytes }, *i)).unzip();
    Resolved { found, exclusions, met }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_paths() {
        let parts = |text: &str| text.parse::<Rule>().map(|e| (e.disk, e.partition)).ok();
        assert_eq!(parts("/var/cache"), Some((None, None)));
        assert_eq!(parts("/odd:name"), Some((None, None)));
        assert_eq!(parts("*.iso"), Some((None, None)));
        assert_eq!(parts("sda:/swapfile"), Some((Some("sda".into()), None)));
        assert_eq!(parts("sda:2:/swapfile"), Some((Some("sda".into()), Some(2))));
        assert_eq!(parts("sda:p2:*.iso"), Some((Some("sda".into()), Some(2))));
        assert_eq!(parts("sda:2"), Some((Some("sda".into()), None)));
        for bad in ["", "/", ":/x", "sda:", "sda:2:", "/a/../b", "[a"] {
            assert_eq!(parts(bad), None, "{bad:?}");
        }
    }
}
