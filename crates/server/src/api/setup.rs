//! The first administrator, by the code that the server printed when it started.
//!
//! Never knows: how codes are printed.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use backstay_audit::Event;
use serde::Deserialize;
use utoipa::ToSchema;

use super::body::Body;
use super::error::{Answer, Failure};
use super::guard::From;
use crate::people::password;
use crate::rights::{Grant, Role, Scope};
use crate::{Server, ServerError};

/// The first administrator.
#[derive(Deserialize, ToSchema)]
pub(crate) struct First {
    /// What the server printed when it started.
    code: String,
    /// The name to log in with.
    name: String,
    /// At least 12 characters.
    password: String,
}

/// A new code, if there is nobody yet. The one before it is over.
pub(crate) async fn new_code(server: &Server) -> Result<Option<String>, ServerError> {
    if !server.catalogue.is_empty().await? {
        return Ok(None);
    }
    let code = data_encoding::BASE32_NOPAD.encode(&server.random::<10>());
    *server.setup.lock().await = Some(code.clone());
    Ok(Some(code))
}

/// Makes the first administrator.
#[utoipa::path(post, path = "/api/v1/setup", request_body = First, responses(
    (status = 204, description = "Done: log in"), (status = "4XX", body = Answer)))]
pub(crate) async fn setup(
    State(server): State<Arc<Server>>,
    from: axum::Extension<From>,
    Body(first): Body<First>,
) -> Result<StatusCode, Failure> {
    server.check_pace(&from.0.0)?;
    // Held to the end: of two that come at once, one finds the code used.
    let mut code = server.setup.lock().await;
    let typed = first.code.trim().to_ascii_uppercase();
    if code.as_ref().is_none_or(|code| *code != typed) {
        server.login_failed(&[&from.0.0]).await;
        return Err(Failure::forbidden("this is not the code").hint("the server printed it when it started"));
    }
    super::people::check_name(&first.name)?;
    if let Some(why) = password::refuse(&first.password) {
        return Err(Failure::wrong(why));
    }
    let intent = server.record.append(Event::intent("setup").by(&first.name).from(&from.0.0)).await?;
    let kept = server.press.keep(&first.password, server.random()).await;
    let grants = [Grant { role: Role::Administrator, scope: Scope::All }];
    let added = server.catalogue.add_person((&first.name, &kept), &grants, true, server.now()).await?;
    *code = None;
    // It is done, logged or not.
    let _ = server.record.append(Event::outcome(intent, "setup", added.is_some()).by(&first.name)).await;
    match added {
        Some(_) => Ok(StatusCode::NO_CONTENT),
        None => Err(Failure::conflict("there is an administrator already")),
    }
}
