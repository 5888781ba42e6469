//! `backstay check` and `backstay reclaim`.
//!
//! Never knows: how either is done.

use std::io::{IsTerminal as _, Write as _};

use backstay_vault::check::{Findings, joined};
use serde_json::json;

use crate::args::Common;
use crate::failure::Failure;
use crate::output::{self, size};
use crate::progress::Meter;
use crate::stop::Stop;
use crate::store;

pub(super) fn check(common: &Common, read_data: bool) -> Result<(), Failure> {
    let vault = store::open(common)?;
    let meter = Meter::new("checking packs", common.json);
    let findings = vault.check(read_data, &mut |done, total| meter.show(done, total))?;
    drop(meter);
    tell(common, &findings, read_data)?;
    if findings.is_clean() { Ok(()) } else { Err(Failure::damaged("damage was found; what is not named above is whole")) }
}

fn tell(common: &Common, findings: &Findings, read_data: bool) -> Result<(), Failure> {
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
    findings.defects.iter().for_each(|d| println!("damaged: {d}"));
    for loss in &losses {
        let until = loss.until.map_or("the newest".to_owned(), |p| p.0.to_string());
        let (from, to) = (loss.bytes.start, loss.bytes.end - 1);
        println!("lost: machine {}, disk {}, bytes {from} to {to}, in points {} to {until}", loss.machine, loss.disk.0, loss.from.0);
    }
    let data = if read_data { format!(", {} of data read", size(findings.bytes)) } else { String::new() };
    println!("{} packs checked{data}: {}", findings.packs, if findings.is_clean() { "nothing is damaged" } else { "damage found" });
    Ok(())
}

pub(super) fn reclaim(common: &Common, yes: bool, dry_run: bool) -> Result<(), Failure> {
    let vault = store::open(common)?;
    let stop = Stop::listen()?;
    let plan = vault.plan_reclaim()?;
    let bytes = plan.bytes();
    if common.json && dry_run {
        return output::json(&json!({
            "delete_packs": plan.dead.len(), "shrink_packs": plan.shrink.len(),
            "orphans": plan.orphans.len(), "bytes": bytes,
        }));
    }
    if !common.json {
        let (dead, shrink, orphans) = (plan.dead.len(), plan.shrink.len(), plan.orphans.len());
        println!("plan: delete {dead} packs, write {shrink} anew, delete {orphans} leftovers: {} come free", size(bytes));
    }
    if !go_ahead(yes || bytes == 0, dry_run, "nothing that a point needs is touched")? {
        return Ok(());
    }
    let done = vault.reclaim(&plan, &|| stop.asked())?;
    if common.json {
        return output::json(&json!({
            "deleted_packs": done.packs, "shrunk_packs": done.shrunk, "orphans": done.orphans, "bytes": done.bytes,
        }));
    }
    println!("{} freed", size(done.bytes));
    Ok(())
}

/// Whether a printed plan is to be carried out.
pub(super) fn go_ahead(yes: bool, dry_run: bool, what: &str) -> Result<bool, Failure> {
    if dry_run || yes {
        return Ok(!dry_run);
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::refused(format!("{what}; say --yes to carry out the plan")));
    }
    eprint!("{what}. Type yes to carry out the plan: ");
    let mut answer = String::new();
    let read = std::io::stderr().flush().and_then(|()| std::io::stdin().read_line(&mut answer));
    match read {
        Ok(_) if answer.trim() == "yes" => Ok(true),
        _ => Err(Failure::refused("nothing was changed")),
    }
}
