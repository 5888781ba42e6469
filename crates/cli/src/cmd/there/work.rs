//! `forget`, `reclaim`, `check` and `jobs`, through a server: a plan, then a job, watched to its end.
//!
//! Never knows: how work is done.

use std::time::Duration;

use backstay_format::units::{DiskNo, PointNo};
use backstay_vault::check::{Findings, Loss};
use serde_json::{Value, json};

use crate::args::{Common, Forget, Jobs};
use crate::cmd::forget::{lengths, says_what};
use crate::cmd::integrity::{self, go_ahead};
use crate::failure::Failure;
use crate::moment;
use crate::output::{self, many, note, say, size};
use crate::progress::Meter;
use crate::remote::{Need, Remote, number, text, time};
use crate::stop::Stop;

/// From one look at a job to the next.
const PAUSE: Duration = Duration::from_millis(200);

/// Starts a job and waits for its end. What came of it.
fn done(common: &Common, remote: &Remote, (what, work): (&str, &Value), counted: bool) -> Result<Value, Failure> {
    let stop = Stop::listen()?;
    let id = number(&remote.post(Need::Run, &["jobs"], work)?, "id")?;
    let meter = Meter::new(what, common.json);
    loop {
        let job = remote.get(Need::See, &["jobs", &id.to_string()], &[])?;
        match job["state"].as_str().unwrap_or_default() {
            "running" => {}
            "done" => return Ok(job["result"].clone()),
            "cancelled" => return Err(Failure::new(format!("job {id} was cancelled; what it did stays done"))),
            state => {
                let why = job["result"].as_str().map_or_else(|| job["result"].to_string(), str::to_owned);
                return Err(Failure::new(format!("job {id} {state}: {why}")));
            }
        }
        let (so_far, all) = (job["done"].as_u64().unwrap_or(0), job["total"].as_u64().unwrap_or(0));
        match counted {
            true => meter.count(so_far, all),
            false => meter.show(so_far, all),
        }
        if stop.wait(PAUSE) {
            let ends = format!("`backstay jobs cancel {id}` ends it");
            return Err(Failure::new(format!("interrupted: job {id} goes on at the server; {ends}")));
        }
    }
}

pub(super) fn forget(common: &Common, remote: &Remote, args: &Forget) -> Result<(), Failure> {
    says_what(args)?;
    let work = match args.point.is_empty() {
        false => json!({ "kind": "forget", "machine": args.machine, "points": args.point }),
        true => {
            let seconds: serde_json::Map<String, Value> = lengths(args)?
                .into_iter()
                .map(|(name, nanos)| (name.to_owned(), json!(nanos / 1_000_000_000)))
                .collect();
            json!({ "kind": "forget", "machine": args.machine, "keep": seconds })
        }
    };
    let plan = remote.post(Need::Run, &["plans"], &work)?["machines"][0].clone();
    let drop: Vec<Value> = plan["drop"].as_array().cloned().unwrap_or_default();
    let is_missing = |wanted: &&u64| !drop.iter().any(|point| point["point"] == **wanted);
    if let Some(missing) = args.point.iter().find(is_missing) {
        return Err(Failure::usage(format!("there is no point {missing}; `backstay points` lists them")));
    }
    // Programs that say yes get one value: what was done.
    let at_once = common.json && args.yes;
    if common.json && !at_once {
        output::json(&plan)?;
    } else if !at_once {
        for point in &drop {
            say!("drop point {} of {}", number(point, "point")?, moment::show(time(point, "time")?))?;
        }
        say!("plan for {}: drop {}, keep {}", args.machine, drop.len(), number(&plan, "keep")?)?;
    }
    let wanted = !drop.is_empty() && go_ahead(args.yes, args.dry_run, "these points will be gone for good")?;
    let mut dropped = 0;
    if wanted {
        dropped = number(&done(common, remote, ("dropping points", &work), true)?, "dropped")?;
    }
    match (at_once, wanted) {
        (true, _) => output::json(&json!({ "machine": args.machine, "dropped": drop, "kept": plan["keep"] })),
        (false, true) if !common.json => {
            say!("dropped {}; `backstay reclaim` gives the space back", many(dropped, "point"))
        }
        _ => Ok(()),
    }
}

pub(super) fn reclaim(common: &Common, remote: &Remote, (yes, dry_run): (bool, bool)) -> Result<(), Failure> {
    let work = json!({ "kind": "reclaim" });
    let plan = remote.post(Need::Run, &["plans"], &work)?;
    let (bytes, dead, shrink) = (number(&plan, "free_bytes")?, number(&plan, "packs")?, number(&plan, "rewrite")?);
    let (orphans, left) = (number(&plan, "leftovers")?, &plan["left_alone"]);
    match common.json {
        true if yes => {} // one JSON value: what was done
        true => output::json(&json!({
            "delete_packs": dead, "shrink_packs": shrink, "orphans": orphans, "bytes": bytes, "left_alone": left,
        }))?,
        false => say!(
            "plan: delete {}, write {shrink} anew, delete {}: {} come free",
            many(dead, "pack"),
            many(orphans, "leftover"),
            size(bytes)
        )?,
    }
    if bytes == 0 && !yes || !go_ahead(yes, dry_run, "what no point needs will be gone for good")? {
        return Ok(());
    }
    let freed = done(common, remote, ("reclaiming", &work), false)?;
    match common.json {
        true => output::json(&json!({
            "deleted_packs": freed["packs"], "shrunk_packs": freed["rewritten"], "orphans": freed["leftovers"],
            "bytes": freed["freed_bytes"], "left_alone": left, "complete": true,
        })),
        false => say!("{} freed", size(number(&freed, "freed_bytes")?)),
    }
}

pub(super) fn check(common: &Common, remote: &Remote, read_data: bool) -> Result<(), Failure> {
    let work = json!({ "kind": "check", "read_data": read_data });
    let told = done(common, remote, ("checking packs", &work), true)?;
    let texts = told["defects"].as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned));
    let losses = told["lost"].as_array().into_iter().flatten().map(loss);
    let findings = Findings {
        defects: texts.collect(),
        losses: losses.collect::<Result<_, _>>()?,
        packs: number(&told, "packs")?,
        bytes: number(&told, "read_bytes")?,
    };
    integrity::tell(common, &findings, read_data)?;
    match told["clean"] == true {
        true => Ok(()),
        false => Err(Failure::damaged("damage was found; what is not named above is whole")),
    }
}

fn loss(value: &Value) -> Result<Loss, Failure> {
    Ok(Loss {
        machine: text(value, "machine")?,
        disk: DiskNo(u32::try_from(number(value, "disk")?).unwrap_or(u32::MAX)),
        bytes: number(value, "from_byte")?..number(value, "to_byte")?,
        from: PointNo(number(value, "from_point")?),
        until: value["until_point"].as_u64().map(PointNo),
    })
}

pub(super) fn jobs(common: &Common, remote: &Remote, command: Option<&Jobs>) -> Result<(), Failure> {
    if let Some(Jobs::Cancel { number }) = command {
        remote.post(Need::Run, &["jobs", &number.to_string(), "cancel"], &json!({}))?;
        return match common.json {
            true => output::json(&json!({ "cancelled": number })),
            false => say!("job {number} ends after the step that it is at"),
        };
    }
    let all = remote.get(Need::See, &["jobs"], &[])?;
    if common.json {
        return output::json(&all);
    }
    let all: Vec<&Value> = all.as_array().into_iter().flatten().collect();
    let rows = all.iter().map(|job| row(job)).collect::<Result<_, Failure>>()?;
    output::table(&["JOB", "KIND", "STATE", "DONE", "BY", "BEGAN", "ENDED"], rows, "no job was started yet")?;
    for job in all.iter().filter(|job| job["state"] == "failed") {
        note!("job {} failed: {}", job["id"], job["result"].as_str().unwrap_or_default());
    }
    Ok(())
}

fn row(job: &Value) -> Result<Vec<String>, Failure> {
    let total = job["total"].as_u64().filter(|total| *total > 0);
    let share = total.map(|total| number(job, "done").map(|done| format!("{} %", done.min(total) * 100 / total)));
    let ended = match &job["ended"] {
        Value::Null => String::new(),
        _ => moment::show(time(job, "ended")?),
    };
    Ok(vec![
        number(job, "id")?.to_string(),
        text(&job["work"], "kind")?,
        text(job, "state")?,
        share.transpose()?.unwrap_or_default(),
        text(job, "by")?,
        moment::show(time(job, "created")?),
        ended,
    ])
}
