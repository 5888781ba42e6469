//! `cargo xtask bench`: ours and the peers in turn, on the same data, in one run.
//!
//! Never knows: how anything is stored; contenders are programs with a command line.

use std::path::PathBuf;

use crate::fail::{Fail, Result};
use crate::run;
use crate::setup;

mod agents;
mod api;
mod capture;
mod console;
mod data;
mod disk;
mod link;
mod measure;
mod memory;
mod peers;
mod programs;
mod random;
mod report;
mod server;
mod table;
mod targets;
mod used;

use disk::Depth;
use peers::{Borg, Casync, Contender, Ours, QemuImg, Restic, Rustic, Zstd};
use programs::Printed;
use targets::Figure;

/// What may follow `cargo xtask bench`.
pub(crate) const USAGE: &str = "\
bench [first|change|restore|memory|index|timeline|capture|server|link|api|agents|console|all] [--quick] [--rounds N] [--only NAME,NAME] [--in DIR]
      [--minutes N]
    first     the first protect of a disk image
    change    also the protect after 6,500 pages were overwritten
    restore   also the whole restore and the delta restore
    memory    as restore: every run's peak memory is in its table
    index     the dedup index with 10^8 chunks
    timeline  a timeline with 100,000 points
    capture   following disks in use: cost, freeze, age, speed, memory
    server    the first protect by an agent over loopback, against one into a store here
    link      the same over a link of 1 Gbit/s and 20 ms: how much of it is used, and what crosses
    agents    100 machines at once, each 50 changed pages a second, for an hour; not part of all
    console   the console in Chromium, with 1,000 machines and 10 million points behind a fake of the API
    api       pages and pictures of ten million points, asked over HTTP
    all       everything; what is measured at full size is written to docs/results.md
    --quick   a quarter of the data and one round; a look in between, no record
    --only    only these: backstay, restic, borg, rustic, casync, zstd, qemu-img
    --minutes how long agents make points; 60 if not given
    --in      where index and timeline make their stores, such as /dev/shm; target/bench if not given";

/// What can be measured, in the order in which it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Disk(Depth),
    Index,
    Timeline,
    Capture,
    Server,
    Link,
    Api,
    Agents,
    Console,
}

impl Part {
    /// All but what takes an hour.
    const ALL: [Part; 8] = [
        Part::Disk(Depth::Restore),
        Part::Index,
        Part::Timeline,
        Part::Capture,
        Part::Server,
        Part::Link,
        Part::Api,
        Part::Console,
    ];

    /// What a word of the command line stands for.
    fn named(word: &str) -> Option<&'static [Part]> {
        Some(match word {
            "first" => &[Part::Disk(Depth::First)],
            "change" => &[Part::Disk(Depth::Change)],
            "restore" | "memory" => &[Part::Disk(Depth::Restore)],
            "index" => &[Part::Index],
            "timeline" => &[Part::Timeline],
            "capture" => &[Part::Capture],
            "server" => &[Part::Server],
            "link" => &[Part::Link],
            "agents" => &[Part::Agents],
            "console" => &[Part::Console],
            "api" => &[Part::Api],
            "all" => &Part::ALL,
            _ => return None,
        })
    }

    /// Its section of docs/results.md; none where a part of the rounds is no record of the whole.
    fn section(self, options: &Options) -> Option<&'static str> {
        match self {
            Part::Disk(Depth::Restore) if options.only.is_empty() => Some("disk"),
            Part::Disk(_) => None,
            Part::Index => Some("index"),
            Part::Timeline => Some("timeline"),
            Part::Capture => Some("capture"),
            Part::Server => Some("server"),
            Part::Link => Some("link"),
            Part::Api => Some("api"),
            Part::Agents => Some("agents"),
            Part::Console => Some("console"),
        }
    }

    /// Takes its figures; what they rest on, as text, and they.
    fn measure(self, options: &Options) -> Result<(String, Vec<Figure>)> {
        match self {
            Part::Disk(depth) => on_disk(options, depth),
            Part::Index => programs::index(options.quick, &options.stores).map(listed),
            Part::Timeline => programs::timeline(options.quick, &options.stores).map(listed),
            Part::Capture => capture::measure(options.quick),
            Part::Server => server::measure(&data::make(options.sizes())?, options.rounds),
            Part::Link => link::measure(&data::make(options.sizes())?, options.rounds),
            Part::Api => api::measure(options.quick),
            Part::Agents => agents::measure(if options.quick { 10 } else { 100 }, options.minutes),
            Part::Console => console::measure(),
        }
    }
}

struct Options {
    parts: &'static [Part],
    quick: bool,
    rounds: usize,
    minutes: u64,
    only: Vec<String>,
    /// Where programs make their stores.
    stores: PathBuf,
}

impl Options {
    fn sizes(&self) -> data::Sizes {
        if self.quick { data::QUICK } else { data::FULL }
    }
}

fn options(arguments: &[String]) -> Result<Options> {
    let mut options = Options {
        parts: &Part::ALL,
        quick: false,
        rounds: 0,
        minutes: 60,
        only: Vec::new(),
        stores: run::keep("bench"),
    };
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--quick" => options.quick = true,
            "--rounds" => options.rounds = value(words.next(), word)?.parse().map_err(|_| wrong(word))?,
            "--minutes" => options.minutes = value(words.next(), word)?.parse().map_err(|_| wrong(word))?,
            "--only" => options.only = value(words.next(), word)?.split(',').map(str::to_owned).collect(),
            "--in" => options.stores = PathBuf::from(value(words.next(), word)?),
            part => options.parts = Part::named(part).ok_or_else(|| wrong(part))?,
        }
    }
    if options.rounds == 0 {
        options.rounds = if options.quick { 1 } else { 3 };
    }
    Ok(options)
}

fn value<'a>(word: Option<&'a String>, option: &str) -> Result<&'a str> {
    word.map(String::as_str).ok_or_else(|| wrong(option))
}

fn wrong(word: &str) -> Fail {
    Fail::new(format!("`{word}` is not understood\n{USAGE}"))
}

/// Runs the bench.
/// # Errors
/// A tool is missing, a contender fails, or a figure misses its target.
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let options = options(arguments)?;
    setup::install(setup::Set::Bench)?;
    let mut figures = Vec::new();
    for part in options.parts {
        let (text, found) = part.measure(&options)?;
        let text = format!("{text}\n{}", targets::shown(&found));
        println!("\n{text}");
        if let (false, Some(section)) = (options.quick, part.section(&options)) {
            report::write(section, &text, arguments)?;
        }
        figures.extend(found);
    }
    targets::all_reached(&figures)
}

fn on_disk(options: &Options, depth: Depth) -> Result<(String, Vec<Figure>)> {
    let contenders = contenders(&options.only)?;
    let sizes = options.sizes();
    let rounds = disk::rounds(&contenders, &data::make(sizes)?, depth, options.rounds)?;
    Ok((table::tables(&rounds), targets::judge(&rounds, sizes.changed_pages)))
}

/// What a program of `bench/` printed, as text.
fn listed((printed, figures): (Printed, Vec<Figure>)) -> (String, Vec<Figure>) {
    (printed.listed(), figures)
}

fn contenders(only: &[String]) -> Result<Vec<Box<dyn Contender>>> {
    let wanted = |name: &str| only.is_empty() || only.iter().any(|word| word == name);
    let mut found: Vec<Box<dyn Contender>> = Vec::new();
    if wanted("backstay") {
        found.push(Box::new(Ours(programs::built()?.join("backstay"))));
    }
    if wanted("rustic") {
        found.push(Box::new(Rustic(setup::rustic()?)));
    }
    if wanted("restic") {
        found.push(Box::new(Restic));
    }
    if wanted("borg") {
        found.push(Box::new(Borg));
    }
    if wanted("casync") {
        found.push(Box::new(Casync));
    }
    if wanted("zstd") {
        found.push(Box::new(Zstd));
    }
    if wanted("qemu-img") {
        found.push(Box::new(QemuImg));
    }
    if found.is_empty() { Err(wrong("--only")) } else { Ok(found) }
}
