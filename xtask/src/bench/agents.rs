//! A hundred machines that stream to one server: how long their points take to be safe, whether every promise is kept, and how much
//! memory the server takes for it.
//!
//! Never knows: what goes over the wire.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use serde_json::Value;

use super::measure::stored;
use super::memory;
use super::programs::{self, parsed};
use super::targets::{Figure, Limit};
use crate::fail::{During, Fail, Result};
use crate::run;
use crate::service::{HERE, Operator, Server};

const MIB: f64 = 1_048_576.0;

/// Has so many machines make points for so many minutes.
/// # Errors
/// A program does not build, or fails.
pub(super) fn measure(machines: u32, minutes: u64) -> Result<(String, Vec<Figure>)> {
    let release = programs::built()?;
    let dir = run::keep("bench").join("agents");
    if dir.exists() {
        fs::remove_dir_all(&dir).during(dir.display())?;
    }
    fs::create_dir_all(&dir).during(dir.display())?;
    let server = Server::start(&release.join("backstay"), &dir, &HERE)?;
    let operator = server.operator()?;
    let enrolled = dir.join("enrolled");
    (0..machines).try_for_each(|n| operator.enroll(&name(n), &enrolled.join(name(n))))?;
    println!("{machines} machines are enrolled; {minutes} minutes of points");
    let mut command = Command::new(release.join("agents"));
    command.arg(&enrolled).arg((minutes * 60).to_string());
    let (printed, resident) = memory::watched(server.process(), || parsed(run::text(&mut command)?.as_bytes()))?;
    let gaps = gaps(&operator.again()?, machines)?;
    let stored = stored(&server.store())?;
    let figures = vec![
        Figure {
            figure: "agents at once, gaps in their timelines".into(),
            found: format!("{gaps} gaps of {machines} machines, {:.0} points", printed.get("points")?),
            value: gaps as f64,
            unit: "gaps",
            limit: Limit::AtMost(0.0),
        },
        Figure {
            figure: "agents at once, memory of the server".into(),
            found: format!("{:.0} MiB", resident.own as f64 / MIB),
            value: resident.own as f64 / MIB,
            unit: "MiB",
            limit: Limit::AtMost(1024.0),
        },
        Figure {
            figure: "agents at once, a commit, p99".into(),
            found: format!("{:.0} ms, p50 {:.0} ms", printed.get("commit_ms_p99")?, printed.get("commit_ms_p50")?),
            value: printed.get("commit_ms_p99")?,
            unit: "ms",
            limit: Limit::AtMost(1000.0),
        },
    ];
    let mut text = printed.listed();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "- machines: {machines}\n- minutes: {minutes}\n- stored mib: {:.0}", stored as f64 / MIB);
    drop(server);
    fs::remove_dir_all(&dir).during(dir.display())?;
    Ok((text, figures))
}

fn name(number: u32) -> String {
    format!("machine-{number:03}")
}

/// Times without points that were promised, but for what lasts now that nobody makes any.
fn gaps(operator: &Operator<'_>, machines: u32) -> Result<usize> {
    let mut found = 0;
    for number in 0..machines {
        let gaps = operator.get(&format!("machines/{}/gaps", name(number)))?;
        let gaps = gaps.as_array().ok_or_else(|| Fail::new(format!("the server tells no gaps: {gaps}")))?;
        let ended = gaps.iter().filter(|gap| gap["to"] != Value::Null);
        ended.clone().for_each(|gap| println!("{}: {gap}", name(number)));
        found += ended.count();
    }
    Ok(found)
}
