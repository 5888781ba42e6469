//! Tokens for programs. Who makes one gives it one of their own roles, or a part of it.
//!
//! Never knows: what programs do with them.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::Body;
use super::error::{Answer, Failure};
use super::guard::{Caller, hash};
use super::login::GrantText;
use super::people::grant;
use crate::Server;
use crate::catalogue::tokens::Token;
use crate::moment::{later, rfc3339};

/// The longest that a token lasts, in days.
const LONGEST: u64 = 366;

/// A token that is wanted.
#[derive(Deserialize, ToSchema)]
pub(crate) struct NewToken {
    /// What it is for.
    name: String,
    /// One of one's own roles.
    role: String,
    /// `all`, `machine:NAME` or `vault:NAME`: not more than the role holds for.
    scope: String,
    /// Days until it ends; at most 366.
    days: u64,
}

/// A token that was made.
#[derive(Serialize, ToSchema)]
pub(crate) struct MadeToken {
    id: i64,
    /// To be sent as `Authorization: Bearer TOKEN`. It is shown this once.
    token: String,
    until: String,
}

/// A token, but for the token itself.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenText {
    id: i64,
    person: String,
    name: String,
    grant: GrantText,
    created: String,
    until: String,
}

fn text(token: Token) -> TokenText {
    TokenText {
        id: token.id,
        grant: GrantText::of(&token.grant),
        created: rfc3339(token.created),
        until: rfc3339(token.until),
        person: token.person,
        name: token.name,
    }
}

/// Lists one's own tokens.
#[utoipa::path(get, path = "/api/v1/me/tokens", responses(
    (status = 200, body = Vec<TokenText>), (status = "4XX", body = Answer)))]
pub(crate) async fn own(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Vec<TokenText>>, Failure> {
    Ok(Json(server.catalogue.tokens(Some(caller.id)).await?.into_iter().map(text).collect()))
}

/// Makes a token.
#[utoipa::path(post, path = "/api/v1/me/tokens", request_body = NewToken, responses(
    (status = 201, body = MadeToken), (status = "4XX", body = Answer)))]
pub(crate) async fn create(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Body(new): Body<NewToken>,
) -> Result<(StatusCode, Json<MadeToken>), Failure> {
    if caller.session.is_none() {
        return Err(Failure::forbidden("a token cannot make others").hint("log in"));
    }
    if new.name.is_empty() || new.name.len() > 100 || !(1..=LONGEST).contains(&new.days) {
        return Err(Failure::wrong("a token has a name of at most 100 bytes, and ends after 1 to 366 days"));
    }
    let wanted = grant(&GrantText { role: new.role, scope: new.scope })?;
    if !caller.grants.iter().any(|has| has.covers(&wanted)) {
        return Err(Failure::forbidden("a token cannot have a role that its owner does not have"));
    }
    let token = format!("bst_{}", HEXLOWER.encode(&server.random::<32>()));
    let (created, until) = (server.now(), later(server.now(), new.days * 86_400));
    let kept = Token { id: 0, person: caller.name, name: new.name, grant: wanted, created, until };
    let id = server.catalogue.add_token(&hash(&token), caller.id, &kept).await?;
    Ok((StatusCode::CREATED, Json(MadeToken { id, token, until: rfc3339(until) })))
}

/// Ends one of one's own tokens.
#[utoipa::path(delete, path = "/api/v1/me/tokens/{token}", params(("token" = i64, Path)), responses(
    (status = 204), (status = "4XX", body = Answer)))]
pub(crate) async fn remove_own(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<i64>,
) -> Result<StatusCode, Failure> {
    removed(server.catalogue.remove_token(id, Some(caller.id)).await?)
}

/// Lists everybody's tokens.
#[utoipa::path(get, path = "/api/v1/tokens", responses(
    (status = 200, body = Vec<TokenText>), (status = "4XX", body = Answer)))]
pub(crate) async fn list(State(server): State<Arc<Server>>) -> Result<Json<Vec<TokenText>>, Failure> {
    Ok(Json(server.catalogue.tokens(None).await?.into_iter().map(text).collect()))
}

/// Ends anybody's token.
#[utoipa::path(delete, path = "/api/v1/tokens/{token}", params(("token" = i64, Path)), responses(
    (status = 204), (status = "4XX", body = Answer)))]
pub(crate) async fn remove(State(server): State<Arc<Server>>, Path(id): Path<i64>) -> Result<StatusCode, Failure> {
    removed(server.catalogue.remove_token(id, None).await?)
}

fn removed(there: bool) -> Result<StatusCode, Failure> {
    there.then_some(StatusCode::NO_CONTENT).ok_or_else(|| Failure::missing("such token"))
}
