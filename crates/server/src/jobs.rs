//! Jobs: dropping points by a schedule, giving space back, checking; one at a time, by hand or by the calendar. And restores.
//!
//! Never knows: who may start one, HTTP.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use backstay_audit::{AuditError, Event};
use backstay_format::units::{PointNo, Timestamp};
use backstay_timeline::schedule::{Period, Schedule};
use backstay_timeline::thin::thin;
use backstay_vault::VaultError;
use backstay_vault::check::joined;
use backstay_vault::forget::ForgetPlan;
use backstay_vault::rows::Machine;
use backstay_vault::upkeep::Left;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::Server;
use crate::at_work::AtWork;
use crate::live::News;
use crate::moment::{SECOND, later, rfc3339};
use crate::restores::{self, Restore};
use crate::running::JobHours;
use crate::words;

/// What a job does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Work {
    /// Drops points, so that what is left thins out with age.
    Forget {
        /// Of this machine; of all, if not said.
        machine: Option<String>,
        #[serde(default)]
        keep: Keep,
        /// Exactly these points of the machine, whatever their age.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        points: Vec<u64>,
    },
    /// Gives back the space of what no point needs any more.
    Reclaim,
    /// Writes a disk to a file here. Started at `restores`, by those who may read what is on it.
    Restore(Restore),
    /// Checks everything that says where data is.
    Check {
        /// And the data.
        #[serde(default)]
        read_data: bool,
    },
}

/// For how long points are kept, in seconds back from now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub(crate) struct Keep {
    /// All of them.
    all: u64,
    /// One of each minute.
    minutely: u64,
    hourly: u64,
    daily: u64,
    monthly: u64,
    yearly: u64,
}

impl Keep {
    pub(crate) fn schedule(&self) -> Schedule {
        let nanos = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(SECOND);
        let tiers = [
            (Period::Minute, self.minutely),
            (Period::Hour, self.hourly),
            (Period::Day, self.daily),
            (Period::Month, self.monthly),
            (Period::Year, self.yearly),
        ];
        let tiers = tiers.into_iter().filter(|(_, seconds)| *seconds > 0);
        Schedule { all: nanos(self.all), tiers: tiers.map(|(period, seconds)| (period, nanos(seconds))).collect() }
    }
}

impl Work {
    /// Its kind, in a word.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Work::Forget { .. } => "forget",
            Work::Reclaim => "reclaim",
            Work::Restore(_) => "restore",
            Work::Check { .. } => "check",
        }
    }

    /// The machine that it is about, if it is about one.
    pub(crate) fn machine(&self) -> Option<&str> {
        match self {
            Work::Forget { machine, .. } => machine.as_deref(),
            Work::Restore(restore) => Some(&restore.machine),
            Work::Reclaim | Work::Check { .. } => None,
        }
    }

    /// Whether it can be ended before it is done: a check changes nothing, and comes to its end.
    pub(crate) fn may_stop(&self) -> bool {
        !matches!(self, Work::Check { .. })
    }

    /// Refuses what nobody means, such as to keep nothing, and what is not started as a job.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        match self {
            Work::Forget { machine, keep, points } if !points.is_empty() => match machine {
                Some(_) if keep.schedule().is_empty() => Ok(()),
                _ => Err("points are dropped by number from one machine, and by nothing else at the same time"),
            },
            Work::Forget { keep, .. } if keep.schedule().is_empty() => Err("say what to keep: nothing is never meant"),
            Work::Restore(_) => Err("a restore is started at /api/v1/restores"),
            _ => Ok(()),
        }
    }
}

/// What a job of the calendar says that it is by.
const CALENDAR: &str = "calendar";

/// Who starts a job.
#[derive(Clone, Copy)]
pub(crate) enum By<'n> {
    /// Nobody: it was due.
    Calendar,
    /// Somebody, by what the catalogue knows them as, and their name.
    Person(i64, &'n str),
}

impl By<'_> {
    fn name(&self) -> &str {
        match self {
            By::Calendar => CALENDAR,
            By::Person(_, name) => name,
        }
    }
}

/// Starts a job; its number. `None`: others are at work.
pub(crate) async fn start(server: &Arc<Server>, work: Work, by: By<'_>) -> Result<Option<i64>, sqlx::Error> {
    let seats = if matches!(work, Work::Restore(_)) { &server.restore_seats } else { &server.job_seat };
    let Ok(seat) = seats.clone().try_acquire_owned() else { return Ok(None) };
    let job = begun(server, &work, by).await?;
    let id = job.id;
    let server = server.clone();
    tokio::spawn(async move {
        tell(&server, &job, "running");
        let (there, doing, what) = (server.clone(), job.clone(), work.clone());
        let done = tokio::task::spawn_blocking(move || run(&there, &what, &doing)).await;
        let stopped = job.stop.load(Ordering::Relaxed);
        let (state, told) = match done {
            Ok(Ok(told)) if stopped => ("cancelled", told),
            Ok(Ok(told)) => ("done", told),
            Ok(Err(error)) => ("failed", json!(error)),
            Err(_) => ("failed", json!("it came to an end that nobody foresaw")),
        };
        tracing::info!(job = id, kind = work.kind(), state, "a job ended");
        let steps = (job.done.load(Ordering::Relaxed), job.total.load(Ordering::Relaxed));
        // A catalogue that cannot be written is told of by the next that asks for it.
        let _ = server.catalogue.end_job(id, (state, &told.to_string()), steps, server.now()).await;
        look(&server, &work, state, &told).await;
        server.jobs.remove(id);
        drop(seat);
        tell(&server, &job, state);
    });
    Ok(Some(id))
}

/// Writes down that a job begins.
pub(crate) async fn begun(server: &Server, work: &Work, by: By<'_>) -> Result<Arc<AtWork>, sqlx::Error> {
    let about = serde_json::to_string(work).unwrap_or_default();
    let id = server.catalogue.add_job((work.kind(), &about), by.name(), server.now()).await?;
    let (person, now) = match by {
        By::Calendar => (None, server.ages.now(server.now())),
        // Of people it is taken that they have seen the plan.
        By::Person(person, _) => (Some(person), server.now()),
    };
    let job = AtWork {
        id,
        person,
        machine: work.machine().map(str::to_owned),
        may_stop: work.may_stop(),
        now,
        stop: AtomicBool::new(false),
        done: AtomicU64::new(0),
        total: AtomicU64::new(0),
    };
    Ok(server.jobs.add(job))
}

/// What of a job's end needs a person.
async fn look(server: &Server, work: &Work, state: &str, told: &Value) {
    let kind = work.kind();
    match state {
        "failed" => server.alert("job", kind, &format!("the job {kind} failed: {told}")).await,
        "done" => server.all_clear("job", kind).await,
        _ => {}
    }
    if let (Work::Restore(asked), Some(lost)) = (work, told["unreadable"].get(0)) {
        server.found_damaged(&asked.machine, asked.point, &format!("restoring to {}: {lost}", asked.to)).await;
    }
    if kind == "check" && state == "done" {
        let vault = server.vault.name();
        match told["clean"].as_bool() {
            // All data was read: also what somebody stumbled upon is whole again, or gone.
            Some(true) if told["read_data"] == true => server.all_clear_of("damaged").await,
            Some(true) => server.all_clear("damaged", vault).await,
            _ => server.alert("damaged", vault, &format!("a check found damage: {}", told["defects"])).await,
        }
    }
}

fn tell(server: &Server, job: &AtWork, state: &str) {
    let (done, total) = (job.done.load(Ordering::Relaxed), job.total.load(Ordering::Relaxed));
    server.live.tell(News::Job { job: job.id, machine: job.machine.clone(), state: state.to_owned(), done, total });
}

/// # Errors
/// Why it was not done, in words.
fn run(server: &Server, work: &Work, job: &AtWork) -> Result<Value, String> {
    match work {
        Work::Restore(asked) => {
            let progress = |done, total| {
                job.done.store(done, Ordering::Relaxed);
                job.total.store(total, Ordering::Relaxed);
            };
            restores::run(server, asked, &progress, &job.stop)
        }
        work => on_vault(server, work, job).map_err(|error| words(&error)),
    }
}

fn on_vault(server: &Server, work: &Work, job: &AtWork) -> Result<Value, VaultError> {
    match work {
        Work::Forget { machine, keep, points } => forget(server, machine.as_deref(), (keep, points), job),
        Work::Reclaim => {
            let plan = server.vault.plan_reclaim()?;
            job.total.store(plan.bytes(), Ordering::Relaxed);
            let freed = server.vault.reclaim(&plan, &|so_far| {
                job.done.store(so_far.bytes, Ordering::Relaxed);
                !job.stop.load(Ordering::Relaxed)
            })?;
            Ok(
                json!({ "freed_bytes": freed.bytes, "packs": freed.packs, "rewritten": freed.shrunk, "leftovers": freed.orphans }),
            )
        }
        // It does not work on the vault.
        Work::Restore(_) => Ok(Value::Null),
        Work::Check { read_data } => {
            let found = server.vault.check(*read_data, &mut |done, total| {
                job.done.store(done, Ordering::Relaxed);
                job.total.store(total, Ordering::Relaxed);
            })?;
            let defects: Vec<&String> = found.defects.iter().take(100).collect();
            let losses = joined(&found.losses);
            let lost = losses.iter().take(100).map(|loss| json!({
                "machine": loss.machine, "disk": loss.disk.0, "from_byte": loss.bytes.start, "to_byte": loss.bytes.end,
                "from_point": loss.from.0, "until_point": loss.until.map(|point| point.0),
            }));
            Ok(json!({
                "clean": found.is_clean(), "read_data": read_data, "packs": found.packs, "read_bytes": found.bytes,
                "defects": defects, "losses": found.losses.len(), "lost": lost.collect::<Vec<_>>(),
            }))
        }
    }
}

fn meant(server: &Server, machine: Option<&str>) -> Result<Vec<Machine>, VaultError> {
    match machine {
        Some(name) => Ok(vec![server.vault.machine(name)?]),
        None => server.vault.machines(),
    }
}

fn forget_plan(
    server: &Server,
    machine: &Machine,
    (keep, these): Dropped<'_>,
    now: Timestamp,
) -> Result<ForgetPlan, VaultError> {
    if !these.is_empty() {
        return server.vault.plan_forget(machine, &these.iter().map(|number| PointNo(*number)).collect());
    }
    let mut points: Vec<(PointNo, Timestamp)> = Vec::new();
    server.vault.each_point(machine.id, |point| points.push((point.number, point.row.time)))?;
    let drop: BTreeSet<PointNo> = thin(&points, &keep.schedule(), now);
    server.vault.plan_forget(machine, &drop)
}

/// What is kept, or which points go.
type Dropped<'d> = (&'d Keep, &'d [u64]);

fn forget(server: &Server, machine: Option<&str>, which: Dropped<'_>, job: &AtWork) -> Result<Value, VaultError> {
    let machines = meant(server, machine)?;
    job.total.store(machines.len() as u64, Ordering::Relaxed);
    let (mut dropped, mut kept) = (0, 0);
    for machine in machines {
        if job.stop.load(Ordering::Relaxed) {
            break;
        }
        let plan = forget_plan(server, &machine, which, job.now)?;
        if !plan.drop.is_empty() {
            server.vault.forget(&plan)?;
        }
        dropped += plan.drop.len() as u64;
        kept += plan.keep as u64;
        job.done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(json!({ "dropped": dropped, "kept": kept }))
}

/// What a job would do.
pub(crate) fn plan(server: &Server, work: &Work) -> Result<Value, VaultError> {
    match work {
        Work::Forget { machine, keep, points } => {
            let mut plans = Vec::new();
            for machine in meant(server, machine.as_deref())? {
                let plan = forget_plan(server, &machine, (keep, points), server.now())?;
                let point = |point: &backstay_vault::rows::Point| json!({ "point": point.number.0, "time": rfc3339(point.row.time) });
                let drop: Vec<Value> = plan.drop.iter().map(point).collect();
                plans.push(json!({ "machine": machine.row.name, "drop": drop, "keep": plan.keep }));
            }
            Ok(json!({ "machines": plans }))
        }
        Work::Reclaim => {
            let plan = server.vault.plan_reclaim()?;
            let left = |left: &Left| json!({ "pack": left.pack.to_string(), "bytes": left.bytes, "why": left.why });
            Ok(json!({
                "free_bytes": plan.bytes(), "packs": plan.dead.len(), "rewrite": plan.shrink.len(),
                "leftovers": plan.orphans.len(), "left_alone": plan.left.iter().map(left).collect::<Vec<_>>(),
            }))
        }
        Work::Restore(_) | Work::Check { .. } => Ok(json!({})),
    }
}

/// Starts what is due, for ever.
pub(crate) async fn calendar(server: Arc<Server>, hours: Option<JobHours>) {
    loop {
        tokio::time::sleep(Duration::from_secs(5)).await;
        if hours.as_ref().is_some_and(|hours| !(hours.hold)(server.now())) {
            continue;
        }
        for due in server.catalogue.calendar().await.unwrap_or_default() {
            let now = server.now();
            // Nor is one waited for longer than from one to the next: a clock may have been set back.
            if due.next > later(now, due.every) || due.next <= now {
                let Ok(work) = serde_json::from_str::<Work>(&due.about) else { continue };
                if begin(&server, work).await.is_ok_and(|begun| begun) {
                    let next = later(now, due.every);
                    let _ = server.catalogue.set_due(&crate::catalogue::jobs::Due { next, ..due }).await;
                }
            }
        }
    }
}

/// Starts what the calendar says, once the log has it; whether it began.
async fn begin(server: &Arc<Server>, work: Work) -> Result<bool, AuditError> {
    if server.job_seat.available_permits() == 0 {
        return Ok(false);
    }
    let detail = serde_json::to_string(&work).unwrap_or_default();
    server.record.append(Event::intent("job.start").by(CALENDAR).detail(&detail)).await?;
    Ok(matches!(start(server, work, By::Calendar).await, Ok(Some(_))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_written_as_it_is_read() {
        let text = r#"{"kind":"forget","machine":"web","keep":{"all":3600,"hourly":86400}}"#;
        let work: Work = serde_json::from_str(text).unwrap();
        assert_eq!((work.kind(), work.check()), ("forget", Ok(())));
        assert_eq!(serde_json::from_str::<Work>(&serde_json::to_string(&work).unwrap()).unwrap(), work);
        assert!(serde_json::from_str::<Work>(r#"{"kind":"forget","keep":{}}"#).unwrap().check().is_err());
        assert!(serde_json::from_str::<Work>(r#"{"kind":"destroy"}"#).is_err());
    }
}
