//! `server.toml`: how a server is to be, as typed in a file and on the command line, and as meant.
//!
//! Never knows: how a server works.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use backstay_format::names::is_vault_name;
use serde::Deserialize;

use super::{Absolute, Value};
use crate::args::{Common, Server};
use crate::failure::Failure;
use crate::hours::Hours;
use crate::store::Location;

/// What the file in the data folder is called.
pub(crate) const FILE: &str = "server.toml";
/// Where it listens, if nobody says.
const LISTEN: &str = "0.0.0.0:7443";

/// The file, as typed.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Typed {
    listen: Option<Value<Listen>>,
    names: Vec<Value<HostName>>,
    store: Option<Value<Place>>,
    passphrase_file: Option<Value<Absolute>>,
    vault: Option<Value<VaultName>>,
    restores: Option<Value<Absolute>>,
    job_hours: Option<Value<Hours>>,
}

/// How a server is to be.
#[derive(Debug)]
pub(crate) struct Meant {
    pub(crate) data: PathBuf,
    pub(crate) listen: String,
    /// What it is called; the first is what people are told.
    pub(crate) names: Vec<String>,
    /// `None`: in the data folder.
    pub(crate) store: Option<String>,
    /// `None`: its own.
    pub(crate) passphrase_file: Option<PathBuf>,
    pub(crate) vault: String,
    pub(crate) restores: Option<PathBuf>,
    /// When jobs of the calendar begin; `None`: at all hours.
    pub(crate) job_hours: Option<Hours>,
}

/// What the command line and the file mean together.
pub(crate) fn resolve(common: &Common, args: &Server) -> Result<Meant, Failure> {
    let typed: Typed = super::read(args.config.as_deref(), &args.data.join(FILE))?;
    let flag = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let names = match args.name.is_empty() {
        true => typed.names.into_iter().map(|name| name.0.0).collect(),
        false => args.name.clone(),
    };
    // A passphrase is of one store: that of the file's store is not tried on another.
    let other =
        flag(&common.store).is_some() && common.store.as_deref() != typed.store.as_ref().map(|store| &*store.0.0);
    let passphrase_file = typed.passphrase_file.map(PathBuf::from).filter(|_| !other);
    Ok(Meant {
        data: args.data.clone(),
        listen: flag(&args.listen).or(typed.listen.map(|l| l.0.0)).unwrap_or_else(|| LISTEN.to_owned()),
        names: if names.is_empty() { vec![host_name()] } else { names },
        store: flag(&common.store).or(typed.store.map(|store| store.0.0)),
        passphrase_file: common.passphrase_file.clone().or(passphrase_file),
        vault: common.vault.clone().or(typed.vault.map(|v| v.0.0)).unwrap_or_else(|| common.vault().to_owned()),
        restores: args.restores.clone().or(typed.restores.map(PathBuf::from)),
        job_hours: args.job_hours.or(typed.job_hours.map(|hours| hours.0)),
    })
}

impl Meant {
    /// What `--json` says of it.
    pub(crate) fn json(&self) -> serde_json::Value {
        let Meant { data, listen, names, store, passphrase_file, vault, restores, job_hours } = self;
        let job_hours = job_hours.map(|hours| hours.to_string());
        serde_json::json!({
            "data": data, "listen": listen, "names": names, "store": store.as_ref().map_or(self.own_store(), PathBuf::from),
            "passphrase_file": passphrase_file, "vault": vault, "restores": restores, "job_hours": job_hours,
        })
    }

    /// As a file, but for where the store is: that is known to whoever has it.
    pub(crate) fn words(&self) -> String {
        let line = |key: &str, value: serde_json::Value| format!("{key} = {value}\n");
        let mut words = line("listen", self.listen.as_str().into()) + &line("names", self.names.clone().into());
        words += &line("vault", self.vault.as_str().into());
        // Strings and lists of them are written alike in JSON and in TOML.
        let restores = self.restores.as_ref().map(|dir| line("restores", dir.to_string_lossy().into()));
        let hours = self.job_hours.map(|hours| line("job_hours", hours.to_string().into()));
        words.extend(restores.into_iter().chain(hours));
        words
    }

    /// Where the store is, as a line of a file.
    pub(crate) fn store_in_words(&self) -> String {
        let whole = |store: &String| match store.contains("://") {
            true => store.clone(),
            false => std::path::absolute(store).map_or_else(|_| store.clone(), |path| path.display().to_string()),
        };
        let line = |store: String| format!("store = {}\n", serde_json::Value::from(store));
        self.store.as_ref().map(whole).map_or_else(String::new, line)
    }

    /// Where the store is that is in no other place.
    pub(crate) fn own_store(&self) -> PathBuf {
        self.data.join("store")
    }
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// HOST:PORT.
#[derive(Debug)]
struct Listen(String);

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let right = text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        if right { Ok(Listen(text.to_owned())) } else { Err(format!("{text:?} is not HOST:PORT, such as {LISTEN}")) }
    }
}

/// A name that certificates can have.
#[derive(Debug)]
struct HostName(String);

impl FromStr for HostName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':'));
        let right = plain && !text.is_empty() && text.len() <= 253;
        if right { Ok(HostName(text.to_owned())) } else { Err(format!("{text:?} is not the name of a host")) }
    }
}

/// A folder or a bucket.
#[derive(Debug)]
struct Place(String);

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match Location::parse(text).map_err(|failure| failure.to_string())? {
            Location::Folder(path) if !Path::is_absolute(&path) => Err(format!("{text:?} does not begin at /")),
            _ => Ok(Place(text.to_owned())),
        }
    }
}

/// A vault.
#[derive(Debug)]
struct VaultName(String);

impl FromStr for VaultName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if is_vault_name(text) { Ok(VaultName(text.to_owned())) } else { Err(crate::args::NOT_A_VAULT.to_owned()) }
    }
}
