//! The API: HTTP and JSON, of one version for ever.
//!
//! Never knows: how anything is done; handlers ask, and tell.

mod alerts;
mod archive;
mod audit;
mod body;
mod called;
mod compare;
mod disk;
mod enrol;
mod error;
mod events;
mod files;
mod gaps;
mod guard;
mod health;
mod jobs;
mod login;
mod look;
pub(crate) mod machines;
mod me;
mod metrics;
mod oidc;
mod passkeys;
mod people;
mod points;
mod pour;
mod renew;
mod restores;
mod retention;
mod sessions;
mod settings;
pub(crate) mod setup;
mod space;
mod stated;
mod table;
mod tokens;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::Response;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use error::Failure;

use crate::{Server, console};

pub(crate) use login::GrantText;
pub(crate) use people::checked_grants;

/// What the document says about itself.
#[derive(OpenApi)]
#[openapi(info(
    title = "Backstay",
    version = "1",
    description = "The API of a Backstay server. Times are RFC 3339, sizes are bytes. Log in for a cookie, or show a token as \
                   `Authorization: Bearer TOKEN`.",
    license(name = "MIT OR Apache-2.0")
))]
struct Document;

fn parts() -> (Router<Arc<Server>>, utoipa::openapi::OpenApi) {
    let (router, mut document) = endpoints().split_for_parts();
    stated::state(&mut document);
    (router, document)
}

fn endpoints() -> OpenApiRouter<Arc<Server>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(health::health))
        .routes(routes!(setup::setup))
        .routes(routes!(login::login))
        .routes(routes!(login::logout))
        .routes(routes!(oidc::ways))
        .routes(routes!(oidc::start))
        .routes(routes!(oidc::callback))
        .routes(routes!(oidc::set, oidc::remove))
        .routes(routes!(passkeys::ask))
        .routes(routes!(passkeys::login))
        .routes(routes!(passkeys::list, passkeys::offer))
        .routes(routes!(passkeys::confirm))
        .routes(routes!(passkeys::remove))
        .routes(routes!(login::me))
        .routes(routes!(me::password))
        .routes(routes!(me::offer_totp))
        .routes(routes!(me::confirm_totp))
        .routes(routes!(me::remove_totp))
        .routes(routes!(tokens::own, tokens::create))
        .routes(routes!(tokens::remove_own))
        .routes(routes!(tokens::list))
        .routes(routes!(tokens::remove))
        .routes(routes!(people::list, people::create))
        .routes(routes!(people::set_grants))
        .routes(routes!(people::disable))
        .routes(routes!(people::remove))
        .routes(routes!(people::reset))
        .routes(routes!(sessions::own))
        .routes(routes!(sessions::end_own))
        .routes(routes!(sessions::list, sessions::end))
        .routes(routes!(enrol::create, enrol::list))
        .routes(routes!(enrol::revoke))
        .routes(routes!(enrol::enrol))
        .routes(routes!(renew::renew))
        .routes(routes!(machines::list))
        .routes(routes!(machines::one))
        .routes(routes!(machines::suspend))
        .routes(routes!(machines::resume))
        .routes(routes!(machines::revoke))
        .routes(routes!(gaps::list))
        .routes(routes!(points::list))
        .routes(routes!(points::density))
        .routes(routes!(retention::ahead))
        .routes(routes!(points::one))
        .routes(routes!(files::parts))
        .routes(routes!(files::list))
        .routes(routes!(files::download))
        .routes(routes!(archive::archive))
        .routes(routes!(compare::names))
        .routes(routes!(compare::between))
        .routes(routes!(disk::read))
        .routes(routes!(disk::map))
        .routes(routes!(jobs::list, jobs::start))
        .routes(routes!(jobs::one))
        .routes(routes!(jobs::cancel))
        .routes(routes!(jobs::plan))
        .routes(routes!(jobs::calendar, jobs::set_calendar))
        .routes(routes!(restores::start))
        .routes(routes!(space::space))
        .routes(routes!(alerts::list))
        .routes(routes!(settings::show, settings::set))
        .routes(routes!(settings::test))
        .routes(routes!(settings::promise))
        .routes(routes!(audit::list))
        .routes(routes!(audit::checkpoint))
        .routes(routes!(events::stream))
        .routes(routes!(metrics::metrics))
}

/// Everything that is answered over HTTP.
pub(crate) fn router(server: Arc<Server>) -> Router {
    let (router, _) = parts();
    router
        .route_layer(from_fn_with_state(server.clone(), guard::guard))
        .fallback(console::file)
        .with_state(server)
        .layer(map_response(dressed))
}

/// Work that waits for disks, on a thread that may.
async fn blocking<T: Send + 'static>(
    server: &Arc<Server>,
    work: impl FnOnce(&Arc<Server>) -> Result<T, error::Failure> + Send + 'static,
) -> Result<T, error::Failure> {
    let server = server.clone();
    let done = tokio::task::spawn_blocking(move || work(&server)).await;
    done.unwrap_or_else(|_| Err(error::Failure::broken("the request could not be finished")))
}

/// What browsers are told about everything that comes from here.
async fn dressed(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let mut set = |name, value| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    set(header::CONTENT_SECURITY_POLICY, console::POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    set(header::CACHE_CONTROL, "no-store");
    response
}

/// The document of the API, as it is kept in `openapi/v1.json`.
#[cfg(test)]
fn document() -> String {
    let text = parts().1.to_pretty_json().expect("it is made of plain values");
    format!("{text}\n")
}
