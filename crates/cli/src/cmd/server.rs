//! `backstay server`.
//!
//! Never knows: how a server works.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use backstay_capture::heap;
use backstay_server::{JobHours, Recovered, Running, ServerError, Settings, StorePlace};
use serde_json::{Value, json};

use crate::args::{Common, Server};
use crate::config;
use crate::config::server::{Meant, resolve};
use crate::failure::{Failure, sentence};
use crate::log;
use crate::moment;
use crate::output::{self, note, say};
use crate::service;
use crate::stop::Stop;
use crate::store::{self, Location};

/// Heaps that threads of all sessions share.
const HEAPS: u8 = 4;

/// How often it looks whether somebody else has taken the vault over.
const LOOK: Duration = Duration::from_secs(5);

pub(super) fn run(common: &Common, args: &Server) -> Result<(), Failure> {
    let meant = resolve(common, args)?;
    if args.check_config {
        return check(common, &meant);
    }
    if args.recover {
        return recover(common, &meant);
    }
    log::begin(args.log);
    // Before there are threads: each session has one, most of the time idle.
    heap::share(HEAPS);
    let stop = Stop::listen()?;
    let running = Running::start(settings(&meant)?).map_err(failure)?;
    tell(common, &running, &meant)?;
    service::ready();
    let pulse = service::pulse();
    while !stop.wait(pulse.map_or(LOOK, |pulse| pulse.min(LOOK))) {
        if running.is_superseded() {
            let vault = &meant.vault;
            return Err(Failure::refused(format!(
                "another server has taken over vault {vault}; this one has ended, and nothing of its data was removed"
            )));
        }
        if pulse.is_some() && running.is_alive() {
            service::alive();
        }
    }
    service::stopping();
    drop(running);
    if common.json { Ok(()) } else { say!("the server has ended") }
}

fn settings(meant: &Meant) -> Result<Settings, Failure> {
    let (name, others) = meant.names.split_first().expect("a server has a name");
    let mut settings = Settings::new(&meant.data, &meant.listen, name);
    settings.other_names = others.to_vec();
    settings.vault.clone_from(&meant.vault);
    settings.restores.clone_from(&meant.restores);
    settings.words = meant.words();
    settings.store = meant.store.as_deref().map(|store| place(store, meant.passphrase_file.as_deref())).transpose()?;
    settings.job_hours =
        meant.job_hours.map(|hours| JobHours { words: hours.to_string(), hold: Arc::new(move |now| hours.hold(now)) });
    Ok(settings)
}

/// Brings a server back, and says what it is like.
fn recover(common: &Common, meant: &Meant) -> Result<(), Failure> {
    let recovered = backstay_server::recover(&settings(meant)?).map_err(failure)?;
    let file = meant.data.join(config::server::FILE);
    let words = format!("{}{}", recovered.settings, meant.store_in_words());
    let written = std::fs::write(&file, words);
    written.map_err(|e| Failure::new(format!("{} cannot be written: {e}", file.display())))?;
    let Recovered { at, passed_over, machines, records, .. } = &recovered;
    passed_over.iter().for_each(|why| note!("note: {why}; what was kept before that is taken"));
    if common.json {
        return output::json(&json!({
            "kept": moment::rfc3339(*at), "machines": machines, "records": records, "passed_over": passed_over,
            "data": meant.data, "settings": file,
        }));
    }
    say!("people, machines and settings are those of {}; {machines} machines can connect", moment::show(*at))?;
    say!("the audit log goes on with record {}", records - 1)?;
    say!("look at {}, then start: backstay server --data {}", file.display(), meant.data.display())
}

/// Says what a server would be like, if it can be.
fn check(common: &Common, meant: &Meant) -> Result<(), Failure> {
    if let (Some(_), Some(file)) = (&meant.store, &meant.passphrase_file) {
        store::passphrase(Some(file), false)?;
    }
    let all = meant.json();
    if common.json {
        return output::json(&all);
    }
    for (key, value) in all.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        let words = match value {
            Value::Array(all) => all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
            one => one.as_str().unwrap_or_default().to_owned(),
        };
        say!("{key:<16} {words}")?;
    }
    Ok(())
}

/// A store that is not in the data folder. One that is not there yet is made, with a passphrase of the server's own.
fn place(store: &str, passphrase_file: Option<&Path>) -> Result<StorePlace, Failure> {
    let location = Location::parse(store)?;
    let seams = location.seams(true).map_err(|failure| failure.about(&location))?;
    let passphrase = passphrase_file.map(|file| store::passphrase(Some(file), false)).transpose()?;
    Ok(StorePlace { seams, folder: location.folder().map(Path::to_owned), passphrase })
}

fn tell(common: &Common, running: &Running, meant: &Meant) -> Result<(), Failure> {
    let url = format!("https://{}:{}", meant.names[0], running.address().port());
    let fingerprint = running.server().authority.fingerprint();
    if common.json {
        return output::json(&json!({
            "url": url,
            "address": running.address().to_string(),
            "ca_sha256": fingerprint,
            "log_key": running.log_key(),
            "setup_code": running.setup_code(),
            "data": meant.data.display().to_string(),
        }));
    }
    say!("address     {url}")?;
    say!("authority   SHA-256 {fingerprint}")?;
    say!("log's key   {}", running.log_key())?;
    if let Some(code) = running.setup_code() {
        say!("setup code  {code}")?;
        say!(
            "Open the address, compare the authority, and make the first administrator with the code; it is good until this ends."
        )?;
    }
    Ok(())
}

fn failure(error: ServerError) -> Failure {
    let text = sentence(&error);
    match error {
        ServerError::Vault(error) => error.into(),
        ServerError::Folder(error) => error.into(),
        ServerError::Busy(_) => Failure::refused(format!("{text}; end it first, or name another folder with --data")),
        ServerError::Claimed { .. } => Failure::refused(format!(
            "{text}; if that one is dead, bring it back with --recover into a new --data folder: see docs/server.md"
        )),
        ServerError::OldLog(_) => Failure::refused(format!(
            "{text}; do not go on from an old copy of it: set the data folder aside, and bring the server back with --recover"
        )),
        ServerError::Newer(_) => {
            Failure::refused(format!("{text}; install the version that was here before, or a newer one"))
        }
        ServerError::NotNew(_) => Failure::refused(format!("{text}; name a new folder with --data")),
        ServerError::Port { .. } => Failure::new(format!("{text}; name another address with --listen")),
        ServerError::Name(_) => Failure::usage(format!("{text}; name another with --name")),
        _ => Failure::new(text),
    }
}
