//! `audit show`, through a server: what its log says, with names, for auditors.
//!
//! Never knows: how a log is checked; a server's own word on it proves nothing.

use serde_json::{Value, json};

use crate::args::Common;
use crate::failure::Failure;
use crate::moment;
use crate::output;
use crate::remote::{Need, Remote, number, text, time};

/// Records asked for at once: as many as a server answers with.
const PAGE: u64 = 500;

pub(super) fn show(common: &Common, remote: &Remote, (from, no_heartbeats): (u64, bool)) -> Result<(), Failure> {
    let mut lines: Vec<Value> = Vec::new();
    let mut before: Option<u64> = None;
    while before != Some(0) {
        let mut query = vec![("limit", PAGE.to_string())];
        query.extend(before.map(|number| ("before", number.to_string())));
        let page = remote.get(Need::Audit, &["audit"], &query)?;
        let page: Vec<Value> = page.as_array().cloned().unwrap_or_default();
        let Some(last) = page.last() else { break };
        let oldest = number(last, "index")?;
        let wanted = |line: &Value| line["index"].as_u64().is_some_and(|index| index >= from);
        lines.extend(page.into_iter().filter(|line| wanted(line) && !(no_heartbeats && line["kind"] == "heartbeat")));
        before = (oldest > from).then_some(oldest).or(Some(0));
    }
    lines.reverse();
    if common.json {
        return output::json(&lines.iter().map(value).collect::<Vec<_>>());
    }
    let rows = lines.iter().map(row).collect::<Result<_, _>>()?;
    let headings = ["RECORD", "TIME", "WHAT", "RESULT", "WHO", "FROM", "OBJECT", "DETAIL"];
    output::table(&headings, rows, "the log has no such records")
}

/// As a log that is read here is printed; what a server does not tell is null.
fn value(line: &Value) -> Value {
    json!({
        "record": line["index"], "kind": line["kind"], "time": line["time"], "clock": null, "what": line["what"],
        "of": line["of"], "success": line["success"], "request": null, "config_before": null, "config_after": null,
        "commitments": null, "user": line["user"], "from": line["from"], "object": line["object"],
        "detail": line["detail"],
    })
}

fn row(line: &Value) -> Result<Vec<String>, Failure> {
    let what = match line["of"].as_u64() {
        Some(of) => format!("{} (of {of})", text(line, "what")?),
        None => text(line, "what")?,
    };
    let result = match (line["kind"].as_str(), line["success"].as_bool()) {
        (_, Some(true)) => "done",
        (_, Some(false)) => "failed",
        (Some("intent"), None) => "intended",
        _ => "",
    };
    // What people typed must not reach a terminal as anything but text.
    let plain = |text: String| text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect::<String>();
    let name = |name: &str| text(line, name).map(plain);
    Ok(vec![
        number(line, "index")?.to_string(),
        moment::show(time(line, "time")?),
        what,
        result.to_owned(),
        name("user")?,
        name("from")?,
        name("object")?,
        name("detail")?,
    ])
}
