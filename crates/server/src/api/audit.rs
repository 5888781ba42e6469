//! The log of who did what, for those who may read it.
//!
//! Never knows: what is logged.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::blocking;
use super::error::{Answer, Failure};
use crate::Server;
use crate::moment::rfc3339;

/// Which records.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// Only those before this number.
    before: Option<u64>,
    /// How many, at most 500.
    limit: Option<u64>,
}

/// A line of the log.
#[derive(Serialize, ToSchema)]
pub(crate) struct Line {
    index: u64,
    time: String,
    /// `event`, `intent`, `outcome`, `heartbeat`, `started` or `stopped`.
    kind: String,
    /// Of an outcome: the number of its intent.
    of: Option<u64>,
    what: String,
    success: Option<bool>,
    /// Who; empty where it has expired.
    user: String,
    /// To what.
    object: String,
    /// From where.
    from: String,
    detail: String,
}

/// What is needed to verify the log.
#[derive(Serialize, ToSchema)]
pub(crate) struct Proof {
    /// The newest checkpoint, signed: keep it elsewhere.
    checkpoint: String,
    /// The key to verify it with.
    key: String,
}

/// Reads the log, newest first.
#[utoipa::path(get, path = "/api/v1/audit", params(Which), responses(
    (status = 200, body = Vec<Line>), (status = "4XX", body = Answer)))]
pub(crate) async fn list(
    State(server): State<Arc<Server>>,
    Query(which): Query<Which>,
) -> Result<Json<Vec<Line>>, Failure> {
    let most = which.limit.unwrap_or(100).clamp(1, 500);
    let shown = blocking(&server, move |server| Ok(server.record.read(which.before, most)?)).await?;
    Ok(Json(shown.into_iter().map(line).collect()))
}

fn line(shown: backstay_audit::Shown) -> Line {
    use backstay_audit::Kind;
    let (kind, of) = match shown.record.kind {
        Kind::Event => ("event", None),
        Kind::Intent => ("intent", None),
        Kind::Outcome { of } => ("outcome", Some(of)),
        Kind::Heartbeat => ("heartbeat", None),
        Kind::Started => ("started", None),
        Kind::Stopped => ("stopped", None),
    };
    let names = shown.names.unwrap_or_default();
    Line {
        index: shown.index,
        time: rfc3339(shown.record.time),
        kind: kind.to_owned(),
        of,
        what: shown.record.what.as_str().to_owned(),
        success: shown.record.success,
        user: names.user,
        object: names.object,
        from: names.from,
        detail: names.detail,
    }
}

/// What is needed to verify the log.
#[utoipa::path(get, path = "/api/v1/audit/checkpoint", responses(
    (status = 200, body = Proof), (status = "4XX", body = Answer)))]
pub(crate) async fn checkpoint(State(server): State<Arc<Server>>) -> Result<Json<Proof>, Failure> {
    let (checkpoint, key) = blocking(&server, |server| Ok(server.record.checkpoint()?)).await?;
    Ok(Json(Proof { checkpoint, key }))
}
