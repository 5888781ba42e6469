//! `cargo xtask bench`: ours and the peers in turn, on the same data, in one run.
//!
//! Never knows: how anything is stored; contenders are programs with a command line.

use crate::fail::{Fail, Result};
use crate::run;
use crate::setup;

mod data;
mod disk;
mod measure;
mod peers;
mod random;
mod report;
mod table;
mod targets;
mod used;

use disk::Depth;
use peers::{Borg, Casync, Contender, Ours, QemuImg, Restic, Rustic, Zstd};

/// What may follow `cargo xtask bench`.
pub(crate) const USAGE: &str = "\
bench [first|change|restore|memory|all] [--quick] [--rounds N] [--only NAME,NAME]
    first     the first protect of a disk image
    change    also the protect after 6,500 pages were overwritten
    restore   also the whole restore and the delta restore
    memory    as restore: every run's peak memory is in its table
    all       everything; the full size writes docs/results.md
    --quick   a quarter of the data and one round; a look in between, no record
    --only    only these: backstay, restic, borg, rustic, casync, zstd, qemu-img";

struct Options {
    depth: Depth,
    all: bool,
    quick: bool,
    rounds: usize,
    only: Vec<String>,
}

fn options(arguments: &[String]) -> Result<Options> {
    let mut options = Options {
        depth: Depth::Restore,
        all: true,
        quick: false,
        rounds: 0,
        only: Vec::new(),
    };
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "first" => (options.depth, options.all) = (Depth::First, false),
            "change" => (options.depth, options.all) = (Depth::Change, false),
            "restore" | "memory" => (options.depth, options.all) = (Depth::Restore, false),
            "all" => (options.depth, options.all) = (Depth::Restore, true),
            "--quick" => options.quick = true,
            "--rounds" => {
                options.rounds = value(words.next(), word)?
                    .parse()
                    .map_err(|_| wrong(word))?
            }
            "--only" => {
                options.only = value(words.next(), word)?
                    .split(',')
                    .map(str::to_owned)
                    .collect()
            }
            _ => return Err(wrong(word)),
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
    let contenders = contenders(&options.only)?;
    let sizes = if options.quick {
        data::QUICK
    } else {
        data::FULL
    };
    let data = data::make(sizes)?;
    let rounds = disk::rounds(&contenders, &data, options.depth, options.rounds)?;
    let tables = table::tables(&rounds);
    println!("\n{tables}");
    let verdicts = targets::judge(&rounds, sizes.changed_pages);
    println!("{}", targets::shown(&verdicts));
    if options.all && !options.quick && options.only.is_empty() {
        report::write(
            "disk",
            &format!("{tables}\n{}", targets::shown(&verdicts)),
            arguments,
        )?;
    }
    targets::all_reached(&verdicts)
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
    if found.is_empty() {
        Err(wrong("--only"))
    } else {
        Ok(found)
    }
}
