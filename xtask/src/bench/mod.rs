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
mod measure;
mod memory;
mod peers;
mod programs;
mod random;
mod report;
mod server;
mod service;
mod table;
mod targets;
mod used;

use disk::Depth;
use peers::{Borg, Casync, Contender, Ours, QemuImg, Restic, Rustic, Zstd};
use targets::Figure;

/// What may follow `cargo xtask bench`.
pub(crate) const USAGE: &str = "\
bench [first|change|restore|memory|index|timeline|capture|server|api|agents|console|all] [--quick] [--rounds N] [--only NAME,NAME] [--in DIR]
      [--minutes N]
    first     the first protect of a disk image
    change    also the protect after 6,500 pages were overwritten
    restore   also the whole restore and the delta restore
    memory    as restore: every run's peak memory is in its table
    index     the dedup index with 10^8 chunks
    timeline  a timeline with 100,000 points
    capture   following disks in use: cost, freeze, age, speed, memory
    server    the first protect by an agent over loopback, against one into a store here
    agents    100 machines at once, each 50 changed pages a second, for an hour; not part of all
    console   the console in Chromium, with 1,000 machines and 10 million points behind a fake of the API
    api       pages and pictures of ten million points, asked over HTTP
    all       everything; what is measured at full size is written to docs/results.md
    --quick   a quarter of the data and one round; a look in between, no record
    --only    only these: backstay, restic, borg, rustic, casync, zstd, qemu-img
    --minutes how long agents make points; 60 if not given
    --in      where index and timeline make their stores, such as /dev/shm; target/bench if not given";

struct Options {
    disk: Option<Depth>,
    index: bool,
    timeline: bool,
    capture: bool,
    server: bool,
    agents: bool,
    console: bool,
    api: bool,
    quick: bool,
    rounds: usize,
    minutes: u64,
    only: Vec<String>,
    /// Where programs make their stores.
    stores: PathBuf,
}

impl Options {
    /// What is measured: `first`, `all` and so on.
    fn part(&mut self, word: &str) -> Result<()> {
        let (disk, parts) = match word {
            "first" => (Some(Depth::First), [false; 7]),
            "change" => (Some(Depth::Change), [false; 7]),
            "restore" | "memory" => (Some(Depth::Restore), [false; 7]),
            "index" => (None, [true, false, false, false, false, false, false]),
            "timeline" => (None, [false, true, false, false, false, false, false]),
            "capture" => (None, [false, false, true, false, false, false, false]),
            "server" => (None, [false, false, false, true, false, false, false]),
            "agents" => (None, [false, false, false, false, true, false, false]),
            "console" => (None, [false, false, false, false, false, true, false]),
            "api" => (None, [false, false, false, false, false, false, true]),
            "all" => (Some(Depth::Restore), [true, true, true, true, false, true, true]),
            _ => return Err(wrong(word)),
        };
        self.disk = disk;
        [self.index, self.timeline, self.capture, self.server, self.agents, self.console, self.api] = parts;
        Ok(())
    }
}

fn options(arguments: &[String]) -> Result<Options> {
    let mut options = Options {
        disk: Some(Depth::Restore),
        index: true,
        timeline: true,
        capture: true,
        server: true,
        agents: false,
        console: true,
        api: true,
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
            part => options.part(part)?,
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
    if let Some(depth) = options.disk {
        figures.extend(on_disk(&options, depth, arguments)?);
    }
    if options.index {
        let (printed, found) = programs::index(options.quick, &options.stores)?;
        record("index", &printed.listed(), &found, &options, arguments)?;
        figures.extend(found);
    }
    if options.timeline {
        let (printed, found) = programs::timeline(options.quick, &options.stores)?;
        record("timeline", &printed.listed(), &found, &options, arguments)?;
        figures.extend(found);
    }
    if options.capture {
        let (printed, found) = capture::measure(options.quick)?;
        record("capture", &printed, &found, &options, arguments)?;
        figures.extend(found);
    }
    if options.server {
        let data = data::make(if options.quick { data::QUICK } else { data::FULL })?;
        let (printed, found) = server::measure(&data, options.rounds)?;
        record("server", &printed, &found, &options, arguments)?;
        figures.extend(found);
    }
    if options.api {
        let (printed, found) = api::measure(options.quick)?;
        record("api", &printed, &found, &options, arguments)?;
        figures.extend(found);
    }
    if options.agents {
        let (printed, found) = agents::measure(if options.quick { 10 } else { 100 }, options.minutes)?;
        record("agents", &printed, &found, &options, arguments)?;
        figures.extend(found);
    }
    if options.console {
        let (printed, found) = console::measure()?;
        record("console", &printed, &found, &options, arguments)?;
        figures.extend(found);
    }
    targets::all_reached(&figures)
}

fn on_disk(options: &Options, depth: Depth, arguments: &[String]) -> Result<Vec<Figure>> {
    let contenders = contenders(&options.only)?;
    let sizes = if options.quick { data::QUICK } else { data::FULL };
    let data = data::make(sizes)?;
    let rounds = disk::rounds(&contenders, &data, depth, options.rounds)?;
    let figures = targets::judge(&rounds, sizes.changed_pages);
    // A part of the rounds is no record of the whole.
    let whole = depth == Depth::Restore && options.only.is_empty();
    let section = if whole { "disk" } else { "" };
    record(section, &table::tables(&rounds), &figures, options, arguments)?;
    Ok(figures)
}

/// Prints, and at full size writes to the section of docs/results.md, if one is named.
fn record(section: &str, tables: &str, figures: &[Figure], options: &Options, arguments: &[String]) -> Result<()> {
    let text = format!("{tables}\n{}", targets::shown(figures));
    println!("\n{text}");
    if options.quick || section.is_empty() { Ok(()) } else { report::write(section, &text, arguments) }
}

fn contenders(only: &[String]) -> Result<Vec<Box<dyn Contender>>> {
    let wanted = |name: &str| only.is_empty() || only.iter().any(|word| word == name);
    let mut found: Vec<Box<dyn Contender>> = Vec::new();
    if wanted("backstay") {
        run::run(run::cargo().args(["build", "--release", "--package", "backstay-cli"]))?;
        found.push(Box::new(Ours(run::cargo_target().join("release/backstay"))));
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
