//! Dirty bitmaps: which there are, whether one tells all that changed since a point, and putting back what a failed point took.
//!
//! A point remembers the bitmap that began at its instant, by a name that is given once in the world. Only a bitmap of exactly that
//! name vouches for what changed since; a copy of an image, a disk that is exchanged or a bitmap that was lost cannot be mistaken.
//! Never knows: points.

use serde_json::{Value, json};

use crate::names::Names;
use crate::qmp::{AskError, Channel, nonsense};

/// A mark for each page, as fine as we keep them.
const FINEST: u64 = 4096;
/// Marks of one bitmap at most: 32 MiB of the hypervisor's memory.
const MOST_MARKS: u64 = 1 << 28;

/// A bitmap that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bitmap {
    /// Its name.
    pub name: String,
    /// What it is of.
    pub node: String,
    /// Writes are marked.
    pub recording: bool,
    /// The machine ended without putting it down; it is worth nothing.
    pub inconsistent: bool,
}

/// All bitmaps of a store and machine.
///
/// # Errors
/// [`AskError`].
pub fn all(channel: &mut dyn Channel, names: &Names) -> Result<Vec<Bitmap>, AskError> {
    let nodes = channel.ask("query-named-block-nodes", json!({ "flat": true }))?;
    let nodes = nodes.as_array().ok_or_else(|| nonsense("query-named-block-nodes", "no list"))?;
    let of_node = |node: &Value| {
        let id = node["node-name"].as_str().unwrap_or_default().to_owned();
        let bitmaps = node["dirty-bitmaps"].as_array().cloned().unwrap_or_default();
        bitmaps.into_iter().map(move |bitmap| Bitmap {
            name: bitmap["name"].as_str().unwrap_or_default().to_owned(),
            node: id.clone(),
            recording: bitmap["recording"] == true,
            inconsistent: bitmap["inconsistent"] == true,
        })
    };
    Ok(nodes.iter().flat_map(of_node).filter(|bitmap| names.is_bitmap(&bitmap.name)).collect())
}

/// Whether a bitmap tells all that changed on a node since it began, alone or together with the one that a point took over with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Whole,
    /// Another went on where it stopped, when a point was begun and not finished.
    With(String),
    /// It does not, and why.
    Lost(&'static str),
}

/// Judges a bitmap by what there is on its node.
pub fn standing(there: &[Bitmap], node: &str, name: &str) -> Standing {
    let here: Vec<&Bitmap> = there.iter().filter(|bitmap| bitmap.node == node).collect();
    let others: Vec<&&Bitmap> = here.iter().filter(|bitmap| bitmap.name != name).collect();
    match here.iter().find(|bitmap| bitmap.name == name) {
        None => Standing::Lost("the record of changes is gone"),
        Some(bitmap) if bitmap.inconsistent => {
            Standing::Lost("the machine ended without putting down the record of changes")
        }
        Some(bitmap) if bitmap.recording => Standing::Whole,
        Some(_) => match others[..] {
            [next] if next.recording && !next.inconsistent => Standing::With(next.name.clone()),
            _ => Standing::Lost("the record of changes was stopped"),
        },
    }
}

/// How many bytes a mark stands for on a disk of `size`.
pub fn granularity(size: u64) -> u64 {
    let mut bytes = FINEST;
    while size / bytes > MOST_MARKS {
        bytes *= 2;
    }
    bytes
}

/// Removes one.
///
/// # Errors
/// [`AskError`].
pub fn remove(channel: &mut dyn Channel, node: &str, name: &str) -> Result<(), AskError> {
    channel.ask("block-dirty-bitmap-remove", json!({ "node": node, "name": name })).map(drop)
}

/// Removes all bitmaps of a store and machine on any node but those to keep, as node and name. What cannot be removed is on a disk
/// that nobody writes to, and does no harm; how many those are.
///
/// # Errors
/// [`AskError`], but for a refusal.
pub fn remove_all_but(channel: &mut dyn Channel, names: &Names, keep: &[(String, String)]) -> Result<usize, AskError> {
    let mut left = 0;
    for bitmap in all(channel, names)? {
        if keep.iter().any(|(node, name)| *node == bitmap.node && *name == bitmap.name) {
            continue;
        }
        match remove(channel, &bitmap.node, &bitmap.name) {
            Err(error) if error.is_refusal() => left += 1,
            other => other?,
        }
    }
    Ok(left)
}

/// A point failed: what the next bitmap marked since goes back into the one before, which marks again.
///
/// # Errors
/// [`AskError`]: both are still there, and are joined by whoever comes next.
pub fn put_back(channel: &mut dyn Channel, node: &str, before: Option<&str>, next: &str) -> Result<(), AskError> {
    let Some(before) = before else { return remove(channel, node, next) };
    let action = |kind: &str, data: Value| json!({ "type": kind, "data": data });
    // In this order no write falls between, whatever the guest does meanwhile.
    let actions = [
        action("block-dirty-bitmap-enable", json!({ "node": node, "name": before })),
        action("block-dirty-bitmap-merge", json!({ "node": node, "target": before, "bitmaps": [next] })),
    ];
    channel.ask("transaction", json!({ "actions": actions }))?;
    remove(channel, node, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bitmap(name: &str, recording: bool, inconsistent: bool) -> Bitmap {
        Bitmap { name: name.into(), node: "n".into(), recording, inconsistent }
    }

    #[test]
    fn only_a_whole_record_vouches() {
        let stand = |there: &[Bitmap]| standing(there, "n", "a");
        assert_eq!(stand(&[bitmap("a", true, false)]), Standing::Whole);
        assert_eq!(stand(&[bitmap("a", true, false), bitmap("b", true, true)]), Standing::Whole);
        assert_eq!(stand(&[bitmap("a", false, false), bitmap("b", true, false)]), Standing::With("b".into()));
        let lost: [&[Bitmap]; 6] = [
            &[],
            &[bitmap("b", true, false)],
            &[bitmap("a", true, true)],
            &[bitmap("a", false, false)],
            &[bitmap("a", false, false), bitmap("b", false, false)],
            &[bitmap("a", false, false), bitmap("b", true, false), bitmap("c", true, false)],
        ];
        for there in lost {
            assert!(matches!(stand(there), Standing::Lost(_)), "{there:?}");
        }
        assert!(matches!(standing(&[bitmap("a", true, false)], "other", "a"), Standing::Lost(_)));
    }

    #[test]
    fn marks_are_bounded() {
        assert_eq!(granularity(1 << 40), 4096);
        assert_eq!(granularity((1 << 40) + 4096), 8192);
        assert_eq!(granularity(0), 4096);
    }
}
