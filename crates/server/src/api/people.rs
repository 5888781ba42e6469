//! People and their roles.
//!
//! Never knows: how people prove who they are.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::Body;
use super::error::{Answer, Failure};
use super::guard::Caller;
use super::login::GrantText;
use super::oidc::IdentityText;
use crate::Server;
use crate::catalogue::people::{ONE_TIME, Person};
use crate::moment::{later, rfc3339};
use crate::people::password;
use crate::rights::{Grant, Role, Scope, clash};

/// A person.
#[derive(Serialize, ToSchema)]
pub(crate) struct PersonText {
    name: String,
    grants: Vec<GrantText>,
    /// Codes or passkeys are asked for when logging in.
    second_factor: bool,
    /// By what the issuer of single sign-on knows them.
    single_sign_on: Option<IdentityText>,
    /// The password was made by an administrator and was not changed yet.
    must_change_password: bool,
    /// Shut out.
    disabled: bool,
    created: String,
}

/// A person who is to be added.
#[derive(Deserialize, ToSchema)]
pub(crate) struct NewPerson {
    name: String,
    /// At least 12 characters; left out: one is made that is good once.
    password: Option<String>,
    grants: Vec<GrantText>,
}

/// What a person is to have.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Grants {
    grants: Vec<GrantText>,
}

/// A password that is to be made.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Reset {
    /// Second factors are taken away too: for who has lost theirs.
    #[serde(default)]
    remove_second_factor: bool,
}

/// A password that was made.
#[derive(Serialize, ToSchema)]
pub(crate) struct OneTime {
    /// Good for one login, at which it is to be changed. It is shown this once.
    password: String,
    /// Until when it can be used.
    until: String,
}

/// Whether a person is to be shut out.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Disable {
    disabled: bool,
}

/// Refuses what cannot be a person's name.
pub(crate) fn check_name(name: &str) -> Result<(), Failure> {
    let plain = |c: char| !c.is_control() && c != '/';
    match (1..=64).contains(&name.len()) && name.chars().all(plain) && name.trim() == name {
        true => Ok(()),
        false => Err(Failure::wrong("a person's name has 1 to 64 bytes without control characters and /")),
    }
}

/// A role and what it holds for, from how they are written.
pub(crate) fn grant(text: &GrantText) -> Result<Grant, Failure> {
    let role = Role::parse(&text.role).ok_or_else(|| Failure::wrong(format!("there is no role {:?}", text.role)))?;
    let scope = Scope::parse(&text.scope);
    let scope = scope.ok_or_else(|| Failure::wrong("a scope is `all`, `machine:NAME` or `vault:NAME`"))?;
    match (role, &scope) {
        (Role::Administrator | Role::Auditor, Scope::Machine(_) | Scope::Vault(_)) => {
            Err(Failure::wrong(format!("{} is for everything: its scope is `all`", role.word())))
        }
        _ => Ok(Grant { role, scope }),
    }
}

/// Roles that may be given together.
pub(crate) fn checked_grants(texts: &[GrantText]) -> Result<Vec<Grant>, Failure> {
    let grants = texts.iter().map(grant).collect::<Result<Vec<_>, _>>()?;
    match clash(&grants) {
        Some(why) => Err(Failure::conflict(why)),
        None => Ok(grants),
    }
}

pub(super) async fn found(server: &Server, name: &str) -> Result<Person, Failure> {
    server.catalogue.person(name).await?.ok_or_else(|| Failure::missing("such person"))
}

/// Refuses what would leave nobody who administrates.
pub(super) async fn check_last(server: &Server, person: &Person) -> Result<(), Failure> {
    let administrates = !person.disabled && person.grants.iter().any(|grant| grant.role == Role::Administrator);
    if administrates && server.catalogue.administrators().await? <= 1 {
        return Err(
            Failure::conflict("nobody would be left who administrates").hint("make somebody else administrator first")
        );
    }
    Ok(())
}

/// Nobody changes their own roles.
fn check_other(caller: &Caller, person: &Person) -> Result<(), Failure> {
    match caller.id == person.id {
        true => Err(Failure::forbidden("nobody changes their own roles").hint("ask another administrator")),
        false => Ok(()),
    }
}

/// Lists people.
#[utoipa::path(get, path = "/api/v1/people", responses(
    (status = 200, body = Vec<PersonText>), (status = "4XX", body = Answer)))]
pub(crate) async fn list(State(server): State<Arc<Server>>) -> Result<Json<Vec<PersonText>>, Failure> {
    let mut texts = Vec::new();
    for person in server.catalogue.people().await? {
        let identity = server.catalogue.identity(person.id).await?.map(IdentityText::of);
        texts.push(text(person, identity));
    }
    Ok(Json(texts))
}

fn text(person: Person, single_sign_on: Option<IdentityText>) -> PersonText {
    PersonText {
        grants: person.grants.iter().map(GrantText::of).collect(),
        second_factor: person.totp.is_some() || person.passkeys > 0,
        single_sign_on,
        must_change_password: person.once.is_some(),
        disabled: person.disabled,
        created: rfc3339(person.created),
        name: person.name,
    }
}

/// Adds a person.
#[utoipa::path(post, path = "/api/v1/people", request_body = NewPerson, responses(
    (status = 201, description = "With the password that was made, if one was", body = Option<OneTime>),
    (status = "4XX", body = Answer)))]
pub(crate) async fn create(
    State(server): State<Arc<Server>>,
    Body(new): Body<NewPerson>,
) -> Result<(StatusCode, Json<Option<OneTime>>), Failure> {
    check_name(&new.name)?;
    let grants = checked_grants(&new.grants)?;
    if let Some(why) = new.password.as_deref().and_then(password::refuse) {
        return Err(Failure::wrong(why));
    }
    let typed = new.password.is_some();
    let password = new.password.unwrap_or_else(|| made(&server));
    let kept = server.press.keep(&password, server.random()).await;
    let added = server.catalogue.add_person((&new.name, &kept), &grants, false, server.now()).await?;
    let id = added.ok_or_else(|| Failure::conflict("somebody has that name"))?;
    if typed {
        return Ok((StatusCode::CREATED, Json(None)));
    }
    let until = later(server.now(), ONE_TIME);
    server.catalogue.set_once(id, (&kept, until), false).await?;
    Ok((StatusCode::CREATED, Json(Some(OneTime { password, until: rfc3339(until) }))))
}

/// A password that nobody can guess, as people type it.
fn made(server: &Server) -> String {
    let text = BASE32_NOPAD.encode(&server.random::<15>()).to_lowercase();
    text.as_bytes().chunks(6).map(String::from_utf8_lossy).collect::<Vec<_>>().join("-")
}

/// Makes a password for somebody who lost theirs. It is good for one login, at which they change it. Their sessions and tokens end.
#[utoipa::path(post, path = "/api/v1/people/{person}/password", params(("person" = String, Path)), request_body = Reset,
    responses((status = 200, body = OneTime), (status = "4XX", body = Answer)))]
pub(crate) async fn reset(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Body(asked): Body<Reset>,
) -> Result<Json<OneTime>, Failure> {
    let person = found(&server, &name).await?;
    if caller.id == person.id {
        return Err(Failure::forbidden("nobody resets their own password").hint("change it"));
    }
    let (password, until) = (made(&server), later(server.now(), ONE_TIME));
    let kept = server.press.keep(&password, server.random()).await;
    server.catalogue.set_once(person.id, (&kept, until), asked.remove_second_factor).await?;
    Ok(Json(OneTime { password, until: rfc3339(until) }))
}

/// Gives a person exactly these roles. Their tokens end.
#[utoipa::path(put, path = "/api/v1/people/{person}/grants", params(("person" = String, Path)), request_body = Grants,
    responses((status = 204), (status = "4XX", body = Answer)))]
pub(crate) async fn set_grants(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Body(new): Body<Grants>,
) -> Result<StatusCode, Failure> {
    let grants = checked_grants(&new.grants)?;
    let person = found(&server, &name).await?;
    check_other(&caller, &person)?;
    if !grants.iter().any(|grant| grant.role == Role::Administrator) {
        check_last(&server, &person).await?;
    }
    server.catalogue.set_grants(person.id, &grants).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Shuts a person out, or lets them in again. Sessions and tokens of one who is shut out end.
#[utoipa::path(put, path = "/api/v1/people/{person}/disabled", params(("person" = String, Path)), request_body = Disable,
    responses((status = 204), (status = "4XX", body = Answer)))]
pub(crate) async fn disable(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Body(asked): Body<Disable>,
) -> Result<StatusCode, Failure> {
    let person = found(&server, &name).await?;
    check_other(&caller, &person)?;
    if asked.disabled {
        check_last(&server, &person).await?;
    }
    server.catalogue.set_disabled(person.id, asked.disabled).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Removes a person. What they did stays in the log.
#[utoipa::path(delete, path = "/api/v1/people/{person}", params(("person" = String, Path)), responses(
    (status = 204), (status = "4XX", body = Answer)))]
pub(crate) async fn remove(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<StatusCode, Failure> {
    let person = found(&server, &name).await?;
    check_other(&caller, &person)?;
    check_last(&server, &person).await?;
    server.catalogue.remove_person(person.id).await?;
    Ok(StatusCode::NO_CONTENT)
}
