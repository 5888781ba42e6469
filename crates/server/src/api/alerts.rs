//! What needs a person.
//!
//! Never knows: what is watched for.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::{Answer, Failure};
use crate::Server;
use crate::moment::rfc3339;

/// Something that needs a person, or did.
#[derive(Serialize, ToSchema)]
pub(crate) struct AlertText {
    id: i64,
    /// `late`, `gap`, `logins`, `damaged`, `space`, `clock`, `job` or `delivery`.
    kind: String,
    /// What it is about: a machine, a person, an address, a kind of job, a way to tell people.
    subject: String,
    text: String,
    since: String,
    /// Nothing: it lasts.
    ended: Option<String>,
}

/// Lists alerts: those that last first, then the newest; at most 500.
#[utoipa::path(get, path = "/api/v1/alerts", responses(
    (status = 200, body = Vec<AlertText>), (status = "4XX", body = Answer)))]
pub(crate) async fn list(State(server): State<Arc<Server>>) -> Result<Json<Vec<AlertText>>, Failure> {
    let text = |alert: crate::catalogue::alerts::Alert| AlertText {
        id: alert.id,
        kind: alert.kind,
        subject: alert.subject,
        text: alert.told,
        since: rfc3339(alert.since),
        ended: alert.ended.map(rfc3339),
    };
    Ok(Json(server.catalogue.alerts(500).await?.into_iter().map(text).collect()))
}
