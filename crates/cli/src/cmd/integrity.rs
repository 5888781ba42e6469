//! `backstay check` and `backstay reclaim`.
//!
//! Never knows: how either is done.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;

use backstay_vault::check::{Findings, joined};
use backstay_vault::upkeep::Left;
use serde_json::json;

use crate::args::Common;
use crate::failure::Failure;
use crate::output::{self, many, note, say, size};
use crate::progress::Meter;
use crate::stop::Stop;
use crate::store;

pub(super) fn check(common: &Common, read_data: bool) -> Result<(), Failure> {
    store::reading(common, |vault| {
        let meter = Meter::new("checking packs", common.json);
        let findings = vault.check(read_data, &mut |done, total| meter.count(done, total))?;
        drop(meter);
        tell(common, &findings, read_data)?;
        if findings.is_clean() {
            Ok(())
        } else {
            Err(Failure::damaged("damage was found; what is not named above is whole"))
        }
    })
}

/// Tells what a check found.
pub(super) fn tell(common: &Common, findings: &Findings, read_data: bool) -> Result<(), Failure> {
    let losses = joined(&findings.losses);
    if common.json {
        let loss = |l: &backstay_vault::check::Loss| {
            json!({
                "machine": l.machine, "disk": l.disk.0, "from_byte": l.bytes.start, "to_byte": l.bytes.end,
                "from_point": l.from.0, "until_point": l.until.map(|p| p.0),
            })
        };
        return output::json(&json!({
            "clean": findings.is_clean(),
            "packs": findings.packs,
            "checked_bytes": findings.bytes,
            "defects": findings.defects,
            "losses": losses.iter().map(loss).collect::<Vec<_>>(),
        }));
    }
    findings.defects.iter().try_for_each(|d| say!("damaged: {d}"))?;
    for loss in &losses {
        let until = loss.until.map_or("the newest".to_owned(), |p| p.0.to_string());
        let (from, to) = (loss.bytes.start, loss.bytes.end - 1);
        let (machine, disk, first) = (&loss.machine, loss.disk.0, loss.from.0);
        say!("lost: machine {machine}, disk {disk}, bytes {from} to {to}, in points {first} to {until}")?;
    }
    let data = if read_data { format!(", {} of data read", size(findings.bytes)) } else { String::new() };
    let verdict = if findings.is_clean() { "nothing is damaged" } else { "damage found" };
    say!("{} checked{data}: {verdict}", many(findings.packs, "pack"))
}

pub(super) fn reclaim(common: &Common, yes: bool, dry_run: bool) -> Result<(), Failure> {
    let vault = store::open(common)?;
    let plan = vault.plan_reclaim()?;
    let bytes = plan.bytes();
    let (dead, shrink, orphans) = (plan.dead.len(), plan.shrink.len(), plan.orphans.len());
    match common.json {
        true if yes => {} // one JSON value: what was done
        true => output::json(&json!({
            "delete_packs": dead, "shrink_packs": shrink, "orphans": orphans, "bytes": bytes,
            "left_alone": plan.left.iter().map(left_json).collect::<Vec<_>>(),
        }))?,
        false => say!(
            "plan: delete {}, write {shrink} anew, delete {}: {} come free",
            many(dead as u64, "pack"),
            many(orphans as u64, "leftover"),
            size(bytes)
        )?,
    }
    if !common.json {
        tell_left(&plan.left)?;
    }
    if bytes == 0 && !yes {
        return Ok(());
    }
    if !go_ahead(yes, dry_run, "what no point needs will be gone for good")? {
        return Ok(());
    }
    let stop = Stop::listen()?;
    let meter = Meter::new("reclaiming", common.json);
    let done = vault.reclaim(&plan, &|done| {
        meter.show(done.bytes.min(bytes), bytes);
        !stop.asked()
    })?;
    drop(meter);
    match common.json {
        true => output::json(&json!({
            "deleted_packs": done.packs, "shrunk_packs": done.shrunk, "orphans": done.orphans, "bytes": done.bytes,
            "left_alone": plan.left.iter().map(left_json).collect::<Vec<_>>(), "complete": !done.stopped,
        }))?,
        false => say!("{} freed", size(done.bytes))?,
    }
    match done.stopped {
        true => Err(Failure::new("interrupted: the same command frees the rest")),
        false => Ok(()),
    }
}

fn left_json(left: &Left) -> serde_json::Value {
    json!({ "pack": left.pack.to_string(), "bytes": left.bytes, "why": left.why })
}

/// What reclaim leaves alone, by reason.
fn tell_left(left: &[Left]) -> Result<(), Failure> {
    let mut reasons: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for left in left {
        let (packs, bytes) = reasons.entry(&left.why).or_default();
        (*packs, *bytes) = (*packs + 1, *bytes + left.bytes);
    }
    reasons.iter().try_for_each(|(why, (packs, bytes))| say!("left alone: {packs} packs of {}, as {why}", size(*bytes)))
}

/// Whether a printed plan is to be carried out.
pub(super) fn go_ahead(yes: bool, dry_run: bool, what: &str) -> Result<bool, Failure> {
    if dry_run || yes {
        return Ok(!dry_run);
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::refused(format!("{what}; say --yes to carry out the plan")));
    }
    agreed(&format!("{what}. Type yes to carry out the plan:")).map(|()| true)
}

/// Asks on the terminal; anything but `yes` is a refusal.
pub(super) fn agreed(question: &str) -> Result<(), Failure> {
    note!("{question}");
    let mut answer = String::new();
    match std::io::stdin().read_line(&mut answer) {
        Ok(_) if answer.trim() == "yes" => Ok(()),
        _ => Err(Failure::refused("not confirmed: nothing was changed")),
    }
}
