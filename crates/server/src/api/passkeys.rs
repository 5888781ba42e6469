//! Passkeys: making them, showing them to log in, taking them away.
//!
//! Never knows: how a passkey is checked.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use backstay_audit::Event;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use webauthn_rs::prelude::{Passkey, Webauthn};

use super::body::Body;
use super::called::Called;
use super::error::{Answer, Failure};
use super::guard::{Caller, From};
use super::login::{Me, begin, right_password};
use super::me::oneself;
use crate::Server;
use crate::catalogue::passkeys::Kept;
use crate::catalogue::people::Person;
use crate::moment::rfc3339;
use crate::notice::plain;
use crate::people::passkey::{self, Asked};

/// Passkeys of one person.
const MOST: usize = 20;

/// A passkey.
#[derive(Serialize, ToSchema)]
pub(crate) struct PasskeyText {
    id: i64,
    name: String,
    /// The name of the server that it belongs to: it is shown where the server is called that.
    called: String,
    created: String,
    /// When it was shown last.
    used: Option<String>,
}

/// A passkey that is to be made.
#[derive(Deserialize, ToSchema)]
pub(crate) struct NewPasskey {
    /// The password, once more; for who has none, a session of the last ten minutes is enough.
    password: Option<String>,
    /// What people call it.
    name: String,
}

/// What a browser is asked to do.
#[derive(Serialize, ToSchema)]
pub(crate) struct Ceremony {
    /// To be sent back with the answer, within five minutes.
    ceremony: String,
    /// For `navigator.credentials.create` or `get`; byte strings are base64url.
    #[schema(value_type = Object)]
    options: Value,
}

/// What a browser answered.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Answered {
    ceremony: String,
    /// What `navigator.credentials` gave, with byte strings as base64url.
    #[schema(value_type = Object)]
    credential: Value,
}

/// A passkey that was made.
#[derive(Serialize, ToSchema)]
pub(crate) struct Made {
    id: i64,
}

/// Who wants to show a passkey.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Show {
    /// With the password: the passkey is the second factor. Nothing: any passkey of this server, alone.
    name: Option<String>,
    password: Option<String>,
}

/// The name that the server is called by, with what asks for its passkeys.
fn party<'s>(server: &'s Server, called: &Called) -> Result<(&'s str, &'s Webauthn), Failure> {
    server.passkeys.of(called.name()).ok_or_else(|| {
        let names: Vec<&str> = server.passkeys.names().collect();
        let none = Failure::conflict(format!("passkeys belong to a name of the server, and {} is none", called.name()));
        match names.is_empty() {
            true => none.hint("start the server with --name"),
            false => none.hint(&format!("open it as {}", names.join(" or "))),
        }
    })
}

fn wrong() -> Failure {
    Failure::wrong("this is not an answer to what was asked")
}

/// Remembers what was asked.
fn ceremony(server: &Server, from: &From, asked: Option<(Value, Asked)>) -> Result<Json<Ceremony>, Failure> {
    let (options, asked) = asked.ok_or_else(|| Failure::broken("no passkey can be asked for"))?;
    let ceremony = HEXLOWER.encode(&server.random::<16>());
    match server.ceremonies.put(&ceremony, &from.0, asked) {
        true => Ok(Json(Ceremony { ceremony, options })),
        false => Err(Failure::too_many("too many log in at once", 10)),
    }
}

/// Those that belong to a name: no browser shows others there.
fn keys(kept: &[Kept], party: &str) -> Vec<Passkey> {
    kept.iter().filter(|kept| kept.party == party).map(|kept| kept.key.clone()).collect()
}

/// Lists one's own passkeys.
#[utoipa::path(get, path = "/api/v1/me/passkeys", responses(
    (status = 200, body = Vec<PasskeyText>), (status = "4XX", body = Answer)))]
pub(crate) async fn list(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Vec<PasskeyText>>, Failure> {
    let text = |kept: Kept| PasskeyText {
        id: kept.id,
        name: kept.name,
        called: kept.party,
        created: rfc3339(kept.created),
        used: kept.used.map(rfc3339),
    };
    Ok(Json(server.catalogue.passkeys(caller.id).await?.into_iter().map(text).collect()))
}

/// Asks for a new passkey.
#[utoipa::path(post, path = "/api/v1/me/passkeys", request_body = NewPasskey, responses(
    (status = 200, body = Ceremony), (status = "4XX", body = Answer)))]
pub(crate) async fn offer(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Extension(from): Extension<From>,
    called: Called,
    Body(new): Body<NewPasskey>,
) -> Result<Json<Ceremony>, Failure> {
    let (called, party) = party(&server, &called)?;
    if new.name.is_empty() || new.name.len() > 100 {
        return Err(Failure::wrong("a passkey has a name of at most 100 bytes"));
    }
    let person = oneself(&server, &caller, new.password.as_deref()).await?;
    if new.password.is_none() {
        caller.check_recent(&server)?;
    }
    let kept = server.catalogue.passkeys(person.id).await?;
    if kept.len() >= MOST {
        return Err(Failure::conflict(format!("a person has at most {MOST} passkeys")));
    }
    let handle = server.catalogue.handle(person.id, server.random()).await?;
    let who = (person.id, handle, &*person.name);
    ceremony(&server, &from, passkey::make(party, who, (&plain(&new.name, 100), &keys(&kept, called))))
}

/// Keeps the passkey that was made. From now on it is asked for besides the password.
#[utoipa::path(post, path = "/api/v1/me/passkeys/confirm", request_body = Answered, responses(
    (status = 201, body = Made), (status = "4XX", body = Answer)))]
pub(crate) async fn confirm(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    called: Called,
    Body(answered): Body<Answered>,
) -> Result<(StatusCode, Json<Made>), Failure> {
    let (called, party) = party(&server, &called)?;
    let Some(Asked::Make(person, name, state)) = server.ceremonies.take(&answered.ceremony) else {
        return Err(wrong().hint("begin again"));
    };
    if person != caller.id || caller.session.is_none() {
        return Err(wrong());
    }
    let key = passkey::made(party, &state, answered.credential).ok_or_else(wrong)?;
    let added = server.catalogue.add_passkey((person, &name), (called, &key), server.now()).await?;
    let id = added.ok_or_else(|| Failure::conflict("somebody has this passkey"))?;
    Ok((StatusCode::CREATED, Json(Made { id })))
}

/// Takes a passkey away. For that, one has logged in within ten minutes.
#[utoipa::path(delete, path = "/api/v1/me/passkeys/{passkey}", params(("passkey" = i64, Path)), responses(
    (status = 204), (status = "4XX", body = Answer)))]
pub(crate) async fn remove(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<i64>,
) -> Result<StatusCode, Failure> {
    caller.check_recent(&server)?;
    let there = server.catalogue.remove_passkey(caller.id, id).await?;
    there.then_some(StatusCode::NO_CONTENT).ok_or_else(|| Failure::missing("such passkey"))
}

/// Asks for a passkey to log in with: besides a name and its password, or alone.
#[utoipa::path(post, path = "/api/v1/login/passkey", request_body = Show, responses(
    (status = 200, body = Ceremony), (status = "4XX", body = Answer)))]
pub(crate) async fn ask(
    State(server): State<Arc<Server>>,
    Extension(from): Extension<From>,
    called: Called,
    Body(show): Body<Show>,
) -> Result<Json<Ceremony>, Failure> {
    let (called, party) = party(&server, &called)?;
    server.check_pace(&from.0)?;
    let (Some(name), Some(password)) = (show.name, show.password) else {
        return ceremony(&server, &from, passkey::show_any(party));
    };
    let person = right_password(&server, (&name, &password), &from).await?;
    let kept = server.catalogue.passkeys(person.id).await?;
    if kept.is_empty() {
        return Err(Failure::conflict("there is no passkey to be shown").hint("log in without"));
    }
    let keys = keys(&kept, called);
    if keys.is_empty() {
        return Err(of_another_name(&kept, called));
    }
    ceremony(&server, &from, passkey::show(party, person.id, &keys))
}

/// Said to who has shown their password.
fn of_another_name(kept: &[Kept], called: &str) -> Failure {
    let names: BTreeSet<&str> = kept.iter().map(|kept| &*kept.party).collect();
    let names = Vec::from_iter(names).join(" or ");
    Failure::conflict(format!("your passkeys belong to {names}, and not to {called}"))
        .hint(&format!("log in at {names}"))
}

/// Logs in with the passkey that was shown: the answer sets the session's cookie.
#[utoipa::path(post, path = "/api/v1/login/passkey/confirm", request_body = Answered, responses(
    (status = 200, body = Me), (status = "4XX", body = Answer)))]
pub(crate) async fn login(
    State(server): State<Arc<Server>>,
    Extension(from): Extension<From>,
    called: Called,
    Body(answered): Body<Answered>,
) -> Result<(HeaderMap, Json<Me>), Failure> {
    let (called, party) = party(&server, &called)?;
    server.check_pace(&from.0)?;
    let asked = server.ceremonies.take(&answered.ceremony).ok_or_else(|| wrong().hint("begin again"))?;
    let whose = match &asked {
        Asked::Make(..) => return Err(wrong()),
        Asked::Show(person, _) => server.catalogue.person_by_id(*person).await?,
        Asked::ShowAny(_) => match passkey::whose(party, &answered.credential) {
            Some(handle) => server.catalogue.person_of_handle(handle).await?,
            None => None,
        },
    };
    let name = whose.as_ref().map(|person| person.name.clone()).unwrap_or_default();
    let shown = check(&server, (called, party), whose, asked, answered.credential).await?;
    server.record.append(Event::done("login", shown.is_some()).by(&name).from(&from.0).detail("passkey")).await?;
    let Some(person) = shown else {
        server.login_failed(&[&from.0]).await;
        return Err(Failure::unknown().because("this passkey is not known here"));
    };
    let (cookie, me) = begin(&server, person, (&from.0, "passkey")).await?;
    Ok((cookie, Json(me)))
}

/// The person, if the passkey is one of theirs and they may log in.
async fn check(
    server: &Server,
    (called, party): (&str, &Webauthn),
    whose: Option<Person>,
    asked: Asked,
    credential: Value,
) -> Result<Option<Person>, Failure> {
    // A password that an administrator made comes first: it is used up, and changed.
    let with_password = matches!(asked, Asked::Show(..));
    let Some(person) = whose.filter(|person| !person.disabled && (with_password || person.once.is_none())) else {
        return Ok(None);
    };
    let keys = keys(&server.catalogue.passkeys(person.id).await?, called);
    let Some(key) = passkey::shown(party, asked, credential, &keys) else { return Ok(None) };
    server.catalogue.passkey_used(person.id, &key, server.now()).await?;
    match person.once.is_none() || server.catalogue.use_once(person.id).await? {
        true => Ok(Some(person)),
        false => Ok(None),
    }
}
