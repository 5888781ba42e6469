//! Which virtual machine, as written: `qemu:SOCKET[#NODE,...]` or `libvirt:DOMAIN[#NODE,...]`.
//!
//! Never knows: whether it is there.

use std::path::Path;

use backstay_hypervisor::agent::Way;

use crate::failure::Failure;

/// A virtual machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spec {
    /// How it is reached.
    pub(crate) way: Way,
    /// Its disks that are meant; all if none is named.
    pub(crate) disks: Vec<String>,
}

impl Spec {
    /// From a source of the command line; `None` for one that is none.
    pub(crate) fn parse(text: &str) -> Result<Option<Spec>, Failure> {
        let (kind, rest) = text.split_once(':').unwrap_or_default();
        let (name, disks) = rest.split_once('#').map_or((rest, None), |(name, disks)| (name, Some(disks)));
        let way = match kind {
            "qemu" => Way::Socket(name.into()),
            "libvirt" => Way::Domain(name.to_owned()),
            _ => return Ok(None),
        };
        let disks: Vec<String> = disks.into_iter().flat_map(|disks| disks.split(',')).map(str::to_owned).collect();
        // What begins like an option would be one to virsh.
        if name.is_empty() || name.starts_with('-') || disks.iter().any(String::is_empty) {
            return Err(Failure::usage(format!("{text:?} is not qemu:SOCKET#DISK,... or libvirt:DOMAIN#DISK,...")));
        }
        Ok(Some(Spec { way, disks }))
    }

    /// What it is called if nobody gives it a name.
    pub(crate) fn name(&self) -> Option<&str> {
        match &self.way {
            Way::Domain(name) => Some(name),
            Way::Socket(_) => None,
        }
    }

    /// The folder of its monitor's socket, if that is known.
    pub(crate) fn folder(&self) -> Option<&Path> {
        match &self.way {
            Way::Socket(path) => path.parent(),
            Way::Domain(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_forms() {
        let spec = |text: &str| Spec::parse(text).map(|s| s.map(|s| (s.way, s.disks))).map_err(|e| e.to_string());
        let socket = |path: &str| Way::Socket(path.into());
        assert_eq!(spec("qemu:/run/a.sock"), Ok(Some((socket("/run/a.sock"), vec![]))));
        assert_eq!(spec("qemu:a#x,y"), Ok(Some((socket("a"), vec!["x".into(), "y".into()]))));
        assert_eq!(spec("libvirt:web#vda"), Ok(Some((Way::Domain("web".into()), vec!["vda".into()]))));
        for other in ["/dev/sda", "disk.img", "a:b", ""] {
            assert_eq!(spec(other), Ok(None), "{other}");
        }
        for bad in ["qemu:", "libvirt:#a", "libvirt:web#", "qemu:a#x,,y", "libvirt:--help"] {
            assert!(spec(bad).is_err(), "{bad}");
        }
    }
}
