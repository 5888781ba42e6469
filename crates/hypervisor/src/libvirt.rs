//! A domain of libvirt's as a name for a machine.
//!
//! libvirt keeps monitor and agent for itself; both are asked through `virsh`.
//! Never knows: what is asked.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::agent::Way;
use crate::qmp::{AskError, Channel, PATIENCE, nonsense};

/// Why a domain cannot be captured.
#[derive(Debug, thiserror::Error)]
pub enum DomainError {
    /// There is no `virsh` here.
    #[error("there is no virsh here; install libvirt-clients")]
    NoVirsh,
    /// It does not run.
    #[error("the domain {0} is {1}; start it, or protect its image files as they are")]
    Off(String, String),
    /// libvirt says no.
    #[error("libvirt: {0}")]
    Said(String),
}

/// A running domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Domain {
    /// The way to its guest agent, if one answers in it.
    pub agent: Option<Way>,
    /// What libvirt calls disks, such as `vda`, by what it has QEMU call their devices.
    pub targets: BTreeMap<String, String>,
}

/// Finds a running domain.
///
/// # Errors
/// [`DomainError`].
pub fn find(domain: &str) -> Result<Domain, DomainError> {
    let state = virsh(&["domstate", "--domain", domain])?;
    let state = state.trim();
    if state != "running" && state != "paused" {
        return Err(DomainError::Off(domain.to_owned(), state.to_owned()));
    }
    let described = virsh(&["dumpxml", "--domain", domain])?;
    let agent = has_agent(&described).then(|| Way::Domain(domain.to_owned()));
    Ok(Domain { agent, targets: targets(&described) })
}

fn virsh(arguments: &[&str]) -> Result<String, DomainError> {
    let mut command = Command::new("virsh");
    command.arg("--quiet").args(arguments);
    match crate::qmp::run(&mut command, PATIENCE) {
        Ok(said) => Ok(String::from_utf8_lossy(&said).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(DomainError::NoVirsh),
        Err(error) => Err(DomainError::Said(error.to_string())),
    }
}

/// Whether a domain's description says that an agent is connected.
fn has_agent(described: &str) -> bool {
    let is_agent = |tag: &str| tag.contains("org.qemu.guest_agent.0") && tag.contains("state='connected'");
    described.split('<').any(|tag| tag.starts_with("target ") && is_agent(tag))
}

/// The names of disks in a domain's description.
fn targets(described: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    // Only what stands in a disk; a disk's own source may have aliases before.
    for disk in described.split("<disk ").skip(1) {
        let disk = disk.split("</disk>").next().unwrap_or_default();
        let attribute = |tag: &str, name: &str| {
            let tags = disk.split('<').filter(|text| text.starts_with(tag));
            let value = tags.filter_map(|text| text.split_once(&format!(" {name}='"))).next_back();
            value.and_then(|(_, rest)| rest.split('\'').next()).map(str::to_owned)
        };
        if let (Some(alias), Some(target)) = (attribute("alias ", "name"), attribute("target ", "dev")) {
            found.insert(alias, target);
        }
    }
    found
}

/// The folder of a machine's monitor: there a hypervisor may make sockets, whatever it is kept from else.
///
/// # Errors
/// [`AskError`].
pub fn folder(channel: &mut dyn Channel) -> Result<PathBuf, AskError> {
    let devices = channel.ask("query-chardev", json!({}))?;
    let found = devices.as_array().into_iter().flatten().find_map(monitor_socket);
    let folder = found.and_then(|path| path.parent().map(PathBuf::from));
    folder.ok_or_else(|| nonsense("query-chardev", "no monitor on a socket in the file system"))
}

fn monitor_socket(device: &Value) -> Option<PathBuf> {
    let label = device["label"].as_str()?;
    let place = device["filename"].as_str()?.strip_prefix("unix:")?;
    let path = place.split(',').next()?;
    (label == "charmonitor" && path.starts_with('/')).then(|| PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_are_seen_in_descriptions() {
        let channel = |state: &str| {
            format!(
                "<channel type='unix'>\n<source mode='bind' path='/run/x'/>\n\
                 <target type='virtio' name='org.qemu.guest_agent.0' state='{state}'/>\n</channel>"
            )
        };
        assert!(has_agent(&channel("connected")));
        assert!(!has_agent(&channel("disconnected")));
        assert!(!has_agent("<domain><name>org.qemu.guest_agent.0 state='connected'</name></domain>"));
    }

    #[test]
    fn disks_have_names_in_descriptions() {
        let described = "<domain><devices>\n<disk type='file' device='disk'>\n<source file='/a'/>\n\
            <target dev='vda' bus='virtio'/>\n<alias name='virtio-disk0'/>\n</disk>\n<disk type='file' device='cdrom'>\n\
            <target dev='sda' bus='sata'/>\n</disk>\n<interface><target dev='tap0'/><alias name='net0'/></interface></devices>";
        let expected = [("virtio-disk0".to_owned(), "vda".to_owned())].into();
        assert_eq!(targets(described), expected);
        assert_eq!(targets("<disk <target dev='"), BTreeMap::new());
    }

    #[test]
    fn the_monitor_tells_its_folder() {
        let device = json!({ "label": "charmonitor", "frontend-open": true,
            "filename": "unix:/var/lib/libvirt/qemu/domain-1-web/monitor.sock,server=on" });
        let expected = PathBuf::from("/var/lib/libvirt/qemu/domain-1-web/monitor.sock");
        assert_eq!(monitor_socket(&device), Some(expected));
        assert_eq!(monitor_socket(&json!({ "label": "charserial0", "filename": "unix:/x" })), None);
        assert_eq!(monitor_socket(&json!({ "label": "charmonitor", "filename": "pty" })), None);
    }
}
