//! The independent reader on the command line. Never knows more than
//! `backstay_verify` gives: this file parses words and prints.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use backstay_verify::{FileSink, Id, OpenError, Reader, Report};

const USAGE: &str = "usage:
  backstay-verify check STORE [--passphrase-file FILE] [--vault NAME]
  backstay-verify points STORE ...
  backstay-verify extract STORE MACHINE NUMBER DISK OUT ...
The passphrase is the first line of FILE, or of the file that BACKSTAY_PASSPHRASE_FILE names.
Exit status: 0 done, 1 failed, 2 usage, 3 damaged data found.";

fn main() -> ExitCode {
    match run(std::env::args_os().skip(1)) {
        Ok(status) => ExitCode::from(status),
        Err(Failure::Usage(text)) => {
            eprintln!("backstay-verify: {text}\n{USAGE}");
            ExitCode::from(2)
        }
        Err(Failure::Failed(error)) => {
            let mut line = format!("backstay-verify: {error}");
            let mut cause = error.source();
            while let Some(next) = cause {
                line.push_str(&format!(": {next}"));
                cause = next.source();
            }
            eprintln!("{line}");
            ExitCode::from(1)
        }
    }
}

enum Failure {
    Usage(String),
    Failed(Box<dyn std::error::Error>),
}

impl<E: std::error::Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(Box::new(error))
    }
}

fn usage<T>(text: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Usage(text.into()))
}

/// The words of a command line, options taken out.
struct Words {
    plain: Vec<OsString>,
    passphrase: Option<PathBuf>,
    vault: String,
}

fn words(mut arguments: impl Iterator<Item = OsString>) -> Result<Words, Failure> {
    let passphrase = std::env::var_os("BACKSTAY_PASSPHRASE_FILE").map(PathBuf::from);
    let mut words = Words { plain: Vec::new(), passphrase, vault: "main".to_owned() };
    while let Some(word) = arguments.next() {
        let mut value = || arguments.next().map_or_else(|| usage(format!("{} wants a value", word.display())), Ok);
        match word.to_str() {
            Some("--passphrase-file") => words.passphrase = Some(value()?.into()),
            Some("--vault") => words.vault = value()?.to_string_lossy().into_owned(),
            Some(option) if option.starts_with("--") => {
                return usage(format!("{option} is no option"));
            }
            _ => words.plain.push(word),
        }
    }
    Ok(words)
}

fn run(arguments: impl Iterator<Item = OsString>) -> Result<u8, Failure> {
    let words = words(arguments)?;
    let plain: Vec<&OsString> = words.plain.iter().collect();
    match plain.as_slice() {
        [command, store] if *command == "check" => check(&open(store.as_ref(), &words)?),
        [command, store] if *command == "points" => points(&open(store.as_ref(), &words)?),
        [command, store, machine, number, disk, out] if *command == "extract" => {
            let reader = open(store.as_ref(), &words)?;
            extract(&reader, &machine.to_string_lossy(), decimal(number)?, decimal(disk)?, out.as_ref())
        }
        _ => usage("which command, and on what?"),
    }
}

fn decimal(word: &OsString) -> Result<u64, Failure> {
    word.to_str()
        .and_then(|word| word.parse().ok())
        .map_or_else(|| usage(format!("{} is no number", word.display())), Ok)
}

fn open(store: &Path, words: &Words) -> Result<Reader, Failure> {
    let Some(path) = &words.passphrase else {
        return usage("no passphrase file was named");
    };
    let bytes = std::fs::read(path)?;
    let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let passphrase = line.strip_suffix(b"\r").unwrap_or(line);
    let reader: Result<Reader, OpenError> = Reader::open(store, &words.vault, passphrase);
    Ok(reader?)
}

fn check(reader: &Reader) -> Result<u8, Failure> {
    let report = reader.check();
    print(&report);
    let seen = report.seen;
    println!(
        "looked at {} small objects, {} rows, {} packs, {} frames, {} chunks, {} spans, {} extents, {} summaries",
        seen.twins, seen.rows, seen.packs, seen.frames, seen.chunks, seen.spans, seen.extents, seen.levels
    );
    match report.findings.len() {
        0 => println!("all of it is as the format pages say"),
        more => println!("{more} things are not as the format pages say"),
    }
    Ok(report.exit_status())
}

fn print(report: &Report) {
    for finding in &report.findings {
        println!("{finding}");
    }
    for note in &report.notes {
        println!("note: {note}");
    }
}

fn points(reader: &Reader) -> Result<u8, Failure> {
    print(reader.opened());
    for (id, machine) in reader.machines() {
        println!("machine {} {id} created {}", machine.name, machine.created);
        for (number, point) in reader.points(id) {
            println!(
                "  point {number} time {} started {} committed {} {:?} read {} changed {} stored {} held {} note {:?}",
                point.time,
                point.started,
                point.committed,
                point.consistency,
                point.read,
                point.changed,
                point.stored,
                point.held,
                point.note
            );
            for disk in &point.disks {
                println!(
                    "    disk {} {} of {} bytes, sector {}, unreadable {}, absent {}, excluded {}, from {:?}",
                    disk.number,
                    disk.name,
                    disk.size,
                    disk.sector,
                    disk.unreadable,
                    disk.absent,
                    disk.excluded,
                    disk.source
                );
                for left_out in &disk.exclusions {
                    println!("      left out: {} bytes by {:?}", left_out.bytes, left_out.rule);
                }
            }
        }
    }
    Ok(reader.opened().exit_status())
}

fn extract(reader: &Reader, machine: &str, number: u64, disk: u64, out: &Path) -> Result<u8, Failure> {
    let Some(id): Option<Id> = reader.find(machine) else {
        return usage(format!("there is no machine {machine}"));
    };
    let mut sink = FileSink::create(out)?;
    let unvouched = reader.read_disk(id, number, disk, &mut sink)?;
    for range in &unvouched {
        println!("bytes {}..{} cannot be vouched for: {}", range.offset, range.offset + range.length, range.reason);
    }
    Ok(if unvouched.is_empty() { 0 } else { 3 })
}
