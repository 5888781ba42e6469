//! Machines: how each does, at a glance, and what can be done to one.
//!
//! Never knows: people, or what is in a point.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use backstay_format::rows::gap::{GapRow, Why};
use backstay_format::units::Timestamp;
use backstay_timeline::gap::word;
use backstay_vault::gap::Gaps;
use backstay_vault::rows::Machine;
use backstay_vault::{Vault, VaultError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::blocking;
use super::body::Body;
use super::error::{Answer, Failure};
use super::gaps::{GapText, SuspensionText};
use super::guard::Caller;
use crate::Server;
use crate::catalogue::machines::Known;
use crate::live::News;
use crate::moment::{SECOND, rfc3339};
use crate::promise::{By, Promise};
use crate::rights::Right;

/// How a machine does.
#[derive(Clone, Serialize, ToSchema)]
pub(crate) struct MachineText {
    pub(crate) name: String,
    pub(crate) vault: String,
    /// Its id; nothing: it has no timeline yet.
    pub(crate) id: Option<String>,
    /// How many points it has.
    pub(crate) points: u64,
    /// The moment of its newest point.
    pub(crate) newest: Option<String>,
    /// The number of its newest point.
    pub(crate) newest_point: Option<u64>,
    /// Seconds since then.
    pub(crate) age_seconds: Option<i64>,
    /// The longest time without a point that was promised, in seconds.
    pub(crate) promise_seconds: Option<u64>,
    /// Who promised it: `machine`, an administrator of this machine; `default`, one of all machines; `itself`, the machine.
    pub(crate) promise_by: Option<&'static str>,
    /// Bytes of its disks.
    pub(crate) disk_bytes: u64,
    /// What is wrong, the worst first; nothing: all is well.
    pub(crate) trouble: Vec<Trouble>,
    pub(crate) suspended: Option<SuspensionText>,
    /// A time without points that lasts.
    pub(crate) gap: Option<GapText>,
    /// It has a certificate that was not taken back.
    pub(crate) enrolled: bool,
    /// Its agent is there.
    pub(crate) connected: bool,
    /// When it was first known.
    pub(crate) created: String,
    /// A gap that has ended lately and that somebody should know of.
    #[serde(skip)]
    pub(crate) hole: Option<String>,
}

/// Something that is wrong with a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Trouble {
    /// No point for longer than was promised.
    Late,
    /// No point at all.
    Empty,
    /// Its agent is not there.
    Away,
}

/// What is wrong, the worst first; without points, what was promised counts from when the machine was `created`. Pure.
fn troubles(
    (newest, created, now): (Option<Timestamp>, Timestamp, Timestamp),
    promise: Option<Promise>,
    facts: Facts,
) -> Vec<Trouble> {
    let late = promise.is_some_and(|promise| promise.is_broken(newest.unwrap_or(created), now));
    let mut all = Vec::new();
    all.extend((late && !facts.suspended).then_some(Trouble::Late));
    all.extend((newest.is_none() && !facts.suspended).then_some(Trouble::Empty));
    let away = facts.enrolled && !facts.connected && promise.is_some();
    // Nothing is expected of one that is suspended.
    all.extend((away && !facts.suspended).then_some(Trouble::Away));
    all
}

#[derive(Clone, Copy, Debug, Default)]
struct Facts {
    suspended: bool,
    enrolled: bool,
    connected: bool,
}

/// All machines that `see` lets through: those of the vault, and those that were enrolled and have no points yet.
pub(crate) async fn all(server: &Arc<Server>, see: impl Fn(&str, &str) -> bool) -> Result<Vec<MachineText>, Failure> {
    let known = server.catalogue.known().await?;
    let mut known: BTreeMap<String, Known> = known.into_iter().map(|known| (known.who.name.clone(), known)).collect();
    let connected = server.agents.present();
    let promises = server.catalogue.promises().await?;
    let usual = server.settings.now().typed.promise_seconds;
    let promise = |name: &str, said| Promise::of(promises.get(name).copied(), usual, said);
    let found = blocking(server, |server| {
        let machines = server.vault.machines()?.into_iter();
        machines
            .map(|machine| seen(&server.vault, machine))
            .collect::<Result<Vec<_>, VaultError>>()
            .map_err(Failure::from)
    });
    let mut texts = Vec::new();
    for seen in found.await? {
        let enrolled = known.remove(&seen.machine.row.name);
        let promise = promise(&seen.machine.row.name, seen.promise);
        texts.push(text(server, seen, (enrolled.as_ref(), &connected), promise));
    }
    texts.extend(known.values().map(|known| unseen(known, &connected, promise(&known.who.name, None), server.now())));
    texts.retain(|text| see(&text.name, &text.vault));
    texts.sort_by(|a, b| (a.trouble.is_empty(), &a.trouble, &a.name).cmp(&(b.trouble.is_empty(), &b.trouble, &b.name)));
    Ok(texts)
}

/// What the vault says of a machine.
struct Seen {
    machine: Machine,
    newest: Option<(u64, Timestamp)>,
    points: u64,
    disk_bytes: u64,
    promise: Option<u64>,
    gaps: Gaps,
}

fn seen(vault: &Vault, machine: Machine) -> Result<Seen, VaultError> {
    let newest = match vault.point_at(&machine, None) {
        Ok(point) => Some(point),
        Err(VaultError::NoPoint(_)) => None,
        Err(error) => return Err(error),
    };
    Ok(Seen {
        disk_bytes: newest.as_ref().map_or(0, |point| point.row.disks.iter().map(|disk| disk.size).sum()),
        newest: newest.map(|point| (point.number.0, point.row.time)),
        points: vault.count_points(machine.id)?,
        promise: vault.promised(&machine)?,
        gaps: vault.gaps(&machine)?,
        machine,
    })
}

fn text(
    server: &Server,
    seen: Seen,
    (known, connected): (Option<&Known>, &[String]),
    promise: Option<Promise>,
) -> MachineText {
    let (now, time) = (server.now(), seen.newest.map(|(_, time)| time));
    let facts = Facts {
        suspended: seen.gaps.suspended.is_some(),
        enrolled: known.is_some_and(|known| known.may_connect),
        connected: connected.contains(&seen.machine.row.name),
    };
    MachineText {
        vault: server.vault.name().to_owned(),
        id: Some(seen.machine.id.to_string()),
        points: seen.points,
        newest: time.map(rfc3339),
        newest_point: seen.newest.map(|(number, _)| number),
        age_seconds: time.map(|time| now.0.saturating_sub(time.0) / SECOND),
        promise_seconds: promise.map(|promise| promise.every / SECOND as u64),
        promise_by: promise.map(by),
        disk_bytes: seen.disk_bytes,
        trouble: troubles((time, seen.machine.row.created, now), promise, facts),
        suspended: seen.gaps.suspended.as_ref().map(SuspensionText::of),
        gap: seen.gaps.open.as_ref().map(|gap| GapText::of(gap, false)),
        enrolled: facts.enrolled,
        connected: facts.connected,
        created: rfc3339(seen.machine.row.created),
        hole: seen.gaps.closed.last().and_then(|(_, gap)| hole(gap, promise, now)),
        name: seen.machine.row.name,
    }
}

/// A machine that was enrolled and has no timeline yet.
fn unseen(known: &Known, connected: &[String], promise: Option<Promise>, now: Timestamp) -> MachineText {
    let facts = Facts { suspended: false, enrolled: known.may_connect, connected: connected.contains(&known.who.name) };
    // Of one that was turned away nothing is expected.
    let promise = promise.filter(|_| known.may_connect);
    MachineText {
        name: known.who.name.clone(),
        vault: known.who.vault.clone(),
        id: None,
        points: 0,
        newest: None,
        newest_point: None,
        age_seconds: None,
        promise_seconds: promise.map(|promise| promise.every / SECOND as u64),
        promise_by: promise.map(by),
        disk_bytes: 0,
        trouble: troubles((None, known.created, now), promise, facts),
        suspended: None,
        gap: None,
        enrolled: facts.enrolled,
        connected: facts.connected,
        created: rfc3339(known.created),
        hole: None,
    }
}

/// What is told of a gap that has ended within a day, and was neither promised away nor wanted.
fn hole(gap: &GapRow, promise: Option<Promise>, now: Timestamp) -> Option<String> {
    let lately = now.0.saturating_sub(gap.to.0) < 86_400 * SECOND;
    let wanted = gap.causes.iter().all(|cause| cause.why == Why::Suspended);
    if !lately || wanted || !promise?.is_broken(gap.from, gap.to) {
        return None;
    }
    let (from, to) = (rfc3339(gap.from), rfc3339(gap.to));
    let why = gap.causes.iter().map(|cause| format!("{} {}", word(cause.why), cause.text).trim().to_owned());
    Some(format!("there are no points from {from} to {to}: {}", why.collect::<Vec<_>>().join(", ")))
}

fn by(promise: Promise) -> &'static str {
    match promise.by {
        By::Machine => "machine",
        By::Default => "default",
        By::Itself => "itself",
    }
}

/// Whether there is such a machine: with a timeline, or enrolled at least.
pub(crate) async fn find(server: &Arc<Server>, name: &str) -> Result<(), Failure> {
    if server.catalogue.machine_id(server.vault.name(), name).await?.is_some() {
        return Ok(());
    }
    let name = name.to_owned();
    blocking(server, move |server| Ok(server.vault.machine(&name).map(|_| ())?)).await
}

/// Lists machines, those with trouble first.
#[utoipa::path(get, path = "/api/v1/machines", responses(
    (status = 200, body = Vec<MachineText>), (status = "4XX", body = Answer)))]
pub(crate) async fn list(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Vec<MachineText>>, Failure> {
    Ok(Json(all(&server, |machine, vault| caller.may(Right::See, machine, vault)).await?))
}

/// One machine.
#[utoipa::path(get, path = "/api/v1/machines/{machine}", params(("machine" = String, Path)), responses(
    (status = 200, body = MachineText), (status = "4XX", body = Answer)))]
pub(crate) async fn one(
    State(server): State<Arc<Server>>,
    Path(name): Path<String>,
) -> Result<Json<MachineText>, Failure> {
    let mut all = all(&server, |machine, _| machine == name).await?;
    all.pop().map(Json).ok_or_else(|| Failure::missing(format!("machine {name}")))
}

/// For how long no points are wanted.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Suspend {
    /// Why: told with the gap that it makes.
    reason: String,
    /// At most 30 days.
    seconds: u64,
}

/// No points of a machine are wanted for a time.
#[utoipa::path(post, path = "/api/v1/machines/{machine}/suspend", params(("machine" = String, Path)),
    request_body = Suspend, responses((status = 200, body = SuspensionText), (status = "4XX", body = Answer)))]
pub(crate) async fn suspend(
    State(server): State<Arc<Server>>,
    Path(name): Path<String>,
    Body(asked): Body<Suspend>,
) -> Result<Json<SuspensionText>, Failure> {
    if asked.reason.is_empty() || asked.reason.len() > 300 || !(1..=30 * 86_400).contains(&asked.seconds) {
        return Err(Failure::wrong("a suspension has a reason of at most 300 bytes, and lasts at most 30 days"));
    }
    let length = asked.seconds * SECOND as u64;
    let whose = name.clone();
    let row = blocking(&server, move |server| Ok(server.vault.suspend(&name, &asked.reason, length)?)).await?;
    // What its agent is amid is called off; it comes back and hears of the suspension.
    server.agents.end(&whose);
    server.live.tell(News::Suspended { machine: whose, until: Some(rfc3339(row.until)) });
    Ok(Json(SuspensionText::of(&row)))
}

/// Points of a machine are wanted again.
#[utoipa::path(post, path = "/api/v1/machines/{machine}/resume", params(("machine" = String, Path)), responses(
    (status = 204), (status = "4XX", body = Answer)))]
pub(crate) async fn resume(State(server): State<Arc<Server>>, Path(name): Path<String>) -> Result<StatusCode, Failure> {
    let whose = name.clone();
    let ended = blocking(&server, move |server| Ok(server.vault.resume(&name)?)).await?;
    ended.ok_or_else(|| Failure::conflict("points of it are not suspended"))?;
    server.live.tell(News::Suspended { machine: whose, until: None });
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a machine's certificate back: it cannot connect until it is enrolled again. Its points stay.
#[utoipa::path(delete, path = "/api/v1/machines/{machine}/certificate", params(("machine" = String, Path)), responses(
    (status = 204), (status = "4XX", body = Answer)))]
pub(crate) async fn revoke(State(server): State<Arc<Server>>, Path(name): Path<String>) -> Result<StatusCode, Failure> {
    let had = server.catalogue.revoke_machine(&name, server.now()).await?;
    server.agents.end(&name);
    had.then_some(StatusCode::NO_CONTENT).ok_or_else(|| Failure::missing(format!("certificate of machine {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong() {
        let at = |seconds: i64| Timestamp(seconds * SECOND);
        let every = Promise::of(None, None, Some(60 * SECOND as u64));
        let there = Facts { suspended: false, enrolled: true, connected: true };
        let of = |newest: Option<i64>, promise, facts| troubles((newest.map(at), at(900), at(1000)), promise, facts);
        assert_eq!(of(Some(950), every, there), []);
        assert_eq!(of(Some(800), every, there), [Trouble::Late]);
        assert_eq!(of(Some(800), every, Facts { suspended: true, ..there }), []);
        assert_eq!(of(Some(800), None, there), [], "nothing was promised");
        assert_eq!(of(None, None, there), [Trouble::Empty]);
        assert_eq!(of(None, Promise::of(Some(99), None, None), there), [Trouble::Late, Trouble::Empty]);
        assert_eq!(of(Some(950), every, Facts { connected: false, ..there }), [Trouble::Away]);
        assert_eq!(of(Some(800), every, Facts { connected: false, suspended: true, ..there }), []);
    }
}
