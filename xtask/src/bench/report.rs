//! docs/results.md: one section for each kind of measurement, replaced by the run that measured it anew; what people
//! wrote around the sections stays.
//!
//! Never knows: what the figures mean.

use std::fs;
use std::process::Command;

use crate::fail::{During, Fail, Result};
use crate::run;

/// Replaces one section by this body, with the circumstances of the run above it.
/// # Errors
/// The page has no such section, or cannot be read or written.
pub(super) fn write(section: &str, body: &str, arguments: &[String]) -> Result<()> {
    let path = run::root().join("docs/results.md");
    let page = fs::read_to_string(&path).during(path.display())?;
    let text = format!("{}\n\n{}\n", circumstances(arguments)?, body.trim());
    let page = replaced(&page, section, &text)
        .ok_or_else(|| Fail::new(format!("{}: no section `{section}` between its marks", path.display())))?;
    fs::write(&path, page).during(path.display())?;
    println!("written to {}", path.display());
    Ok(())
}

fn replaced(page: &str, section: &str, text: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- begin {section} -->\n"), format!("<!-- end {section} -->"));
    let (head, rest) = page.split_once(&begin)?;
    let (_, tail) = rest.split_once(&end)?;
    Some(format!("{head}{begin}\n{text}\n{end}{tail}"))
}

/// When, where and how, so that the figures can be taken again.
fn circumstances(arguments: &[String]) -> Result<String> {
    let date = run::text(Command::new("date").args(["--utc", "+%Y-%m-%d %H:%M UTC"]))?;
    let kernel = run::text(Command::new("uname").args(["-sr"]))?;
    let cores = std::thread::available_parallelism().during("counting processors")?;
    let commit = run::text(Command::new("git").current_dir(run::root()).args(["rev-parse", "--short", "HEAD"]))?;
    let load = read_words("/proc/loadavg", 3)?;
    let memory = read_words("/proc/meminfo", 2)?;
    let kib: u64 = memory.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or_default();
    let command = format!("cargo xtask bench {}", arguments.join(" "));
    Ok(format!(
        "{}; {}; {}; {cores} cores, {} GiB of memory; commit {}; load at the end {load}; `{}`.",
        date.trim(),
        kernel.trim(),
        processor()?,
        kib.div_ceil(1 << 20),
        commit.trim(),
        command.trim(),
    ))
}

fn read_words(path: &str, count: usize) -> Result<String> {
    let text = fs::read_to_string(path).during(path)?;
    Ok(text.split_whitespace().take(count).collect::<Vec<_>>().join(" "))
}

fn processor() -> Result<String> {
    let text = fs::read_to_string("/proc/cpuinfo").during("/proc/cpuinfo")?;
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    Ok(model.map_or("processor unknown", |(_, name)| name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_section_changes() {
        let page = "a\n<!-- begin x -->\nold\n<!-- end x -->\nb\n<!-- begin y -->\n<!-- end y -->\n";
        let wanted = "a\n<!-- begin x -->\n\nnew\n<!-- end x -->\nb\n<!-- begin y -->\n<!-- end y -->\n";
        assert_eq!(replaced(page, "x", "new").as_deref(), Some(wanted));
        assert_eq!(replaced(page, "z", "new"), None);
    }
}
