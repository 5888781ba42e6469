//! Settings: who is told of alerts, what is promised, who else vouches for people.
//!
//! Never knows: what they are used for.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use backstay_audit::{Event, Kind};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use utoipa::ToSchema;

use super::body::Body;
use super::error::{Answer, Failure};
use super::guard::Caller;
use crate::Server;
use crate::notice::{self, Letter};
use crate::settings::kept::InForce;
use crate::settings::{Typed, check};

/// The longest promise, in seconds: a year.
const LONGEST: u64 = 366 * 86_400;
/// How long a test may take in all.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is promised of a machine.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Promise {
    /// The longest time without a point; 0: none is promised; nothing: what the settings say.
    #[schema(maximum = 31622400)]
    seconds: Option<u64>,
}

/// What came of telling one channel.
#[derive(Serialize, ToSchema)]
pub(crate) struct Told {
    /// `email`, or the host of a webhook with a few digits that tell it from others.
    channel: String,
    /// It was taken.
    ok: bool,
    /// Why not; may be empty.
    error: String,
}

/// The settings, without what is secret of them.
#[utoipa::path(get, path = "/api/v1/settings", responses((status = 200, body = Typed), (status = "4XX", body = Answer)))]
pub(crate) async fn show(State(server): State<Arc<Server>>) -> Json<Typed> {
    Json(server.settings.now().typed.clone())
}

/// Puts settings in the place of those before. A secret that is left out stays as it was, if what it is for stays as it was.
#[utoipa::path(put, path = "/api/v1/settings", request_body = Typed, responses(
    (status = 200, body = Typed), (status = "4XX", body = Answer)))]
pub(crate) async fn set(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Body(typed): Body<Typed>,
) -> Result<Json<Typed>, Failure> {
    // Held to the end: two that come at once are logged in the order in which they are done.
    let _turn = server.settling.lock().await;
    let (typed, secrets) = typed.part(&server.settings.now().secrets);
    check::check(&typed, &secrets).map_err(Failure::wrong)?;
    let new = InForce { typed: typed.clone(), secrets };
    let (before, after) = (server.settings.hash(), server.settings.hash_of(&new));
    let event = |from, to| Event::new(Kind::Event, "settings").by(&caller.name).config(from, to);
    server.record.append(event(before, after)).await?;
    if let Err(error) = server.settings.set(&server.catalogue, new, server.random()).await {
        // The log must not say what is not so.
        server.record.append(event(after, before)).await?;
        return Err(error.into());
    }
    server.bell.ring();
    Ok(Json(typed))
}

/// Tells every channel that this is a test, and says what came of it.
#[utoipa::path(post, path = "/api/v1/settings/test-alert", responses(
    (status = 200, body = Vec<Told>), (status = "4XX", body = Answer)))]
pub(crate) async fn test(State(server): State<Arc<Server>>) -> Result<Json<Vec<Told>>, Failure> {
    let channels = notice::channels(&server.settings.now());
    if channels.is_empty() {
        return Err(Failure::conflict("the settings name nobody who is told of alerts"));
    }
    let mut telling = JoinSet::new();
    for (at, channel) in channels.into_iter().enumerate() {
        let name = server.name.clone();
        telling.spawn(async move {
            let told = tokio::time::timeout(PATIENCE, channel.tell(&name, &Letter::test())).await;
            let error = told.unwrap_or_else(|_| Err("it took too long".to_owned())).err();
            (at, Told { channel: channel.name(), ok: error.is_none(), error: error.unwrap_or_default() })
        });
    }
    let mut all: Vec<(usize, Told)> = telling.join_all().await;
    all.sort_by_key(|(at, _)| *at);
    Ok(Json(all.into_iter().map(|(_, told)| told).collect()))
}

/// Promises points of a machine.
#[utoipa::path(put, path = "/api/v1/machines/{machine}/promise", params(("machine" = String, Path)),
    request_body = Promise, responses((status = 204), (status = "4XX", body = Answer)))]
pub(crate) async fn promise(
    State(server): State<Arc<Server>>,
    Path(machine): Path<String>,
    Body(promise): Body<Promise>,
) -> Result<StatusCode, Failure> {
    if !backstay_format::names::is_machine_name(&machine) {
        return Err(Failure::missing(format!("machine {machine}")));
    }
    if promise.seconds.is_some_and(|seconds| seconds > LONGEST) {
        return Err(Failure::wrong("a promise is at most 366 days"));
    }
    super::machines::find(&server, &machine).await?;
    server.catalogue.set_promise(&machine, promise.seconds).await?;
    Ok(StatusCode::NO_CONTENT)
}
