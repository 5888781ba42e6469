//! `backstay login` and `logout`: a server that this user knows, and tokens for it.
//!
//! Whoever logs in compares the authority once, as with any first contact; from then on no other server is spoken to.
//!
//! Never knows: what tokens are used for.

use std::io::IsTerminal as _;
use std::path::Path;

use backstay_env::real::link::look_at;
use reqwest::{Method, Url};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::integrity::agreed;
use crate::args::{Common, Login};
use crate::failure::{Failure, sentence};
use crate::output::{self, note, say};
use crate::remote::{Authority, Keeper, Kept, KeptToken, Need, Remote, Token, url_of};
use crate::{remote, store};

/// The header that requests of a session carry.
const CSRF: &str = "x-backstay-csrf";

pub(super) fn login(common: &Common, args: &Login) -> Result<(), Failure> {
    if !(1..=366).contains(&args.days) {
        return Err(Failure::usage("--days is 1 to 366"));
    }
    let url = url_of(&args.url)?;
    let keeper = Keeper::of(&url)?;
    let authority = authority(common, &url, &keeper)?;
    let remote = Remote::new(url.clone(), &authority, Vec::new())?;
    let name = args.name.clone().map_or_else(|| asked("Name: "), Ok)?;
    let session = session(&remote, &name, args.password_file.as_deref())?;
    let tokens = tokens(&remote, &session, args.days);
    // The session is of no more use, whatever became of the tokens; it ends by itself if it cannot be ended now.
    let end = remote.request(Need::See, Method::POST, &["logout"], &[]).header(CSRF, csrf(&session));
    drop(remote.answer(end));
    let tokens = tokens?;
    let roles: Vec<String> = tokens.iter().map(|token| format!("{} for {}", token.role, token.scope)).collect();
    let until = tokens.first().map(|token| token.until.clone());
    let kept = Kept { url: url.to_string(), authority: authority.to_string(), person: name.clone(), tokens };
    keeper.write(&kept)?;
    if common.json {
        return output::json(&json!({
            "url": url.as_str(), "authority": authority.to_string(), "person": name, "roles": roles, "until": until,
            "file": keeper.path(),
        }));
    }
    say!("{name} is logged in at {url}: {}", roles.join(", "))?;
    say!("`backstay logout {url}` ends that; by itself it ends at {}", until.unwrap_or_default())
}

/// The authority that was named, or is known, or that somebody says is right.
fn authority(common: &Common, url: &Url, keeper: &Keeper) -> Result<Authority, Failure> {
    if let Some(named) = common.authority.as_deref().filter(|text| !text.is_empty()) {
        return Authority::parse(named);
    }
    if let Some(kept) = keeper.read()? {
        return Authority::parse(&kept.authority);
    }
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let seen = look_at(host, url.port().unwrap_or_default());
    let seen = seen.map_err(|error| Failure::new(format!("{url} cannot be reached: {}", sentence(&error))))?;
    let authority = Authority::new(seen);
    let what = format!("{url} is of an authority with SHA-256 {authority}");
    if !std::io::stdin().is_terminal() {
        return Err(Failure::refused(format!(
            "{what}; compare that with what the server printed, and name it with --authority"
        )));
    }
    note!("{what}");
    agreed("The server printed the same when it started. Type yes if they are the same:").map(|()| authority)
}

fn asked(what: &str) -> Result<String, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage("who? Say it with --name, or use a terminal"));
    }
    note!("{what}");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(|e| Failure::new(format!("nothing can be read: {e}")))?;
    Ok(line.trim().to_owned())
}

/// A session, by name, password, and a second factor if there is one.
fn session(remote: &Remote, name: &str, file: Option<&Path>) -> Result<Value, Failure> {
    let password = match file {
        Some(file) => store::first_line(file, "password")?,
        None => {
            let typed = rpassword::prompt_password("Password: ").map(Zeroizing::new);
            let missing = |_| Failure::usage("no password: name a file with --password-file, or use a terminal");
            Zeroizing::new(typed.map_err(missing)?.as_bytes().to_vec())
        }
    };
    let password = String::from_utf8_lossy(&password).into_owned();
    let log_in = |code: Option<&str>| {
        let body = json!({ "name": name, "password": password, "totp": code });
        remote.post(Need::See, &["login"], &body)
    };
    match log_in(None) {
        Err(failure) if failure.to_string().contains("second factor") && std::io::stdin().is_terminal() => {
            log_in(Some(&asked("Code of the second factor: ")?))
        }
        outcome => outcome,
    }
}

fn csrf(session: &Value) -> String {
    session["csrf"].as_str().unwrap_or_default().to_owned()
}

/// A token for each role.
fn tokens(remote: &Remote, session: &Value, days: u16) -> Result<Vec<KeptToken>, Failure> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let grants = session["grants"].as_array().cloned().unwrap_or_default();
    if grants.is_empty() {
        return Err(Failure::refused("there is no role to work with; an administrator gives them"));
    }
    let one = |grant: &Value| {
        let (role, scope) = (remote::text(grant, "role")?, remote::text(grant, "scope")?);
        let body = json!({ "name": format!("backstay on {host}"), "role": role, "scope": scope, "days": days });
        let request = remote.request(Need::See, Method::POST, &["me", "tokens"], &[]).header(CSRF, csrf(session));
        let made = remote.answer(request.json(&body))?;
        let id = made["id"].as_i64().unwrap_or_default();
        Ok(KeptToken { id, role, scope, token: remote::text(&made, "token")?, until: remote::text(&made, "until")? })
    };
    grants.iter().map(one).collect()
}

pub(super) fn logout(common: &Common, url: &str) -> Result<(), Failure> {
    let url = url_of(url)?;
    let keeper = Keeper::of(&url)?;
    let missing = || Failure::new(format!("{url} is not known to this user; nobody is logged in there"));
    let kept = keeper.read()?.ok_or_else(missing)?;
    let authority = Authority::parse(&kept.authority)?;
    let mut trouble = None;
    for token in &kept.tokens {
        // Each ends itself.
        let own = vec![Token { role: None, secret: token.token.clone() }];
        let remote = Remote::new(url.clone(), &authority, own)?;
        trouble = remote.delete(Need::See, &["me", "tokens", &token.id.to_string()]).err().or(trouble);
    }
    keeper.remove()?;
    if let Some(why) = trouble {
        note!("note: not all tokens could be ended, and they end by themselves later: {why}");
    }
    match common.json {
        true => output::json(&json!({ "url": url.as_str(), "person": kept.person })),
        false => say!("{} is logged out at {url}", kept.person),
    }
}
