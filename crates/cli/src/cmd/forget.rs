//! `backstay forget`.
//!
//! Never knows: how points are dropped.

use std::collections::BTreeSet;

use backstay_format::units::{PointNo, Timestamp};
use backstay_timeline::schedule::{Period, Schedule};
use backstay_timeline::thin::thin;
use backstay_vault::forget::ForgetPlan;
use backstay_vault::rows::Point;
use serde_json::{Value, json};

use crate::args::{Common, Forget};
use crate::failure::Failure;
use crate::output::{self, many, say};
use crate::{moment, store};

use super::integrity::go_ahead;

pub(super) fn run(common: &Common, args: &Forget) -> Result<(), Failure> {
    let schedule = schedule(args)?;
    says_what(args)?;
    let vault = store::open(common)?;
    let machine = vault.machine(&args.machine)?;
    let mut points: Vec<(PointNo, Timestamp)> = Vec::new();
    vault.each_point(machine.id, |point| points.push((point.number, point.row.time)))?;
    let drop = if args.point.is_empty() {
        let now = i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX);
        thin(&points, &schedule, Timestamp(now))
    } else {
        named(&args.point, &points)?
    };
    let plan = vault.plan_forget(&machine, &drop)?;
    // Programs that say yes get one value: what was done.
    let at_once = common.json && args.yes;
    if !at_once {
        show(common, &plan)?;
    }
    let wanted = !plan.drop.is_empty() && go_ahead(args.yes, args.dry_run, "these points will be gone for good")?;
    if wanted {
        vault.forget(&plan)?;
    }
    match (at_once, wanted) {
        (true, _) => output::json(&described(&plan, "dropped", "kept")),
        (false, true) if !common.json => {
            say!("dropped {}; `backstay reclaim` gives the space back", many(plan.drop.len() as u64, "point"))
        }
        _ => Ok(()),
    }
}

/// Refuses a command that says neither what to keep nor what to drop.
pub(super) fn says_what(args: &Forget) -> Result<(), Failure> {
    if args.point.is_empty() && lengths(args)?.iter().all(|(_, nanos)| *nanos == 0) {
        return Err(Failure::usage(
            "say what to keep (--keep-all 24h --keep-hourly 7d ...) or which points to drop (--point NUMBER)",
        ));
    }
    Ok(())
}

/// For how long points are kept, in nanoseconds: all of them, and one of each period.
pub(super) fn lengths(args: &Forget) -> Result<[(&'static str, i64); 6], Failure> {
    let length = |text: &Option<String>| -> Result<i64, Failure> {
        let nanos = text.as_deref().map(moment::duration).transpose()?.map_or(0, |d| d.as_nanos());
        Ok(i64::try_from(nanos).unwrap_or(i64::MAX))
    };
    Ok([
        ("all", length(&args.keep_all)?),
        ("minutely", length(&args.keep_minutely)?),
        ("hourly", length(&args.keep_hourly)?),
        ("daily", length(&args.keep_daily)?),
        ("monthly", length(&args.keep_monthly)?),
        ("yearly", length(&args.keep_yearly)?),
    ])
}

fn schedule(args: &Forget) -> Result<Schedule, Failure> {
    let [(_, all), lengths @ ..] = lengths(args)?;
    let periods = [Period::Minute, Period::Hour, Period::Day, Period::Month, Period::Year];
    let tiers = periods.into_iter().zip(lengths).map(|(period, (_, nanos))| (period, nanos));
    Ok(Schedule { all, tiers: tiers.filter(|(_, nanos)| *nanos > 0).collect() })
}

fn named(numbers: &[u64], points: &[(PointNo, Timestamp)]) -> Result<BTreeSet<PointNo>, Failure> {
    let known: BTreeSet<PointNo> = points.iter().map(|(n, _)| *n).collect();
    let wanted: BTreeSet<PointNo> = numbers.iter().map(|n| PointNo(*n)).collect();
    match wanted.difference(&known).next() {
        Some(missing) => Err(Failure::usage(format!("there is no point {}; `backstay points` lists them", missing.0))),
        None => Ok(wanted),
    }
}

fn show(common: &Common, plan: &ForgetPlan) -> Result<(), Failure> {
    if common.json {
        return output::json(&described(plan, "drop", "keep"));
    }
    for point in &plan.drop {
        say!("drop point {} of {}", point.number.0, moment::show(point.row.time))?;
    }
    say!("plan for {}: drop {}, keep {}", plan.machine.row.name, plan.drop.len(), plan.keep)
}

/// A plan for programs: as something to be done, or done.
fn described(plan: &ForgetPlan, drop: &str, keep: &str) -> Value {
    let point = |p: &Point| json!({ "point": p.number.0, "time": moment::rfc3339(p.row.time) });
    let points: Vec<_> = plan.drop.iter().map(point).collect();
    json!({ "machine": plan.machine.row.name, drop: points, keep: plan.keep })
}
