//! Sessions: who is logged in, from where, and ending that.
//!
//! Never knows: cookies.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use data_encoding::HEXLOWER;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::{Answer, Failure};
use super::guard::Caller;
use super::people::found;
use crate::Server;
use crate::catalogue::sessions::Session;
use crate::moment::rfc3339;

/// A session.
#[derive(Serialize, ToSchema)]
pub(crate) struct SessionText {
    id: String,
    /// The address that it was begun from.
    address: String,
    /// How it was begun: `password`, `passkey` or `oidc`.
    way: String,
    created: String,
    /// When it was used last, to a minute.
    seen: String,
    /// It is the one that asks.
    current: bool,
}

/// By what a session is named: half of a hash, which opens nothing.
fn id(session: &Session) -> String {
    HEXLOWER.encode(&session.hash[..session.hash.len().min(16)])
}

fn texts(sessions: &[Session], caller: &Caller) -> Vec<SessionText> {
    let text = |session: &Session| SessionText {
        id: id(session),
        address: session.address.clone(),
        way: session.way.clone(),
        created: rfc3339(session.created),
        seen: rfc3339(session.seen),
        current: caller.session.is_some_and(|own| own[..] == session.hash),
    };
    sessions.iter().map(text).collect()
}

/// Lists one's own sessions.
#[utoipa::path(get, path = "/api/v1/me/sessions", responses(
    (status = 200, body = Vec<SessionText>), (status = "4XX", body = Answer)))]
pub(crate) async fn own(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Vec<SessionText>>, Failure> {
    Ok(Json(texts(&server.catalogue.sessions(caller.id, server.now()).await?, &caller)))
}

/// Ends one of one's own sessions.
#[utoipa::path(delete, path = "/api/v1/me/sessions/{session}", params(("session" = String, Path)), responses(
    (status = 204), (status = "4XX", body = Answer)))]
pub(crate) async fn end_own(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Path(which): Path<String>,
) -> Result<StatusCode, Failure> {
    if caller.session.is_none() {
        return Err(Failure::forbidden("a token cannot end sessions").hint("log in"));
    }
    let sessions = server.catalogue.sessions(caller.id, server.now()).await?;
    let session = sessions.iter().find(|session| id(session) == which);
    let session = session.ok_or_else(|| Failure::missing("such session"))?;
    server.catalogue.end_session(&session.hash).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists a person's sessions.
#[utoipa::path(get, path = "/api/v1/people/{person}/sessions", params(("person" = String, Path)), responses(
    (status = 200, body = Vec<SessionText>), (status = "4XX", body = Answer)))]
pub(crate) async fn list(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Json<Vec<SessionText>>, Failure> {
    let person = found(&server, &name).await?;
    Ok(Json(texts(&server.catalogue.sessions(person.id, server.now()).await?, &caller)))
}

/// Ends all sessions of a person.
#[utoipa::path(delete, path = "/api/v1/people/{person}/sessions", params(("person" = String, Path)), responses(
    (status = 204), (status = "4XX", body = Answer)))]
pub(crate) async fn end(State(server): State<Arc<Server>>, Path(name): Path<String>) -> Result<StatusCode, Failure> {
    let person = found(&server, &name).await?;
    server.catalogue.end_sessions(person.id).await?;
    Ok(StatusCode::NO_CONTENT)
}
