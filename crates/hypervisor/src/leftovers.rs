//! Taking away what is held of a machine's disks, by name: at the end of a point, and after a process that was killed.
//!
//! Bitmaps are not touched. Doing it twice, or two at once, does no harm.
//! Never knows: who left it.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::qmp::{AskError, Channel};

/// How long jobs may take to end, and nodes to be let go of.
const ENDING: Duration = Duration::from_secs(20);

/// The ending of an NBD server's socket.
pub(crate) const SOCKET: &str = ".nbd";
/// The ending of a file with saved blocks.
pub(crate) const FLEECE: &str = ".fleece";

/// Takes away all exports, jobs and nodes whose names begin so, and the server and files in `folder`.
///
/// # Errors
/// [`AskError`]; what is left can be tried again.
pub fn clean(channel: &mut dyn Channel, prefix: &str, folder: &Path) -> Result<(), AskError> {
    let end = Instant::now() + ENDING;
    let mut served = has_socket(folder, prefix);
    loop {
        let exports = named(channel, "query-block-exports", "id", prefix)?;
        let jobs = named(channel, "query-jobs", "id", prefix)?;
        served |= !exports.is_empty();
        for id in &exports {
            declined(channel.ask("block-export-del", json!({ "id": id, "mode": "hard" })))?;
        }
        // Its readers hold the bitmap and the blocks.
        if exports.is_empty() {
            end_jobs(channel, &jobs)?;
        }
        if exports.is_empty() && jobs.is_empty() {
            let nodes = named(channel, "query-named-block-nodes", "node-name", prefix)?;
            if nodes.is_empty() {
                break;
            }
            // From the top down: one that another stands on is declined, and its turn comes.
            for node in &nodes {
                declined(channel.ask("blockdev-del", json!({ "node-name": node })))?;
            }
        }
        if Instant::now() > end {
            return Err(AskError::Late("what is held of the disks to be let go".into()));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let others = list(channel, "query-block-exports")?;
    if served && !others.iter().any(|export| export["type"] == "nbd") {
        declined(channel.ask("nbd-server-stop", json!({})))?;
    }
    remove_files(folder, prefix);
    Ok(())
}

/// Whether any nodes are there whose names begin so: somebody was killed in the middle of a point.
///
/// # Errors
/// [`AskError`].
pub fn are_there(channel: &mut dyn Channel, prefix: &str) -> Result<bool, AskError> {
    Ok(!named(channel, "query-named-block-nodes", "node-name", prefix)?.is_empty())
}

fn end_jobs(channel: &mut dyn Channel, jobs: &[String]) -> Result<(), AskError> {
    for id in jobs {
        declined(channel.ask("job-cancel", json!({ "id": id })))?;
        declined(channel.ask("job-dismiss", json!({ "id": id })))?;
    }
    Ok(())
}

/// The names in a list that begin so.
fn named(channel: &mut dyn Channel, query: &str, field: &str, prefix: &str) -> Result<Vec<String>, AskError> {
    let list = list(channel, query)?;
    let names = list.iter().filter_map(|one| one[field].as_str()).filter(|name| name.starts_with(prefix));
    Ok(names.map(str::to_owned).collect())
}

fn list(channel: &mut dyn Channel, query: &str) -> Result<Vec<Value>, AskError> {
    let Value::Array(list) = channel.ask(query, json!({}))? else { return Ok(Vec::new()) };
    Ok(list)
}

/// What is refused here is gone already, or its turn has not come; the lists tell.
fn declined(asked: Result<Value, AskError>) -> Result<(), AskError> {
    match asked {
        Err(error) if !error.is_refusal() => Err(error),
        _ => Ok(()),
    }
}

fn has_socket(folder: &Path, prefix: &str) -> bool {
    ours(folder, prefix).iter().any(|path| path.to_string_lossy().ends_with(SOCKET))
}

/// Removes what is ours in a folder. Files with saved blocks have names only until they are open.
pub(crate) fn remove_files(folder: &Path, prefix: &str) {
    for path in ours(folder, prefix) {
        drop(std::fs::remove_file(path)); // another may have been quicker
    }
}

fn ours(folder: &Path, prefix: &str) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let is_ours = |name: &str| name.starts_with(prefix) && (name.ends_with(SOCKET) || name.ends_with(FLEECE));
    entries.filter(|entry| entry.file_name().to_str().is_some_and(is_ours)).map(|entry| entry.path()).collect()
}
