//! What makes this machine known to a server: written by `enroll`, read by `agent`.
//!
//! ```text
//!   server.json   address of the server, name of the machine
//!   authority.pem certificate of the server's authority: no other server is trusted
//!   machine.pem   certificate of this machine
//!   machine.key   its private key, for root alone
//!   next.key, next.pem   what takes the place of these two; there only if that was broken off
//! ```
//!
//! Never knows: how certificates are made.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use backstay_agent::Enrolled;
use backstay_env::real::link::Identity;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// What makes this machine known to a server.
pub(crate) struct Enrolment {
    /// The machine's name, as the server knows it.
    pub(crate) machine: String,
    /// Host and port of the server.
    pub(crate) address: String,
    /// What the connection needs.
    pub(crate) enrolled: Enrolled,
}

#[derive(Serialize, Deserialize)]
struct About {
    address: String,
    machine: String,
}

impl Enrolment {
    /// Reads it.
    pub(crate) fn read(dir: &Path) -> Result<Enrolment, Failure> {
        promote(dir).map_err(|error| Failure::new(format!("{} cannot be written: {error}", dir.display())))?;
        let text = |name: &str| {
            let path = dir.join(name);
            std::fs::read_to_string(&path).map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => Failure::new(format!(
                    "{} is missing: this machine was not enrolled; run `backstay enroll` first",
                    path.display()
                )),
                _ => Failure::new(format!("{} cannot be read: {error}", path.display())),
            })
        };
        let about = text("server.json")?;
        let About { address, machine } = serde_json::from_str(&about)
            .map_err(|_| Failure::new(format!("{} is damaged; enroll anew", dir.join("server.json").display())))?;
        let identity = Identity { certificate: text("machine.pem")?, key: text("machine.key")? };
        let enrolled = Enrolled { address: address.clone(), authority: text("authority.pem")?, identity };
        Ok(Enrolment { machine, address, enrolled })
    }

    /// Puts another certificate and its key in the place of those before: both, or none, whenever this is broken off.
    pub(crate) fn renew(dir: &Path, identity: &Identity) -> Result<(), Failure> {
        let write = || {
            write(dir, "next.key", &identity.key)?;
            // From here on it is done.
            write(dir, "next.pem", &identity.certificate)?;
            promote(dir)
        };
        write().map_err(|error| Failure::new(format!("{} cannot be written: {error}", dir.display())))
    }

    /// Writes it. `server.json` comes last: without it nothing else counts.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), Failure> {
        let failed = |error: std::io::Error| Failure::new(format!("{} cannot be written: {error}", dir.display()));
        std::fs::create_dir_all(dir).map_err(failed)?;
        // A renewal that was broken off is of the enrolment before.
        for stale in ["next.pem", "next.key"] {
            match std::fs::remove_file(dir.join(stale)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
                _ => {}
            }
        }
        let about = About { address: self.address.clone(), machine: self.machine.clone() };
        let about = serde_json::to_string(&about).map_err(|error| failed(error.into()))?;
        let Enrolled { authority, identity, .. } = &self.enrolled;
        let files =
            [("authority.pem", authority), ("machine.pem", &identity.certificate), ("machine.key", &identity.key)];
        for (name, content) in files.into_iter().chain([("server.json", &about)]) {
            write(dir, name, content).map_err(failed)?;
        }
        Ok(())
    }
}

/// Ends what [`Enrolment::renew`] began, if it came so far that both files are there.
fn promote(dir: &Path) -> std::io::Result<()> {
    let rename = |from: &str, to: &str| match std::fs::rename(dir.join(from), dir.join(to)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        renamed => renamed,
    };
    if !dir.join("next.pem").exists() {
        return Ok(());
    }
    rename("next.key", "machine.key")?;
    std::fs::File::open(dir)?.sync_all()?;
    rename("next.pem", "machine.pem")?;
    std::fs::File::open(dir)?.sync_all()
}

/// Whole or not at all, and for root alone.
fn write(dir: &Path, name: &str, content: &str) -> std::io::Result<()> {
    let new = dir.join(format!(".{name}.new"));
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&new, dir.join(name))?;
    std::fs::File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewal_that_is_broken_off_anywhere_leaves_a_pair() {
        let identity = |which: &str| Identity { certificate: format!("pem {which}"), key: format!("key {which}") };
        let read = |dir: &Path| {
            Enrolment::read(dir).map(|e| (e.enrolled.identity.certificate, e.enrolled.identity.key)).unwrap()
        };
        let (old, new) = (("pem old".to_owned(), "key old".to_owned()), ("pem new".to_owned(), "key new".to_owned()));
        // How far it came, and what is there then.
        for (steps, expected) in [(1, &old), (2, &new), (3, &new)] {
            let dir = tempfile::tempdir().unwrap();
            let dir = dir.path();
            let enrolled = Enrolled { address: "a:1".into(), authority: "ca".into(), identity: identity("old") };
            Enrolment { machine: "web".into(), address: "a:1".into(), enrolled }.write(dir).unwrap();
            write(dir, "next.key", "key new").unwrap();
            if steps >= 2 {
                write(dir, "next.pem", "pem new").unwrap();
            }
            if steps >= 3 {
                std::fs::rename(dir.join("next.key"), dir.join("machine.key")).unwrap();
            }
            assert_eq!(read(dir), *expected, "after {steps}");
        }
        let dir = tempfile::tempdir().unwrap();
        let enrolled = Enrolled { address: "a:1".into(), authority: "ca".into(), identity: identity("old") };
        Enrolment { machine: "web".into(), address: "a:1".into(), enrolled }.write(dir.path()).unwrap();
        Enrolment::renew(dir.path(), &identity("new")).unwrap();
        assert_eq!(read(dir.path()), new);
    }
}
