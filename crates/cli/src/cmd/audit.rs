//! `backstay audit`.
//!
//! Never knows: how a log is written or checked.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use backstay_audit::note::VerifierKey;
use backstay_audit::record::Record;
use backstay_audit::{AuditError, Expected, Finding, Kind, Reader, Report, Shown, verify};
use backstay_env::objects::Objects;
use backstay_env::real::folder::Folder;
use backstay_env::real::system::SystemClock;
use backstay_env::time::Clock as _;
use backstay_seal::Secret;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::args::{Audit, Common};
use crate::failure::{Failure, sentence};
use crate::moment;
use crate::output::{self, many, say};

/// Records that are read at once: some sheets, each of which is read whole.
const AT_ONCE: u64 = 4096;

pub(super) fn run(common: &Common, command: &Audit) -> Result<(), Failure> {
    match command {
        Audit::Verify { dir, key, since, names_key, strict } => {
            let key = key.as_deref().map(vkey).transpose()?;
            let since = since.as_deref().map(file).transpose()?;
            let names = names_key.as_deref().map(names_secret).transpose()?;
            let (since, names, now) = (since.as_deref(), names.as_ref(), Some(SystemClock.now()));
            let expected = Expected { key: key.as_ref(), since, names, now };
            let report = verify(&home(dir)?, &expected).map_err(failure)?;
            tell(common, &report)?;
            judge(&report, *strict)
        }
        Audit::Show { dir, names_key, from, no_heartbeats } => {
            let names = names_key.as_deref().map(names_secret).transpose()?;
            let which = || Failure::usage("which log? Name its folder, or a server with --server");
            let dir = dir.as_deref().ok_or_else(which)?;
            let missing = || Failure::new(format!("{} holds no audit log", dir.display()));
            let reader = Reader::open(home(dir)?).map_err(failure)?.ok_or_else(missing)?;
            show(common, &reader, names.as_ref(), *from, *no_heartbeats)
        }
    }
}

fn home(dir: &Path) -> Result<Arc<dyn Objects>, Failure> {
    let opened = Folder::open(dir).map_err(|error| Failure::new(sentence(&error)))?;
    Ok(Arc::new(opened))
}

fn failure(error: AuditError) -> Failure {
    let what = sentence(&error);
    if error.is_damage() { Failure::damaged(what) } else { Failure::new(what) }
}

fn file(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| Failure::new(format!("{} cannot be read: {error}", path.display())))
}

fn vkey(text: &str) -> Result<VerifierKey, Failure> {
    let wrong = "is not the public key of an audit log; it is written NAME+ID+KEY";
    VerifierKey::parse(text.trim()).map_err(|_| Failure::usage(format!("{text:?} {wrong}")))
}

/// 64 hexadecimal digits.
fn names_secret(path: &Path) -> Result<Secret, Failure> {
    let text = Zeroizing::new(file(path)?);
    let wrong = || Failure::usage(format!("{} does not hold the key that opens names", path.display()));
    let digits = text.trim_ascii();
    let mut secret = Secret([0; 32]);
    if digits.len() != 64 {
        return Err(wrong());
    }
    for (byte, pair) in secret.0.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16).ok_or_else(wrong);
        *byte = (digit(pair[0])? * 16 + digit(pair[1])?) as u8;
    }
    Ok(secret)
}

/// Prints what was found.
fn tell(common: &Common, report: &Report) -> Result<(), Failure> {
    if common.json {
        let finding = |finding: &Finding| {
            json!({
                "kind": finding.word(), "broken": finding.is_broken(), "record": finding.index(),
                "sentence": finding.to_string(),
            })
        };
        return output::json(&json!({
            "holds": report.holds(),
            "origin": report.checkpoint.as_ref().map(|checkpoint| &checkpoint.origin),
            "records": report.checkpoint.as_ref().map(|checkpoint| checkpoint.size),
            "root": report.checkpoint.as_ref().map(|checkpoint| checkpoint.root.to_string()),
            "key": report.key.as_ref().map(VerifierKey::to_string),
            "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
            "more_findings": report.more,
        }));
    }
    if let Some(checkpoint) = &report.checkpoint {
        say!("log {}: {}", checkpoint.origin, many(checkpoint.size, "record"))?;
    }
    report.key.iter().try_for_each(|key| say!("key {key}"))?;
    for finding in &report.findings {
        let word = if finding.is_broken() { "broken" } else { "note" };
        say!("{word}: {finding}")?;
    }
    if report.more > 0 {
        say!("and {} more", many(report.more, "finding"))?;
    }
    if report.holds() { say!("the log holds") } else { Ok(()) }
}

/// The exit status, with the one sentence that matters most.
fn judge(report: &Report, strict: bool) -> Result<(), Failure> {
    let first = report.broken().or_else(|| report.findings.iter().find(|_| strict));
    match first {
        Some(finding) if finding.is_broken() => {
            Err(Failure::damaged(format!("the audit log does not hold: {finding}")))
        }
        Some(finding) => Err(Failure::damaged(format!("the audit log is to be looked into: {finding}"))),
        None => Ok(()),
    }
}

/// Prints records, some sheets at a time.
fn show(
    common: &Common,
    reader: &Reader,
    names: Option<&Secret>,
    from: u64,
    no_heartbeats: bool,
) -> Result<(), Failure> {
    let size = reader.checkpoint().size;
    let (mut rows, mut values) = (Vec::new(), Vec::new());
    let mut start = from;
    while start < size {
        let end = start.saturating_add(AT_ONCE).min(size);
        let shown = reader.read(start..end, names).map_err(failure)?;
        for shown in shown.iter().filter(|shown| !(no_heartbeats && shown.record.kind == Kind::Heartbeat)) {
            if common.json {
                values.push(value(shown));
            } else {
                rows.push(row(shown));
            }
        }
        start = end;
    }
    if common.json {
        return output::json(&values);
    }
    let headings = ["RECORD", "TIME", "WHAT", "RESULT", "WHO", "FROM", "OBJECT", "DETAIL"];
    output::table(&headings, rows, "the log has no such records")
}

fn result(record: &Record) -> &'static str {
    match (record.kind, record.success) {
        (_, Some(true)) => "done",
        (_, Some(false)) => "failed",
        (Kind::Intent, None) => "intended",
        (_, None) => "",
    }
}

fn row(shown: &Shown) -> Vec<String> {
    let record = &shown.record;
    let what = match record.kind {
        Kind::Outcome { of } => format!("{} (of {of})", record.what.as_str()),
        _ => record.what.as_str().to_owned(),
    };
    // What people typed must not reach a terminal as anything but text.
    let plain = |text: &str| text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect::<String>();
    let name = |text: Option<&String>, hidden: bool| match text {
        Some(text) => plain(text),
        None if hidden => "(sealed)".to_owned(),
        None => String::new(),
    };
    let names = shown.names.as_ref();
    vec![
        shown.index.to_string(),
        moment::show(record.time),
        what,
        result(record).to_owned(),
        name(names.map(|names| &names.user), record.names[0].is_some()),
        name(names.map(|names| &names.from), record.names[1].is_some()),
        name(names.map(|names| &names.object), record.names[2].is_some()),
        name(names.map(|names| &names.detail), record.names[3].is_some()),
    ]
}

fn value(shown: &Shown) -> Value {
    let record = &shown.record;
    let names = shown.names.as_ref();
    let of = if let Kind::Outcome { of } = record.kind { Some(of) } else { None };
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    json!({
        "record": shown.index,
        "kind": record.kind.word(),
        "time": moment::rfc3339(record.time),
        "clock": record.clock.map(moment::rfc3339),
        "what": record.what.as_str(),
        "of": of,
        "success": record.success,
        "request": record.request.map(|id| hex(&id)),
        "config_before": record.config.map(|change| change.before.to_string()),
        "config_after": record.config.map(|change| change.after.to_string()),
        "commitments": record.names.map(|name| name.map(|hash| hash.to_string())),
        "user": names.map(|names| &names.user),
        "from": names.map(|names| &names.from),
        "object": names.map(|names| &names.object),
        "detail": names.map(|names| &names.detail),
    })
}
