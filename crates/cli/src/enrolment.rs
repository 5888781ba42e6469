//! What makes this machine known to a server: written by `enroll`, read by `agent`.
//!
//! ```text
//!   server.json   address of the server, name of the machine
//!   authority.pem certificate of the server's authority: no other server is trusted
//!   machine.pem   certificate of this machine
//!   machine.key   its private key, for root alone
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

    /// Writes it. `server.json` comes last: without it nothing else counts.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), Failure> {
        let failed = |error: std::io::Error| Failure::new(format!("{} cannot be written: {error}", dir.display()));
        std::fs::create_dir_all(dir).map_err(failed)?;
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

/// Whole or not at all, and for root alone.
fn write(dir: &Path, name: &str, content: &str) -> std::io::Result<()> {
    let new = dir.join(format!(".{name}.new"));
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&new, dir.join(name))?;
    std::fs::File::open(dir)?.sync_all()
}
