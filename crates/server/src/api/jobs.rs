//! Jobs: started by hand or by the calendar, watched, ended.
//!
//! Never knows: how jobs are done.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::blocking;
use super::body::Body;
use super::error::{Answer, Failure};
use super::guard::Caller;
use crate::Server;
use crate::at_work::Cancelled;
use crate::catalogue::jobs::{Due, Job};
use crate::jobs::{self, By, Work};
use crate::moment::{later, parse, rfc3339};
use crate::rights::Right;

/// A job.
#[derive(Serialize, ToSchema)]
pub(crate) struct JobText {
    id: i64,
    work: Work,
    /// Who started it; `calendar` if nobody did.
    by: String,
    /// `running`, `done`, `failed`, `cancelled` or `interrupted`.
    state: String,
    done: u64,
    /// Nothing: nobody knows yet.
    total: Option<u64>,
    /// What came of it, or why it failed.
    #[schema(value_type = Object)]
    result: Value,
    created: String,
    ended: Option<String>,
    /// Whoever asks may cancel it, now.
    may_cancel: bool,
}

/// Which jobs.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// Only those before this one.
    before: Option<i64>,
    /// How many, at most 500.
    limit: Option<i64>,
}

/// A job that was started.
#[derive(Serialize, ToSchema)]
pub(crate) struct Started {
    pub(crate) id: i64,
}

/// When a kind of job is due.
#[derive(Serialize, Deserialize, ToSchema)]
pub(crate) struct DueText {
    work: Work,
    /// Seconds from one to the next; 0: never.
    every_seconds: u64,
    /// When the next one is due; one interval from now if not said.
    next: Option<String>,
}

fn text(server: &Server, caller: &Caller, job: Job) -> JobText {
    // Of one that runs the newest is in memory: a catalogue is not written for every step.
    let at_work = server.jobs.progress(job.id);
    let (done, total) = at_work.unwrap_or((job.done, job.total));
    let work = serde_json::from_str(&job.about).unwrap_or(Work::Reclaim);
    JobText {
        id: job.id,
        may_cancel: at_work.is_some() && work.may_stop() && ends(caller, server, (job.id, &work)),
        work,
        by: job.by,
        state: job.state,
        done,
        total: (total > 0).then_some(total),
        result: serde_json::from_str(&job.told).unwrap_or(Value::String(job.told)),
        created: rfc3339(job.created),
        ended: job.ended.map(rfc3339),
    }
}

/// Whether somebody may end a job that is at work: who runs jobs any of them, others a restore that they began.
fn ends(caller: &Caller, server: &Server, (id, work): (i64, &Work)) -> bool {
    let own = || matches!(work, Work::Restore(_)) && server.jobs.is_of(id, caller.id);
    caller.may_all(Right::Run) || own()
}

/// Whether somebody may see a job: all there is, or the machine that it is about.
fn sees(caller: &Caller, server: &Server, work: &Work) -> bool {
    let about = |machine| caller.may(Right::See, machine, server.vault.name());
    caller.may_all(Right::See) || work.machine().is_some_and(about)
}

/// Lists jobs, newest first: who may not see everything sees those about machines that they may see.
#[utoipa::path(get, path = "/api/v1/jobs", params(Which), responses(
    (status = 200, body = Vec<JobText>), (status = "4XX", body = Answer)))]
pub(crate) async fn list(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Query(which): Query<Which>,
) -> Result<Json<Vec<JobText>>, Failure> {
    let most = which.limit.unwrap_or(100).clamp(1, 500) as u32;
    let (mut before, mut seen) = (which.before.unwrap_or(i64::MAX), Vec::new());
    loop {
        let jobs = server.catalogue.jobs(before, most).await?;
        let Some(last) = jobs.last().map(|job| job.id) else { break };
        let more = jobs.len() as u32 == most;
        let texts = jobs.into_iter().map(|job| text(&server, &caller, job));
        seen.extend(texts.filter(|job| sees(&caller, &server, &job.work)));
        if !more || seen.len() >= most as usize {
            break;
        }
        before = last;
    }
    seen.truncate(most as usize);
    Ok(Json(seen))
}

/// One job.
#[utoipa::path(get, path = "/api/v1/jobs/{job}", params(("job" = i64, Path)), responses(
    (status = 200, body = JobText), (status = "4XX", body = Answer)))]
pub(crate) async fn one(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<i64>,
) -> Result<Json<JobText>, Failure> {
    seen(&server, &caller, id).await.map(Json)
}

/// A job that somebody may see; one that they may not is not said to be there.
async fn seen(server: &Server, caller: &Caller, id: i64) -> Result<JobText, Failure> {
    let job = server.catalogue.job(id).await?.map(|job| text(server, caller, job));
    let job = job.filter(|job| sees(caller, server, &job.work));
    job.ok_or_else(|| Failure::missing("such job"))
}

/// Says what a job would do, and does nothing.
#[utoipa::path(post, path = "/api/v1/plans", request_body = Work, responses(
    (status = 200, description = "What would be dropped or freed", body = Object), (status = "4XX", body = Answer)))]
pub(crate) async fn plan(State(server): State<Arc<Server>>, Body(work): Body<Work>) -> Result<Json<Value>, Failure> {
    work.check().map_err(Failure::wrong)?;
    Ok(Json(blocking(&server, move |server| Ok(jobs::plan(server, &work)?)).await?))
}

/// Starts a job. One runs at a time.
#[utoipa::path(post, path = "/api/v1/jobs", request_body = Work, responses(
    (status = 202, body = Started), (status = "4XX", body = Answer)))]
pub(crate) async fn start(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Body(work): Body<Work>,
) -> Result<(StatusCode, Json<Started>), Failure> {
    work.check().map_err(Failure::wrong)?;
    let id = jobs::start(&server, work, By::Person(caller.id, &caller.name)).await?;
    let id = id.ok_or_else(|| Failure::conflict("another job is at work").hint("wait for it, or cancel it"))?;
    Ok((StatusCode::ACCEPTED, Json(Started { id })))
}

/// Cancels a job: it ends after the step that it is at. What it did stays done; a restore to a new file leaves none.
///
/// Operators of everything cancel any job, restore operators the restores that they began.
#[utoipa::path(post, path = "/api/v1/jobs/{job}/cancel", params(("job" = i64, Path)), responses(
    (status = 204), (status = "4XX", body = Answer)))]
pub(crate) async fn cancel(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<i64>,
) -> Result<StatusCode, Failure> {
    let job = seen(&server, &caller, id).await?;
    if job.state == "running" && !ends(&caller, &server, (id, &job.work)) {
        return Err(Failure::forbidden(
            "this job is cancelled by operators of everything, a restore also by who began it",
        ));
    }
    match server.jobs.cancel(id) {
        Cancelled::Yes => Ok(StatusCode::NO_CONTENT),
        Cancelled::Never => {
            Err(Failure::conflict("a check cannot be cancelled: it changes nothing, and comes to its end"))
        }
        Cancelled::Gone => Err(Failure::missing("such job at work")),
    }
}

/// When jobs are due.
#[utoipa::path(get, path = "/api/v1/calendar", responses(
    (status = 200, body = Vec<DueText>), (status = "4XX", body = Answer)))]
pub(crate) async fn calendar(State(server): State<Arc<Server>>) -> Result<Json<Vec<DueText>>, Failure> {
    let text = |due: Due| {
        let work = serde_json::from_str(&due.about).ok()?;
        Some(DueText { work, every_seconds: due.every, next: Some(rfc3339(due.next)) })
    };
    Ok(Json(server.catalogue.calendar().await?.into_iter().filter_map(text).collect()))
}

/// Sets when a kind of job is due.
#[utoipa::path(put, path = "/api/v1/calendar", request_body = DueText, responses(
    (status = 204), (status = "4XX", body = Answer)))]
pub(crate) async fn set_calendar(
    State(server): State<Arc<Server>>,
    Body(asked): Body<DueText>,
) -> Result<StatusCode, Failure> {
    asked.work.check().map_err(Failure::wrong)?;
    if asked.every_seconds != 0 && !(60..=366 * 86_400).contains(&asked.every_seconds) {
        return Err(Failure::wrong("a job is due at most every minute and at least once a year; 0: never"));
    }
    let next = asked
        .next
        .as_deref()
        .map(|next| parse(next).ok_or_else(|| Failure::wrong("next is not a time as in RFC 3339")));
    let next = next.transpose()?.unwrap_or(later(server.now(), asked.every_seconds));
    let about = serde_json::to_string(&asked.work).map_err(|e| Failure::broken(e.to_string()))?;
    let due = Due { kind: asked.work.kind().to_owned(), about, every: asked.every_seconds, next };
    server.catalogue.set_due(&due).await?;
    Ok(StatusCode::NO_CONTENT)
}
