//! What people change about themselves: password, second factor.
//!
//! Never knows: other people.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::Body;
use super::error::{Answer, Failure};
use super::guard::Caller;
use crate::Server;
use crate::catalogue::people::Person;
use crate::people::{password, totp};

/// A new password.
#[derive(Deserialize, ToSchema)]
pub(crate) struct NewPassword {
    old: String,
    /// At least 12 characters.
    new: String,
}

/// A second factor that is offered.
#[derive(Serialize, ToSchema)]
pub(crate) struct Offered {
    /// To be typed into an app.
    secret: String,
    /// To be shown as a picture for the app.
    link: String,
}

/// The password, once more.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Again {
    password: String,
}

/// A code of the app.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Code {
    code: String,
}

/// Whoever has a session, with the password once more: a browser left alone is not enough, and a token never is.
pub(super) async fn oneself(server: &Server, caller: &Caller, typed: Option<&str>) -> Result<Person, Failure> {
    if caller.session.is_none() {
        return Err(Failure::forbidden("a token cannot change who it belongs to").hint("log in"));
    }
    let person = server.catalogue.person(&caller.name).await?.ok_or_else(Failure::unknown)?;
    let Some(typed) = typed else { return Ok(person) };
    let whom = format!("person {}", caller.name);
    server.check_pace(&whom)?;
    if server.press.is(typed, Some(&person.password)).await {
        return Ok(person);
    }
    server.login_failed(&[&whom]).await;
    Err(Failure::forbidden("this is not the password"))
}

/// Changes the password. All other sessions end.
#[utoipa::path(post, path = "/api/v1/me/password", request_body = NewPassword, responses(
    (status = 204), (status = "4XX", body = Answer)))]
pub(crate) async fn password(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Body(new): Body<NewPassword>,
) -> Result<StatusCode, Failure> {
    if let Some(why) = password::refuse(&new.new) {
        return Err(Failure::wrong(why));
    }
    let person = oneself(&server, &caller, Some(&new.old)).await?;
    if new.new == new.old {
        return Err(Failure::wrong("this is the password that there is"));
    }
    let kept = server.press.keep(&new.new, server.random()).await;
    server.catalogue.set_password(person.id, &kept, caller.session.as_ref().map(|session| &session[..])).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Offers a second factor. It counts once a code of it was confirmed.
#[utoipa::path(post, path = "/api/v1/me/totp", request_body = Again, responses(
    (status = 200, body = Offered), (status = "4XX", body = Answer)))]
pub(crate) async fn offer_totp(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Body(again): Body<Again>,
) -> Result<Json<Offered>, Failure> {
    let person = oneself(&server, &caller, Some(&again.password)).await?;
    let secret = totp::secret(server.random());
    server.catalogue.set_totp(person.id, (person.totp.as_deref(), Some(&secret))).await?;
    Ok(Json(Offered { link: totp::link(&person.name, &secret), secret }))
}

/// Confirms the second factor that was offered.
#[utoipa::path(post, path = "/api/v1/me/totp/confirm", request_body = Code, responses(
    (status = 204), (status = "4XX", body = Answer)))]
pub(crate) async fn confirm_totp(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Body(typed): Body<Code>,
) -> Result<StatusCode, Failure> {
    let person = oneself(&server, &caller, None).await?;
    let secret = person.totp_next.ok_or_else(|| Failure::conflict("no second factor was offered"))?;
    let step = totp::step(&secret, &typed.code, server.seconds());
    let step =
        step.ok_or_else(|| Failure::wrong("this is not the code of now").hint("check the clock of the phone"))?;
    if !server.catalogue.use_step(person.id, step).await? {
        return Err(Failure::wrong("this code was used before").hint("wait for the next one"));
    }
    server.catalogue.set_totp(person.id, (Some(&secret), None)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes the second factor away.
#[utoipa::path(post, path = "/api/v1/me/totp/remove", request_body = Again, responses(
    (status = 204), (status = "4XX", body = Answer)))]
pub(crate) async fn remove_totp(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Body(again): Body<Again>,
) -> Result<StatusCode, Failure> {
    let person = oneself(&server, &caller, Some(&again.password)).await?;
    server.catalogue.set_totp(person.id, (None, None)).await?;
    Ok(StatusCode::NO_CONTENT)
}
