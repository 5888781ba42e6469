//! Renewing a machine's certificate: whoever shows the one before gets the next. The one before is good until the next was shown.
//!
//! Never knows: what machines do with their certificates.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use backstay_audit::Event;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::Body;
use super::error::{Answer, Failure};
use super::guard::From;
use crate::Server;
use crate::port::{Shown, machine_of};

/// A machine that wants its next certificate.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Renew {
    /// A certificate request, as PEM. Of it only the key is taken.
    csr_pem: String,
}

/// The next certificate.
#[derive(Serialize, ToSchema)]
pub(crate) struct Renewed {
    certificate_pem: String,
    /// The certificate of the server's authority.
    ca_pem: String,
}

/// Renews a machine's certificate. The connection shows the one before, which ends when the next was used.
#[utoipa::path(post, path = "/api/v1/renew", request_body = Renew, responses(
    (status = 200, body = Renewed), (status = "4XX", body = Answer)))]
pub(crate) async fn renew(
    State(server): State<Arc<Server>>,
    Extension(from): Extension<From>,
    Extension(Shown(shown)): Extension<Shown>,
    Body(asked): Body<Renew>,
) -> Result<Json<Renewed>, Failure> {
    server.check_pace(&from.0)?;
    let now = server.now();
    let shown = shown.ok_or_else(|| Failure::unknown().because("no machine's certificate was shown"))?;
    let Some(who) = machine_of(&server, &shown).await? else {
        server.login_failed(&[&from.0]).await;
        return Err(Failure::unknown().because("the machine's certificate was taken back"));
    };
    let issued = server.authority.machine(&who.id, &asked.csr_pem, server.random(), now);
    let issued = issued.ok_or_else(|| Failure::wrong("csr_pem is not a certificate request"))?;
    let by = format!("machine {}", who.name);
    let event = Event::intent("machine.renew").by(&by).from(&from.0).on(&format!("certificate {}", issued.serial));
    let intent = server.record.append(event).await?;
    let renewed = server.catalogue.renew((&who.id, &shown), &issued, now).await;
    // It is done, logged or not.
    let outcome = Event::outcome(intent, "machine.renew", matches!(renewed, Ok(true)));
    let _ = server.record.append(outcome.by(&by)).await;
    if !renewed? {
        return Err(Failure::unknown().because("the machine's certificate was taken back"));
    }
    Ok(Json(Renewed { certificate_pem: issued.pem, ca_pem: server.authority.pem().to_owned() }))
}
