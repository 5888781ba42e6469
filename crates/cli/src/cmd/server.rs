//! `backstay server`.
//!
//! Never knows: how a server works.

use std::path::Path;
use std::time::Duration;

use backstay_server::{Running, ServerError, Settings, StorePlace};
use serde_json::json;

use crate::args::{Common, Server};
use crate::failure::{Failure, sentence};
use crate::output::{self, say};
use crate::stop::Stop;
use crate::store::{self, Location};

pub(super) fn run(common: &Common, args: &Server) -> Result<(), Failure> {
    let stop = Stop::listen()?;
    let name = args.name.clone().unwrap_or_else(host_name);
    let mut settings = Settings::new(&args.data, &args.listen, &name);
    settings.vault.clone_from(&common.vault);
    settings.restores.clone_from(&args.restores);
    settings.store = common.store.as_deref().filter(|s| !s.is_empty()).map(|_| place(common)).transpose()?;
    let running = Running::start(settings).map_err(failure)?;
    tell(common, &running, &name, &args.data)?;
    while !stop.wait(Duration::from_secs(3600)) {}
    drop(running);
    if common.json { Ok(()) } else { say!("the server has ended") }
}

/// The store that the command line names. One that is not there yet is made, with a passphrase of the server's own.
fn place(common: &Common) -> Result<StorePlace, Failure> {
    let location = Location::of(common)?;
    let seams = location.seams(true).map_err(|failure| failure.about(&location))?;
    let file = common.passphrase_file.as_deref();
    let passphrase = file.map(|file| store::passphrase(Some(file), false)).transpose()?;
    Ok(StorePlace { seams, folder: location.folder().map(Path::to_owned), passphrase })
}

fn tell(common: &Common, running: &Running, name: &str, data: &Path) -> Result<(), Failure> {
    let url = format!("https://{name}:{}", running.address().port());
    let fingerprint = running.server().authority.fingerprint();
    if common.json {
        return output::json(&json!({
            "url": url,
            "address": running.address().to_string(),
            "ca_sha256": fingerprint,
            "setup_code": running.setup_code(),
            "data": data.display().to_string(),
        }));
    }
    say!("address     {url}")?;
    say!("authority   SHA-256 {fingerprint}")?;
    if let Some(code) = running.setup_code() {
        say!("setup code  {code}")?;
        say!(
            "Open the address, compare the authority, and make the first administrator with the code; it is good until this ends."
        )?;
    }
    Ok(())
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn failure(error: ServerError) -> Failure {
    let text = sentence(&error);
    match error {
        ServerError::Vault(error) => error.into(),
        ServerError::Folder(error) => error.into(),
        ServerError::Busy(_) => Failure::refused(format!("{text}; end it first, or name another folder with --data")),
        ServerError::Port { .. } => Failure::new(format!("{text}; name another address with --listen")),
        ServerError::Name(_) => Failure::usage(format!("{text}; name another with --name")),
        _ => Failure::new(text),
    }
}
