//! Servers that this user knows: their authorities, and tokens for them, one file each.
//!
//! ```text
//!   ~/.config/backstay/servers/HOST:PORT.json   readable by nobody else
//! ```
//!
//! Never knows: how a token is got.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use reqwest::Url;
use serde::{Deserialize, Serialize};

use super::Token;
use crate::args::Common;
use crate::failure::Failure;

/// Where a server listens unless it was told otherwise.
const PORT: u16 = 7443;

/// The address of a server, as people type it.
pub(crate) fn url_of(text: &str) -> Result<Url, Failure> {
    let whole = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let url = Url::parse(&whole).ok().filter(|url| url.scheme() == "https" && url.has_host());
    let url = url.filter(|url| matches!(url.path(), "" | "/") && url.query().is_none() && url.username().is_empty());
    let mut url = url.ok_or_else(|| Failure::usage(format!("{text}: name the server as https://HOST:PORT")))?;
    // What is usual for web servers is not for this one.
    if url.port().is_none() {
        url.set_port(Some(PORT)).unwrap_or_default();
    }
    Ok(url)
}

/// The SHA-256 of the certificate of a server's authority: no other server is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Authority([u8; 32]);

impl Authority {
    /// From its hash.
    pub(crate) fn new(hash: [u8; 32]) -> Authority {
        Authority(hash)
    }

    /// From 64 hex digits, with colons or without.
    pub(crate) fn parse(text: &str) -> Result<Authority, Failure> {
        let digits: String = text.chars().filter(|c| *c != ':' && !c.is_whitespace()).collect();
        let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok();
        let hash = bytes.and_then(|bytes| bytes.try_into().ok());
        let wrong = || Failure::usage(format!("{text:?} is not the SHA-256 of an authority: it has 64 hex digits"));
        hash.map(Authority).ok_or_else(wrong)
    }

    /// As much of it as is compared.
    pub(super) fn beginning(&self) -> [u8; 16] {
        self.0[..16].try_into().expect("16 of 32 bytes")
    }
}

impl std::fmt::Display for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pairs: Vec<String> = self.0.iter().map(|byte| format!("{byte:02X}")).collect();
        f.write_str(&pairs.join(":"))
    }
}

/// What is kept of a server.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) url: String,
    pub(crate) authority: String,
    /// Who one is there.
    pub(crate) person: String,
    pub(crate) tokens: Vec<KeptToken>,
}

/// A token that is kept.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KeptToken {
    pub(crate) id: i64,
    pub(crate) role: String,
    pub(crate) scope: String,
    pub(crate) token: String,
    pub(crate) until: String,
}

/// Where that is kept.
pub(crate) struct Keeper(PathBuf);

impl Keeper {
    /// Of a server.
    pub(crate) fn of(url: &Url) -> Result<Keeper, Failure> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let base = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")));
        let missing = "nowhere to keep what makes a server known: set HOME or XDG_CONFIG_HOME";
        let base = base.ok_or_else(|| Failure::usage(missing))?;
        let name = format!("{}:{}.json", url.host_str().unwrap_or_default(), url.port().unwrap_or(PORT));
        Ok(Keeper(base.join("backstay/servers").join(name)))
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// What is kept; `None`: nothing.
    pub(crate) fn read(&self) -> Result<Option<Kept>, Failure> {
        let shown = self.0.display();
        let text = match fs::read_to_string(&self.0) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(|error| Failure::new(format!("{shown} cannot be read: {error}")))?,
        };
        if fs::metadata(&self.0).is_ok_and(|about| about.mode() & 0o077 != 0) {
            return Err(Failure::refused(format!(
                "{shown} holds tokens and others may read it; end them with `backstay logout`, or take that right away"
            )));
        }
        let damaged = |_| Failure::new(format!("{shown} is damaged; log in anew"));
        serde_json::from_str(&text).map(Some).map_err(damaged)
    }

    /// Keeps it: whole or not at all, and for this user alone.
    pub(crate) fn write(&self, kept: &Kept) -> Result<(), Failure> {
        let write = || -> std::io::Result<()> {
            let folder = self.0.parent().unwrap_or(Path::new("."));
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            let new = self.0.with_extension("new");
            drop(fs::remove_file(&new));
            let mut file = fs::File::options().write(true).create_new(true).mode(0o600).open(&new)?;
            file.write_all(serde_json::to_string_pretty(kept)?.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &self.0)
        };
        write().map_err(|error| Failure::new(format!("{} cannot be written: {error}", self.0.display())))
    }

    /// Keeps it no more.
    pub(crate) fn remove(&self) -> Result<(), Failure> {
        fs::remove_file(&self.0).map_err(|error| Failure::new(format!("{} stays: {error}", self.0.display())))
    }
}

/// By what a server is known, and what is shown to it.
pub(super) fn resolve(common: &Common, url: &Url) -> Result<(Authority, Vec<Token>), Failure> {
    let given = common.authority.as_deref().filter(|text| !text.is_empty()).map(Authority::parse).transpose()?;
    let file = common.token_file.as_deref().map(token_in).transpose()?;
    let kept = match (&given, &file) {
        (Some(_), Some(_)) => None,
        _ => Keeper::of(url)?.read()?,
    };
    let unknown = || {
        let how = format!("`backstay login {url}` makes it known");
        Failure::refused(match file {
            Some(_) => format!("{url} is not known yet: {how}, or name its authority with --authority"),
            None => format!("no token for {url}: {how}, or name a token's file with --token-file"),
        })
    };
    let authority = match (given, &kept) {
        (Some(authority), _) => authority,
        (None, Some(kept)) => Authority::parse(&kept.authority)?,
        (None, None) => return Err(unknown()),
    };
    match (&file, kept) {
        (Some(secret), _) => Ok((authority, vec![Token { role: None, secret: secret.clone() }])),
        (None, Some(kept)) => {
            let token = |kept: KeptToken| Token { role: Some(kept.role), secret: kept.token };
            Ok((authority, kept.tokens.into_iter().map(token).collect()))
        }
        (None, None) => Err(unknown()),
    }
}

fn token_in(path: &Path) -> Result<String, Failure> {
    let text = fs::read_to_string(path);
    let text = text.map_err(|e| Failure::new(format!("the token file {} cannot be read: {e}", path.display())))?;
    let line = text.lines().next().unwrap_or_default().trim().to_owned();
    let is_token = !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_graphic());
    let wrong = || Failure::usage(format!("the first line of the token file {} is no token", path.display()));
    is_token.then_some(line).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_as_people_type_them() {
        for right in ["backup:8443", "https://backup:8443", "https://[::1]:8443/", "10.0.0.1"] {
            assert!(url_of(right).is_ok(), "{right}");
        }
        for wrong in ["http://backup", "", "https://", "ftp://backup", "https://backup/api", "https://a@backup"] {
            assert!(url_of(wrong).is_err(), "{wrong}");
        }
        assert_eq!(url_of("backup").unwrap().as_str(), "https://backup:7443/");
    }

    #[test]
    fn authorities_as_they_are_printed() {
        let hash: [u8; 32] = std::array::from_fn(|n| n as u8 * 7);
        let authority = Authority::new(hash);
        assert_eq!(Authority::parse(&authority.to_string()).unwrap(), authority);
        assert_eq!(Authority::parse(&authority.to_string().replace(':', "").to_lowercase()).unwrap(), authority);
        assert!(Authority::parse("AA:BB").is_err() && Authority::parse("").is_err());
    }
}
