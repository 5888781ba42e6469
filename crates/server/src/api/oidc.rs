//! Logging in by single sign-on, and by what people are known there.
//!
//! Never knows: how an issuer is asked.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::{Extension, Json};
use backstay_audit::Event;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::body::Body;
use super::called::Called;
use super::error::{Answer, Failure};
use super::guard::{From, cookie_of, hash};
use super::login::begin;
use super::people::{check_last, check_name, found};
use crate::Server;
use crate::catalogue::identities::Identity;
use crate::catalogue::people::Person;
use crate::notice::plain;
use crate::people::oidc::Vouched;
use crate::rights::{Grant, Role, clash};
use crate::settings::Oidc;

/// The cookie by which a browser that comes back is known. The issuer sends it back from another site, so it is not strict.
const COOKIE: &str = "__Host-backstay-oidc";
/// Where browsers come back to.
const BACK: &str = "/api/v1/login/oidc/callback";

/// What logging in by single sign-on brings back.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Brought {
    state: Option<String>,
    code: Option<String>,
}

/// By what an issuer knows a person.
#[derive(Serialize, Deserialize, ToSchema)]
pub(crate) struct IdentityText {
    /// As the settings name it.
    issuer: String,
    /// What the issuer calls the person; never a name that can go to somebody else.
    subject: String,
}

impl IdentityText {
    pub(crate) fn of(identity: Identity) -> IdentityText {
        IdentityText { issuer: identity.issuer, subject: identity.subject }
    }
}

/// Ways to log in.
#[derive(Serialize, ToSchema)]
pub(crate) struct Ways {
    password: bool,
    /// Somebody has a passkey of the name that the server is called by.
    passkey: bool,
    /// What is written on the button of single sign-on; nothing: there is none.
    oidc: Option<String>,
}

/// The ways to log in.
#[utoipa::path(get, path = "/api/v1/login/ways", responses((status = 200, body = Ways), (status = "4XX", body = Answer)))]
pub(crate) async fn ways(State(server): State<Arc<Server>>, called: Called) -> Result<Json<Ways>, Failure> {
    let label = |oidc: &Oidc| if oidc.label.is_empty() { "Single sign-on".to_owned() } else { oidc.label.clone() };
    let oidc = server.settings.now().typed.oidc.as_ref().map(label);
    let passkey = match server.passkeys.of(called.name()) {
        Some((name, _)) => server.catalogue.has_passkeys(name).await?,
        None => false,
    };
    Ok(Json(Ways { password: true, passkey, oidc }))
}

/// Leads a browser to the issuer of single sign-on.
#[utoipa::path(get, path = "/api/v1/login/oidc", responses(
    (status = 303, description = "To the issuer"), (status = "4XX", body = Answer)))]
pub(crate) async fn start(
    State(server): State<Arc<Server>>,
    Extension(from): Extension<From>,
    called: Called,
) -> Result<Response, Failure> {
    server.check_pace(&from.0)?;
    let settings = server.settings.now();
    let with = settings.typed.oidc.as_ref().ok_or_else(|| Failure::conflict("there is no single sign-on here"))?;
    let browser = HEXLOWER.encode(&server.random::<16>());
    let back = back((&server.name, &server.other_names), &called);
    let begun = server.issuers.begin((with, with.secret(&settings.secrets)), back, hash(&browser));
    let (url, state, begun) = begun.await.map_err(|why| {
        tracing::warn!(why, "the issuer of single sign-on cannot be asked");
        Failure::broken("the issuer of single sign-on cannot be asked").hint("log in with a password")
    })?;
    if !server.signing_on.put(&state, &from.0, begun) {
        return Err(Failure::too_many("too many log in at once", 10));
    }
    let mut response = Redirect::to(&url).into_response();
    response.headers_mut().append(header::SET_COOKIE, kept(&browser, 600));
    Ok(response)
}

fn kept(value: &str, seconds: u32) -> HeaderValue {
    let cookie = format!("{COOKIE}={value}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={seconds}");
    HeaderValue::from_str(&cookie).expect("it is made of plain characters")
}

/// Where a browser comes back to: the name that it came by, if it is ours. The issuer knows which are right.
fn back((own, others): (&str, &[String]), called: &Called) -> String {
    let mut ours = [own, "localhost"].into_iter().chain(others.iter().map(String::as_str));
    let here = ours.any(|name| name.eq_ignore_ascii_case(called.name()));
    format!("https://{}{BACK}", if here { &called.0 } else { own })
}

/// Logs in whom the issuer vouches for: the answer sets the session's cookie and leads to the console, which is told by
/// `login=expired` or `login=refused` that nobody was.
#[utoipa::path(get, path = "/api/v1/login/oidc/callback", params(Brought), responses(
    (status = 303, description = "To the console"), (status = "4XX", body = Answer)))]
pub(crate) async fn callback(
    State(server): State<Arc<Server>>,
    Extension(from): Extension<From>,
    headers: HeaderMap,
    brought: Result<Query<Brought>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Failure> {
    server.check_pace(&from.0)?;
    let Query(brought) = brought.map_err(|error| Failure::wrong(error.body_text()))?;
    let begun = brought.state.and_then(|state| server.signing_on.take(&state));
    let browser = cookie_of(&headers, COOKIE).map(hash);
    let Some(begun) = begun.filter(|begun| browser == Some(begun.browser)) else {
        return Ok(Redirect::to("/?login=expired").into_response());
    };
    let settings = server.settings.now();
    let secret = settings.typed.oidc.as_ref().and_then(|oidc| oidc.secret(&settings.secrets));
    let vouched = match brought.code {
        Some(code) => server.issuers.end(begun, secret, code).await,
        None => Err("the issuer vouches for nobody".to_owned()),
    };
    let person = match vouched {
        Ok(vouched) => person(&server, settings.typed.oidc.as_ref(), &vouched).await?,
        Err(why) => Err(why),
    };
    let mut response = match person {
        Ok(person) => {
            let event = Event::done("login", true).by(&person.name).from(&from.0).detail("oidc");
            server.record.append(event).await?;
            let (cookies, _) = begin(&server, person, (&from.0, "oidc")).await?;
            let mut response = Redirect::to("/").into_response();
            response.headers_mut().extend(cookies);
            response
        }
        Err(why) => {
            tracing::warn!(why, from = from.0, "single sign-on let nobody in");
            let event = Event::done("login", false).from(&from.0).detail(&format!("oidc: {}", plain(&why, 500)));
            server.record.append(event).await?;
            server.login_failed(&[&from.0]).await;
            Redirect::to("/?login=refused").into_response()
        }
    };
    response.headers_mut().append(header::SET_COOKIE, kept("", 0));
    Ok(response)
}

/// Who it is here: whom an administrator made known, or who is in a group that gives roles. Never more than these.
async fn person(server: &Server, with: Option<&Oidc>, vouched: &Vouched) -> Result<Result<Person, String>, Failure> {
    let Some(with) = with.filter(|with| with.issuer.trim_end_matches('/') == vouched.issuer.trim_end_matches('/'))
    else {
        return Ok(Err("the issuer is not the one of the settings any more".to_owned()));
    };
    let known = server.catalogue.person_of(&vouched.issuer, &vouched.subject).await?;
    if known.as_ref().is_some_and(|(person, _)| person.disabled) {
        return Ok(Err("the person is shut out".to_owned()));
    }
    if let Some((person, false)) = known {
        return Ok(Ok(person));
    }
    let grants = match grants_of(with, &vouched.groups) {
        Ok(grants) => grants,
        Err(why) => {
            if let Some((person, true)) = known {
                change(server, &person, &[]).await?;
            }
            return Ok(Err(format!("{}: {why}", plain(&vouched.subject, 100))));
        }
    };
    match known {
        Some((person, _)) => {
            change(server, &person, &grants).await?;
            Ok(Ok(Person { grants, ..person }))
        }
        None => add(server, vouched, &grants).await,
    }
}

/// The roles that groups give.
fn grants_of(with: &Oidc, groups: &[String]) -> Result<Vec<Grant>, &'static str> {
    let mut grants: Vec<Grant> = Vec::new();
    for text in with.groups.iter().filter(|group| groups.contains(&group.group)).flat_map(|group| &group.grants) {
        let grant = super::people::grant(text).map_err(|_| "a group gives a role that there is not")?;
        if !grants.contains(&grant) {
            grants.push(grant);
        }
    }
    match (grants.is_empty(), clash(&grants)) {
        (true, _) => Err("no group of theirs gives a role"),
        (false, Some(why)) => Err(why),
        (false, None) => Ok(grants),
    }
}

/// Gives somebody the roles of their groups, if they are others than before.
async fn change(server: &Server, person: &Person, grants: &[Grant]) -> Result<(), Failure> {
    let same = grants.len() == person.grants.len() && grants.iter().all(|grant| person.grants.contains(grant));
    if same {
        return Ok(());
    }
    if !grants.iter().any(|grant| grant.role == Role::Administrator) {
        check_last(server, person).await?;
    }
    let told =
        grants.iter().map(|grant| format!("{} {}", grant.role.word(), grant.scope)).collect::<Vec<_>>().join(", ");
    let event = Event::intent("person.grants").by("single sign-on").on(&person.name).detail(&told);
    let intent = server.record.append(event).await?;
    server.catalogue.set_grants(person.id, grants).await?;
    server.record.append(Event::outcome(intent, "person.grants", true).by("single sign-on")).await?;
    Ok(())
}

/// Adds somebody whom nobody knew. A name that is taken is never shared: an administrator says who it is.
async fn add(server: &Server, vouched: &Vouched, grants: &[Grant]) -> Result<Result<Person, String>, Failure> {
    let Some(name) = vouched.names.iter().find(|name| check_name(name).is_ok()) else {
        return Ok(Err("the issuer tells no name".to_owned()));
    };
    let event = Event::intent("person.create").by("single sign-on").on(name).detail(&vouched.issuer);
    let intent = server.record.append(event).await?;
    let (issuer, subject) = (vouched.issuer.clone(), vouched.subject.clone());
    let identity = Identity { issuer, subject, mapped: true };
    let added = server.catalogue.add_vouched(name, &identity, grants, server.now()).await?;
    let outcome = Event::outcome(intent, "person.create", added.is_some());
    server.record.append(outcome.by("single sign-on")).await?;
    Ok(added.ok_or_else(|| format!("somebody else has the name {name}: an administrator says who it is")))
}

/// Says by what the issuer of single sign-on knows a person.
#[utoipa::path(put, path = "/api/v1/people/{person}/identity", params(("person" = String, Path)),
    request_body = IdentityText, responses((status = 204), (status = "4XX", body = Answer)))]
pub(crate) async fn set(
    State(server): State<Arc<Server>>,
    Path(name): Path<String>,
    Body(new): Body<IdentityText>,
) -> Result<StatusCode, Failure> {
    if new.issuer.is_empty() || new.issuer.len() > 2000 || new.subject.is_empty() || new.subject.len() > 255 {
        return Err(Failure::wrong("an identity is an issuer, and a subject of at most 255 bytes"));
    }
    let person = found(&server, &name).await?;
    let identity = Identity { issuer: new.issuer, subject: new.subject, mapped: false };
    match server.catalogue.set_identity(person.id, Some(&identity)).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Failure::conflict("somebody else is known by that")),
    }
}

/// A person is known by nothing at the issuer any more.
#[utoipa::path(delete, path = "/api/v1/people/{person}/identity", params(("person" = String, Path)), responses(
    (status = 204), (status = "4XX", body = Answer)))]
pub(crate) async fn remove(State(server): State<Arc<Server>>, Path(name): Path<String>) -> Result<StatusCode, Failure> {
    let person = found(&server, &name).await?;
    server.catalogue.set_identity(person.id, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_come_back_to_the_name_that_they_came_by_if_it_is_ours() {
        for (host, expected) in [
            ("backup:7443", "https://backup:7443"),
            ("localhost:7443", "https://localhost:7443"),
            ("other.example.org:7443", "https://other.example.org:7443"),
            ("evil.example.org:7443", "https://backup"),
            ("", "https://backup"),
        ] {
            let called = Called(host.to_owned());
            let back = back(("backup", &["Other.example.org".to_owned()]), &called);
            assert_eq!(back, format!("{expected}{BACK}"), "{host}");
        }
    }
}
