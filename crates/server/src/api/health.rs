//! Whether the server works.
//!
//! Never knows: what is wrong in detail: this is told to anybody.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::Server;

/// Whether the server works.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`, or `failing`.
    status: &'static str,
    /// The program's version.
    version: &'static str,
    /// There is nobody yet: the first administrator is made with the code that the server printed.
    needs_setup: bool,
}

/// Whether the server works.
#[utoipa::path(get, path = "/api/v1/health", responses((status = 200, body = Health), (status = 503, body = Health)))]
pub(crate) async fn health(State(server): State<Arc<Server>>) -> (StatusCode, Json<Health>) {
    let works = server.catalogue.ping().await.is_ok() && server.damage.is_none();
    let needs_setup = server.setup.lock().await.is_some();
    let (code, status) = match works {
        true => (StatusCode::OK, "ok"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "failing"),
    };
    (code, Json(Health { status, version: env!("CARGO_PKG_VERSION"), needs_setup }))
}
