//! What was done and found, told as it goes and at the end.
//!
//! Never knows: how anything is judged.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::fail::{During, Result};

/// How many images are kept as evidence; they are large.
const EVIDENCE: usize = 4;

/// Something that should not have been.
struct Failure {
    world: String,
    name: &'static str,
    seed: u64,
    what: String,
    evidence: Option<PathBuf>,
}

/// Everything that is told at the end.
pub(crate) struct Report {
    begun: Instant,
    folder: PathBuf,
    rounds: BTreeMap<&'static str, u64>,
    points: u64,
    fuzzy: u64,
    judged: BTreeMap<&'static str, u64>,
    done: BTreeMap<&'static str, u64>,
    rescans: BTreeMap<String, u64>,
    longest: Duration,
    failures: Vec<Failure>,
}

impl Report {
    /// Keeps evidence in a folder, which is made when there is some.
    pub(crate) fn new(folder: &Path) -> Report {
        Report {
            begun: Instant::now(),
            folder: folder.to_owned(),
            rounds: BTreeMap::new(),
            points: 0,
            fuzzy: 0,
            judged: BTreeMap::new(),
            done: BTreeMap::new(),
            rescans: BTreeMap::new(),
            longest: Duration::ZERO,
            failures: Vec::new(),
        }
    }

    /// Tells one line, with the time that has passed.
    pub(crate) fn say(&self, line: &str) {
        println!("{:>5} s  {line}", self.begun.elapsed().as_secs());
    }

    pub(crate) fn round(&mut self, name: &'static str) {
        *self.rounds.entry(name).or_default() += 1;
    }

    /// A judge agreed.
    pub(crate) fn agreed(&mut self, who: &'static str) {
        *self.judged.entry(who).or_default() += 1;
    }

    /// A point was judged by all.
    pub(crate) fn judged(&mut self) {
        self.points += 1;
    }

    /// A point says of itself that it is not of one moment, and is not held to it.
    pub(crate) fn fuzzy(&mut self) {
        self.fuzzy += 1;
    }

    /// What one round did, why it began anew, and how long a writer waited at most.
    pub(crate) fn add(&mut self, counts: &BTreeMap<&'static str, u64>, rescans: Vec<String>, longest: Duration) {
        self.longest = self.longest.max(longest);
        for (what, count) in counts {
            *self.done.entry(what).or_default() += count;
        }
        for why in rescans {
            // The disk's name tells nothing.
            let why = why.split_once(": ").map_or(why.as_str(), |(_, why)| why).to_owned();
            *self.rescans.entry(why).or_default() += 1;
        }
    }

    /// Notes a failure, and where its evidence lies: files are copied, but no more than a few.
    pub(crate) fn failed(&mut self, (world, name, seed): (String, &'static str, u64), what: String, keep: &[PathBuf]) {
        self.say(&format!("FAILED: {}", short(&what)));
        let full = self.failures.iter().filter(|failure| failure.evidence.is_some()).count() >= EVIDENCE;
        let place = self.folder.join(format!("failure{}", self.failures.len() + 1));
        let evidence = (!full).then(|| copy(keep, &place, &what)).and_then(|kept| match kept {
            Ok(()) => Some(place),
            Err(cause) => {
                self.say(&format!("no evidence could be kept: {cause}"));
                None
            }
        });
        self.failures.push(Failure { world, name, seed, what, evidence });
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.failures.is_empty()
    }

    /// All of it.
    pub(crate) fn text(&self) -> String {
        let took = Duration::from_secs(self.begun.elapsed().as_secs());
        let rounds: u64 = self.rounds.values().sum();
        let names: Vec<String> = self.rounds.iter().map(|(name, count)| format!("{count} {name}")).collect();
        let mut lines = vec![
            String::new(),
            format!("{rounds} rounds in {took:?}: {}", names.join(", ")),
            format!("{} points judged; {} more say themselves that they are of no one moment", self.points, self.fuzzy),
        ];
        lines.push("agreed:".into());
        lines.extend(self.judged.iter().map(|(who, count)| format!("  {count:>6}  {who}")));
        lines.push("done to protect:".into());
        lines.extend(self.done.iter().map(|(what, count)| format!("  {count:>6}  {what}")));
        lines.push(format!("a writer waited {:?} at most for a thaw after one of these", self.longest));
        lines.push("reasons to compare whole disks, beside beginning:".into());
        lines.extend(self.rescans.iter().map(|(why, count)| format!("  {count:>6}  {why}")));
        lines.push(match self.failures.len() {
            0 => "nothing failed".into(),
            count => format!("{count} FAILED:"),
        });
        lines.extend(self.failures.iter().map(Failure::shown));
        lines.join("\n")
    }
}

impl Failure {
    fn shown(&self) -> String {
        let Failure { world, name, seed, what, evidence } = self;
        let again = format!("cargo xtask torture --rounds 1 --seed {seed} --only {name}");
        let kept = evidence.as_ref().map(|at| format!("\n    evidence: {}", at.display())).unwrap_or_default();
        format!("  {world}, seed {seed}: {}\n    again: {again}{kept}", short(what))
    }
}

/// In one line that can be read; all of it lies beside the evidence.
fn short(what: &str) -> String {
    what.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(500).collect()
}

fn copy(files: &[PathBuf], to: &Path, what: &str) -> Result<()> {
    std::fs::create_dir_all(to).during(to.display())?;
    std::fs::write(to.join("what"), what).during(to.display())?;
    for file in files.iter().filter(|file| file.exists()) {
        crate::tools::run("cp", ["--recursive", "--sparse=always", crate::tools::text(file), crate::tools::text(to)])?;
    }
    Ok(())
}
