//! Which disks a machine has.
//!
//! Never knows: what is on them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::qmp::{AskError, Channel, nonsense};

/// A machine with more disks than this is none.
const MOST: usize = 4096;

/// A disk of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// What people call it.
    pub name: String,
    /// What the hypervisor calls what the guest writes to.
    pub node: String,
    /// Bytes.
    pub size: u64,
    /// Bytes that the guest takes for a sector.
    pub sector: u32,
    /// Where its bytes are, for people.
    pub origin: String,
    /// The image file, if it is a file here.
    pub file: Option<PathBuf>,
    /// Its format keeps bitmaps when the machine is switched off.
    pub keeps_bitmaps: bool,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Disks to be captured.
    pub disks: Vec<Disk>,
    /// What is left out, and why.
    pub skipped: Vec<String>,
}

/// Asks for the disks of a machine: those named, by device or node, or all that are writable and fixed. `targets`: what devices are
/// called by whoever manages the machine.
///
/// # Errors
/// [`AskError`].
pub fn find(
    channel: &mut dyn Channel,
    named: &[String],
    targets: &BTreeMap<String, String>,
) -> Result<Found, AskError> {
    let devices = channel.ask("query-block", json!({}))?;
    let nodes = channel.ask("query-named-block-nodes", json!({ "flat": true }))?;
    let mut found = sort_out(&devices, &nodes, (named, targets)).map_err(|why| nonsense("query-block", why))?;
    for (disk, path) in found.disks.iter_mut().zip(&found.paths) {
        let asked = json!({ "path": path, "property": "logical_block_size" });
        let told = path.as_ref().and_then(|_| channel.ask("qom-get", asked).ok()).and_then(|v| v.as_u64());
        disk.sector = if told == Some(4096) { 4096 } else { 512 };
    }
    Ok(Found { disks: found.disks, skipped: found.skipped })
}

#[derive(Default)]
struct Sorted {
    disks: Vec<Disk>,
    /// For each, the device in the guest.
    paths: Vec<Option<String>>,
    skipped: Vec<String>,
}

fn sort_out(
    devices: &Value,
    nodes: &Value,
    (named, targets): (&[String], &BTreeMap<String, String>),
) -> Result<Sorted, String> {
    let (Some(devices), Some(nodes)) = (devices.as_array(), nodes.as_array()) else { return Err("no lists".into()) };
    if devices.len() > MOST {
        return Err("there are too many disks".into());
    }
    let mut sorted = Sorted::default();
    for device in devices {
        let names = names_of(device, targets);
        let name = names.first().cloned().unwrap_or_else(|| "disk".to_owned());
        let is_wanted = |wanted: &String| names.contains(wanted);
        match unfit(device, &names) {
            _ if !named.is_empty() && !named.iter().any(is_wanted) => {}
            Some(why) => sorted.skipped.push(format!("{name} {why}")),
            None => sorted.add(name, &device["inserted"], text(&device["qdev"]).map(str::to_owned))?,
        }
    }
    for wanted in named {
        let is_known = devices.iter().any(|device| names_of(device, targets).contains(wanted));
        if let Some(node) = nodes.iter().find(|node| !is_known && text(&node["node-name"]) == Some(wanted)) {
            sorted.add(wanted.clone(), node, None)?;
        } else if !is_known {
            sorted.skipped.push(format!("{wanted} is not there"));
        }
    }
    let mut names = BTreeSet::new();
    match sorted.disks.iter().find(|disk| !names.insert(disk.name.clone())) {
        Some(disk) => Err(format!("two disks are called {}", disk.name)),
        None => Ok(sorted),
    }
}

impl Sorted {
    fn add(&mut self, name: String, node: &Value, path: Option<String>) -> Result<(), String> {
        let image = &node["image"];
        let (Some(id), Some(size)) = (text(&node["node-name"]), image["virtual-size"].as_u64()) else {
            return Err(format!("it says neither node nor size of {name}"));
        };
        let origin = text(&node["file"]).unwrap_or_default().to_owned();
        let file = Some(Path::new(&origin)).filter(|path| path.is_absolute() && path.is_file()).map(Path::to_owned);
        let keeps_bitmaps =
            text(&node["drv"]) == Some("qcow2") && text(&image["format-specific"]["data"]["compat"]) != Some("0.10");
        let name = plain(&name);
        self.disks.push(Disk { name, node: id.to_owned(), size, sector: 512, origin, file, keeps_bitmaps });
        self.paths.push(path);
        Ok(())
    }
}

/// Why a device is no disk to be captured.
fn unfit(device: &Value, names: &[String]) -> Option<&'static str> {
    let inserted = &device["inserted"];
    let is_flash = names.iter().any(|name| name.starts_with("pflash"))
        || text(&device["qdev"]).is_some_and(|path| path.contains("flash"));
    match () {
        () if inserted.is_null() => Some("is empty"),
        () if is_flash => Some("holds firmware"),
        () if inserted["ro"] == true => Some("is read-only"),
        () if device["removable"] == true => Some("is removable"),
        () => None,
    }
}

/// The names of a device: as it is managed, its own, that of the device in the guest, that of its node.
fn names_of(device: &Value, targets: &BTreeMap<String, String>) -> Vec<String> {
    let own = text(&device["device"]);
    let path = text(&device["qdev"]).map(|path| path.trim_end_matches("/virtio-backend"));
    let guest = path.and_then(|path| path.rsplit('/').next()).filter(|name| !name.starts_with("device["));
    let node = text(&device["inserted"]["node-name"]).filter(|name| !name.starts_with('#'));
    let anonymous = path.and_then(|path| path.rsplit('/').next());
    let target = guest.and_then(|guest| targets.get(guest)).map(String::as_str);
    let names = [target, own, guest, node, anonymous].into_iter().flatten().filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

/// A name as the timeline takes it.
fn plain(name: &str) -> String {
    name.chars().map(|c| if matches!(c, ':' | '/') || c.is_control() { '_' } else { c }).take(64).collect()
}

fn text(value: &Value) -> Option<&str> {
    value.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str, path: &str, ro: bool, removable: bool) -> Value {
        json!({ "device": name, "qdev": path, "removable": removable, "inserted": {
            "node-name": format!("node-{name}"), "ro": ro, "drv": "qcow2", "file": "/none",
            "image": { "virtual-size": 4096, "format-specific": { "data": { "compat": "1.1" } } } } })
    }

    #[test]
    fn fixed_writable_disks_are_taken() {
        let devices = json!([
            device("", "/machine/peripheral/vda/virtio-backend", false, false),
            device("ide0-cd0", "/machine/unattached/device[22]", true, true),
            device("pflash0", "/machine/system.flash0", false, false),
            device("sdb", "sdb", true, false),
            { "device": "floppy0", "removable": true },
        ]);
        let nobody = BTreeMap::new();
        let all = sort_out(&devices, &json!([]), (&[], &nobody)).unwrap();
        assert_eq!(all.disks.iter().map(|d| d.name.as_str()).collect::<Vec<_>>(), ["vda"]);
        assert!(all.disks[0].keeps_bitmaps);
        assert_eq!(all.skipped.len(), 4, "{:?}", all.skipped);
        let named = sort_out(&devices, &json!([]), (&["vda".into(), "nix".into()], &nobody)).unwrap();
        assert_eq!((named.disks.len(), named.skipped), (1, vec!["nix is not there".to_owned()]));
        let managed = [("vda".to_owned(), "root".to_owned())].into();
        let named = sort_out(&devices, &json!([]), (&["root".into()], &managed)).unwrap();
        assert_eq!(named.disks[0].name, "root");
    }

    #[test]
    fn odd_answers_are_refused() {
        let all = (&[][..], &BTreeMap::new());
        assert!(sort_out(&json!({}), &json!([]), all).is_err());
        let mut twice = device("a", "a", false, false);
        assert!(sort_out(&json!([twice, twice]), &json!([]), all).is_err());
        twice["inserted"]["image"] = json!(3);
        assert!(sort_out(&json!([twice]), &json!([]), all).is_err());
    }
}
