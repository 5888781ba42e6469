//! How long the API takes for pages and pictures of a timeline with ten million points, whose rows are written straight into the
//! store's ledger by a program of `bench/`: they have no data. curl asks, over TLS on one connection.
//!
//! Never knows: how points are kept.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::memory;
use super::programs;
use super::random::Random;
use super::targets::{Figure, Limit};
use crate::fail::{During, Fail, Result, absent};
use crate::run;
use crate::service::{HERE, Server};

/// Points, and so few in a hurry.
const FULL: u64 = 10_000_000;
const QUICK: u64 = 1_000_000;
/// Seconds from point to point, as the program writes them.
const EVERY: u64 = 10;
/// The machine that has them.
const MACHINE: &str = "machines/m0001";

/// Makes the timeline, starts a server on it, and asks.
/// # Errors
/// A program does not build or fails, or the server answers with anything but what was asked for.
pub(super) fn measure(quick: bool) -> Result<(String, Vec<Figure>)> {
    let release = programs::built()?;
    let built = |name: &str| release.join(name);
    let dir = run::keep("bench").join("api");
    fs::remove_dir_all(&dir).or_else(absent).during(dir.display())?;
    fs::create_dir_all(&dir).during(dir.display())?;
    let points = if quick { QUICK } else { FULL };
    let server = Server::start(&built("backstay"), &dir, &HERE)?;
    server.operator()?;
    let data = server.data().to_path_buf();
    drop(server);
    let mut rows = Command::new(built("points"));
    rows.args(["1", &points.to_string()]).arg(data.join("store")).arg(data.join("keys/store"));
    println!("running {}", run::shown(&rows));
    run::output(&mut rows)?;
    let server = Server::start(&built("backstay"), &dir, &HERE)?;
    // So that there is something to say of what will be left; it is not due while this lasts.
    let day = 86_400;
    let keep = json!({ "all": 2 * day, "hourly": 14 * day, "daily": 90 * day, "monthly": 730 * day });
    server.set_due(&json!({ "work": { "kind": "forget", "keep": keep }, "every_seconds": 365 * day }))?;
    server.login("olga")?;
    let found = asked(&Asking { server: &server, dir: &dir, points })?;
    drop(server);
    fs::remove_dir_all(&dir).during(dir.display())?;
    Ok(found)
}

/// What is asked for, how often, and how the path of one of them ends.
type Kind<'k> = (&'k str, usize, &'k dyn Fn(&mut Random) -> String);

struct Asking<'a> {
    server: &'a Server,
    dir: &'a Path,
    points: u64,
}

fn asked(asking: &Asking<'_>) -> Result<(String, Vec<Figure>)> {
    let mut random = Random::seeded(7);
    let first = asking.times(&[format!("{MACHINE}/density?columns=256")])?;
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "- points: {}", asking.points);
    let _ = writeln!(text, "- the first picture of all time after a start: {:.0} ms", first[0]);
    let _ = writeln!(text, "\n| milliseconds | p50 | p99 | worst |\n|---|---|---|---|");
    let mut figures = Vec::new();
    let day = 86_400;
    let kinds: [Kind<'_>; 8] = [
        ("a page of 100 points, from any point back", 2000, &|r| {
            format!("points?limit=100&cursor={}", r.below(asking.points))
        }),
        ("a page of 1,000 points, from any point on", 500, &|r| {
            format!("points?limit=1000&order=oldest&cursor={}", r.below(asking.points))
        }),
        ("a page of 100 points between any two moments", 1000, &|r| {
            format!("points?limit=100&{}", asking.between(r, None))
        }),
        ("a picture of 256 columns of any time", 300, &|r| format!("density?columns=256&{}", asking.between(r, None))),
        ("a picture of 2,000 columns of any time", 300, &|r| {
            format!("density?columns=2000&{}", asking.between(r, None))
        }),
        ("a picture of 2,000 columns of any day", 300, &|r| {
            format!("density?columns=2000&{}", asking.between(r, Some(day)))
        }),
        ("what the calendar leaves of any time within a year, in 256 columns", 200, &|r| {
            format!("retention?columns=256&at={}&{}", ahead(r), asking.between(r, None))
        }),
        ("what the calendar leaves of all time within a year, in 2,000 columns", 200, &|r| {
            format!("retention?columns=2000&at={}", ahead(r))
        }),
    ];
    for (what, count, path) in kinds {
        let paths: Vec<String> = (0..count).map(|_| format!("{MACHINE}/{}", path(&mut random))).collect();
        let times = asking.times(&paths)?;
        let (half, most, worst) = (times[count / 2], times[count * 99 / 100], times[count - 1]);
        let _ = writeln!(text, "| {what} ({count} of them) | {half:.1} | {most:.1} | {worst:.1} |");
        if what.starts_with("a page") {
            figures.push(Figure {
                figure: format!("API, {what}"),
                found: format!("p99 {most:.1} ms"),
                value: most,
                unit: "ms",
                limit: Limit::AtMost(50.0),
            });
        }
    }
    let _ = writeln!(text, "\n- the server's memory: {} MiB at most", memory::most(asking.server.process())? >> 20);
    Ok((text, figures))
}

/// Any moment of the next year.
fn ahead(random: &mut Random) -> String {
    rfc3339(now() + random.below(365 * 86_400))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

impl Asking<'_> {
    /// Two moments in the time of the points, any or so many seconds apart.
    fn between(&self, random: &mut Random, apart: Option<u64>) -> String {
        let now = now();
        let ago = |random: &mut Random| random.below(self.points * EVERY);
        let one = ago(random);
        let other = apart.map_or_else(|| ago(random), |apart| one + apart);
        format!("from={}&to={}", rfc3339(now - one.max(other)), rfc3339(now - one.min(other)))
    }

    /// Milliseconds for each of these, the shortest first.
    fn times(&self, paths: &[String]) -> Result<Vec<f64>> {
        let list = self.dir.join("urls");
        let url = |path: &String| format!("url = \"{}/api/v1/{path}\"\noutput = /dev/null\n", self.server.url());
        fs::write(&list, paths.iter().map(url).collect::<String>()).during(list.display())?;
        let mut curl = self.server.curl();
        curl.args(["--write-out", "%{http_code} %{time_total}\\n", "--config"]).arg(&list);
        let said = run::text(&mut curl)?;
        let time = |line: &str| line.strip_prefix("200 ")?.trim().parse::<f64>().ok().map(|seconds| seconds * 1000.0);
        let wrong = |line: &str| Fail::new(format!("the server answered `{line}`"));
        let times: Result<Vec<f64>> = said.lines().map(|line| time(line).ok_or_else(|| wrong(line))).collect();
        let mut times = times?;
        times.sort_by(f64::total_cmp);
        if times.len() == paths.len() { Ok(times) } else { Err(Fail::new("the server did not answer all requests")) }
    }
}

/// Seconds since 1970 as a date and a time of day.
fn rfc3339(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // The civil calendar counted from March, so that leap days come last: 400 years have 146,097 days.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = era * 400 + year + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn dates() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_827_696), "2000-02-29T12:34:56Z");
        assert_eq!(rfc3339(1_798_761_599), "2026-12-31T23:59:59Z");
    }
}
