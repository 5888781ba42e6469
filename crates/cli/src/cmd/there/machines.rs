//! `machines`, `points`, `suspend`, `resume` and `enrolments`, through a server.
//!
//! Never knows: how they are shown.

use serde_json::{Value, json};

use super::look;
use crate::args::{Common, Enrolments, Suspend};
use crate::cmd::gaps::Shown;
use crate::cmd::list::{tell_machines, tell_points};
use crate::cmd::suspend::{described, length_of, reason_of, tell_resumed, tell_suspended};
use crate::failure::Failure;
use crate::moment;
use crate::output::{self, say};
use crate::remote::{Need, Remote, gaps, machines as read, number, suspension, text, time};

/// Points asked for at once: as many as a server answers with.
const PAGE: usize = 1000;

pub(super) fn machines(common: &Common, remote: &Remote) -> Result<(), Failure> {
    tell_machines(common, read(&remote.get(Need::See, &["machines"], &[])?)?)
}

pub(super) fn points(common: &Common, remote: &Remote, (machine, limit): (&str, Option<u32>)) -> Result<(), Failure> {
    // One more, to know what is before them.
    let wanted = limit.map_or(usize::MAX, |limit| limit as usize + 1);
    let mut points = Vec::new();
    while points.len() < wanted {
        let most = PAGE.min(wanted - points.len());
        let mut query = vec![("limit", most.to_string())];
        query.extend(points.last().map(|last: &backstay_vault::rows::Point| ("cursor", last.number.0.to_string())));
        let page = look::points(remote, machine, &query)?;
        let ends = page.len() < most;
        points.extend(page);
        if ends {
            break;
        }
    }
    points.reverse();
    let all = gaps(&remote.get(Need::See, &["machines", machine, "gaps"], &[])?)?;
    tell_points(common, &points, limit, &Shown::new(all))
}

pub(super) fn suspend(common: &Common, remote: &Remote, args: &Suspend) -> Result<(), Failure> {
    let (reason, length) = (reason_of(args)?, length_of(args)?);
    let asked = json!({ "reason": reason, "seconds": length.div_ceil(1_000_000_000) });
    let made = remote.post(Need::Run, &["machines", &args.machine, "suspend"], &asked)?;
    tell_suspended(common, &args.machine, &suspension(&made)?)
}

pub(super) fn resume(common: &Common, remote: &Remote, machine: &str) -> Result<(), Failure> {
    let before = remote.get(Need::See, &["machines", machine], &[])?;
    let was = &before["suspended"];
    let was = (!was.is_null()).then(|| suspension(was)).transpose()?;
    if was.is_some() {
        remote.post(Need::Run, &["machines", machine, "resume"], &json!({}))?;
    }
    tell_resumed(common, machine, was.as_ref().map(described))
}

pub(super) fn enrolments(common: &Common, remote: &Remote, command: &Enrolments) -> Result<(), Failure> {
    match command {
        Enrolments::New { machine, valid } => {
            let seconds = moment::duration(valid)?.as_secs();
            let made = remote.post(Need::Run, &["enrolments"], &json!({ "machine": machine, "seconds": seconds }))?;
            if common.json {
                return output::json(&made);
            }
            let until = moment::show(time(&made, "until")?);
            say!("{}", text(&made, "code")?)?;
            say!("on {machine}, until {until}: backstay enroll {} CODE", remote.url())
        }
        Enrolments::List => {
            let all = remote.get(Need::Run, &["enrolments"], &[])?;
            if common.json {
                return output::json(&all);
            }
            let rows = all.as_array().into_iter().flatten().map(row).collect::<Result<_, Failure>>()?;
            output::table(&["NUMBER", "MACHINE", "BY", "UNTIL", "STATE"], rows, "no machine was given a code yet")
        }
        Enrolments::Revoke { number } => {
            remote.delete(Need::Run, &["enrolments", &number.to_string()])?;
            match common.json {
                true => output::json(&json!({ "revoked": number })),
                false => say!("code {number} cannot be used any more"),
            }
        }
    }
}

fn row(one: &Value) -> Result<Vec<String>, Failure> {
    let until = time(one, "until")?;
    let state = match (&one["used"], &one["revoked"]) {
        (Value::Null, Value::Null) if until.0 < now() => "too old".to_owned(),
        (Value::Null, Value::Null) => "can be used".to_owned(),
        (Value::Null, _) => "taken back".to_owned(),
        _ => format!("used {}", moment::show(time(one, "used")?)),
    };
    Ok(vec![number(one, "id")?.to_string(), text(one, "machine")?, text(one, "by")?, moment::show(until), state])
}

fn now() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}
