//! `backstay serve`.
//!
//! Never knows: the NBD protocol.

use std::net::ToSocketAddrs as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use backstay_env::volume::Volume;
use backstay_recover::nbd::{Export, Listen, Options, Server, StartError};
use backstay_vault::Vault;
use serde_json::json;

use crate::args::{At, Common};
use crate::failure::{Failure, sentence};
use crate::output::{self, say};
use crate::stop::Stop;
use crate::{spec, store};

/// How long clients get to receive answers when we stop.
const GRACE: Duration = Duration::from_secs(5);

pub(super) fn run(common: &Common, at: &At, listen: &str, allow_plain: bool) -> Result<(), Failure> {
    let place = place(listen)?;
    store::reading(common, |vault| serve(common, vault, at, (place, allow_plain)))
}

fn serve(common: &Common, vault: &Vault, at: &At, (place, allow_plain): (Listen, bool)) -> Result<(), Failure> {
    let found = spec::find(vault, at)?;
    let exports = match found.spec.partition {
        Some(number) => vec![export(format!("p{number}"), spec::volume(vault, &found)?)],
        None => spec::disks(vault, &found)?.into_iter().map(|d| export(d.info().name.clone(), d)).collect(),
    };
    let names: Vec<String> = exports.iter().map(|e| e.name.clone()).collect();
    let stop = Stop::listen()?;
    let options = Options { allow_plain, ..Options::default() };
    let server = Server::start(exports, &[place], options).map_err(|e| match e {
        StartError::Plain(_) => Failure::refused(format!("{e}; --allow-plain serves them all the same")),
        e => Failure::new(sentence(&e)),
    })?;
    let addresses: Vec<String> = server.addresses().iter().map(ToString::to_string).collect();
    match common.json {
        true => output::json(&json!({ "exports": names, "addresses": addresses, "point": found.point.number.0 }))?,
        false => addresses.iter().try_for_each(|a| say!("serving {} on {a}; Ctrl-C ends it", names.join(", ")))?,
    }
    while !stop.wait(Duration::from_secs(3600)) {}
    server.stop(GRACE);
    Ok(())
}

fn export(name: String, volume: Arc<dyn Volume>) -> Export {
    Export { name, description: String::new(), volume }
}

fn place(text: &str) -> Result<Listen, Failure> {
    if let Some(path) = text.strip_prefix("unix:") {
        return Ok(Listen::Unix(PathBuf::from(path)));
    }
    let found = text.to_socket_addrs().ok().and_then(|mut a| a.next());
    let bad = || Failure::usage(format!("{text:?} is not an address; write HOST:PORT or unix:PATH"));
    found.map(Listen::Tcp).ok_or_else(bad)
}
