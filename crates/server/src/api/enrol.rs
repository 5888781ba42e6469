//! Enrolling machines: codes for people to hand out, and certificates for the machines that have one.
//!
//! Never knows: what machines do with their certificates.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use backstay_audit::Event;
use backstay_format::names::is_machine_name;
use data_encoding::{BASE32_NOPAD, HEXLOWER};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use super::body::Body;
use super::error::{Answer, Failure};
use super::guard::{Caller, From};
use crate::Server;
use crate::catalogue::machines::{Enrolled, Enrolment};
use crate::moment::{later, rfc3339};

/// How long a code can be used, if nobody says otherwise, and at most, in seconds.
const USUAL: u64 = 24 * 3600;
const LONGEST: u64 = 30 * 24 * 3600;

/// A code that is wanted.
#[derive(Deserialize, ToSchema)]
pub(crate) struct NewEnrolment {
    /// The name of the machine: that of its timeline.
    machine: String,
    /// The vault that its points go into; `main` if not said.
    vault: Option<String>,
    /// Seconds that the code can be used; a day if not said.
    seconds: Option<u64>,
}

/// A code that was made.
#[derive(Serialize, ToSchema)]
pub(crate) struct NewCode {
    id: i64,
    /// To be typed on the machine. It is shown this once.
    code: String,
    /// Until when it can be used.
    until: String,
}

/// A code, but for the code itself.
#[derive(Serialize, ToSchema)]
pub(crate) struct EnrolmentText {
    id: i64,
    machine: String,
    vault: String,
    /// Who made it.
    by: String,
    created: String,
    until: String,
    /// When it was used.
    used: Option<String>,
    /// When it was taken back.
    revoked: Option<String>,
}

/// A machine that wants to be enrolled.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Enrol {
    code: String,
    /// A certificate request, as PEM. Of it only the key is taken.
    csr_pem: String,
    /// The machine's name, as it is in the code.
    machine: Option<String>,
}

/// A machine that was enrolled.
#[derive(Serialize, ToSchema)]
pub(crate) struct EnrolledText {
    certificate_pem: String,
    /// The certificate of the server's authority.
    ca_pem: String,
    /// The machine's name.
    machine: String,
    /// Its id.
    id: String,
    vault: String,
}

/// Makes a code for a machine.
#[utoipa::path(post, path = "/api/v1/enrolments", request_body = NewEnrolment, responses(
    (status = 201, body = NewCode), (status = "4XX", body = Answer)))]
pub(crate) async fn create(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Body(new): Body<NewEnrolment>,
) -> Result<(StatusCode, Json<NewCode>), Failure> {
    if !is_machine_name(&new.machine) {
        return Err(Failure::wrong("a machine's name has 1 to 64 bytes without control characters, / and :"));
    }
    let vault = new.vault.unwrap_or_else(|| server.vault.name().to_owned());
    server.vault(&vault).ok_or_else(|| Failure::missing(format!("vault {vault}")))?;
    let seconds = new.seconds.unwrap_or(USUAL);
    if !(1..=LONGEST).contains(&seconds) {
        return Err(Failure::wrong("a code lasts between one second and 30 days"));
    }
    let (secret, now) = (server.random::<10>(), server.now());
    let until = later(now, seconds);
    let kept = Enrolment {
        id: 0,
        machine: new.machine,
        vault,
        by: caller.name,
        created: now,
        until,
        used: None,
        revoked: None,
    };
    let id = server.catalogue.add_enrolment(&Sha256::digest(secret).into(), &kept).await?;
    Ok((StatusCode::CREATED, Json(NewCode { id, code: server.authority.code(&secret), until: rfc3339(until) })))
}

/// Lists codes, newest first.
#[utoipa::path(get, path = "/api/v1/enrolments", responses(
    (status = 200, body = Vec<EnrolmentText>), (status = "4XX", body = Answer)))]
pub(crate) async fn list(State(server): State<Arc<Server>>) -> Result<Json<Vec<EnrolmentText>>, Failure> {
    let text = |one: Enrolment| EnrolmentText {
        id: one.id,
        machine: one.machine,
        vault: one.vault,
        by: one.by,
        created: rfc3339(one.created),
        until: rfc3339(one.until),
        used: one.used.map(rfc3339),
        revoked: one.revoked.map(rfc3339),
    };
    Ok(Json(server.catalogue.enrolments().await?.into_iter().map(text).collect()))
}

/// Takes a code back.
#[utoipa::path(delete, path = "/api/v1/enrolments/{enrolment}", params(("enrolment" = i64, Path)), responses(
    (status = 204), (status = "4XX", body = Answer)))]
pub(crate) async fn revoke(State(server): State<Arc<Server>>, Path(id): Path<i64>) -> Result<StatusCode, Failure> {
    match server.catalogue.revoke_enrolment(id, server.now()).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Failure::missing("code of that number that could still be used")),
    }
}

/// Enrols a machine. A code can be used once; enrolling again takes the certificate before back.
#[utoipa::path(post, path = "/api/v1/enrol", request_body = Enrol, responses(
    (status = 200, body = EnrolledText), (status = "4XX", body = Answer)))]
pub(crate) async fn enrol(
    State(server): State<Arc<Server>>,
    Extension(from): Extension<From>,
    Body(asked): Body<Enrol>,
) -> Result<Json<EnrolledText>, Failure> {
    server.check_pace(&from.0)?;
    let now = server.now();
    let refused = || Failure::forbidden("this code is not valid").hint("make a new one: each is for one machine, once");
    let secret = secret_of(&asked.code);
    let found = match secret {
        Some(hash) => server.catalogue.enrolment(&hash, now).await?,
        None => None,
    };
    let Some(code) = found.filter(|code| asked.machine.as_ref().is_none_or(|name| *name == code.machine)) else {
        server.login_failed(&[&from.0]).await;
        return Err(refused());
    };
    let known = server.catalogue.machine_id(&code.vault, &code.machine).await?;
    let id = known.unwrap_or_else(|| HEXLOWER.encode(&server.random::<16>()));
    let issued = server.authority.machine(&id, &asked.csr_pem, server.random(), now);
    let issued = issued.ok_or_else(|| Failure::wrong("csr_pem is not a certificate request"))?;
    let who = Enrolled { id, name: code.machine, vault: code.vault };
    let event = Event::intent("machine.enrol").by(&format!("machine {}", who.name)).from(&from.0);
    let intent = server.record.append(event.on(&format!("certificate {}", issued.serial))).await?;
    let enrolled = server.catalogue.enrol(code.id, &who, &issued, now).await;
    // It is done, logged or not.
    let outcome = Event::outcome(intent, "machine.enrol", matches!(enrolled, Ok(true)));
    let _ = server.record.append(outcome.by(&format!("machine {}", who.name))).await;
    if !enrolled? {
        return Err(refused());
    }
    server.agents.end(&who.name);
    let ca_pem = server.authority.pem().to_owned();
    Ok(Json(EnrolledText { certificate_pem: issued.pem, ca_pem, machine: who.name, id: who.id, vault: who.vault }))
}

/// The hash of a code's secret; what comes after that is for the machine.
fn secret_of(code: &str) -> Option<[u8; 32]> {
    let plain: String = code.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    let bytes = BASE32_NOPAD.decode(plain.to_ascii_uppercase().as_bytes()).ok()?;
    (bytes.len() == 26).then(|| Sha256::digest(&bytes[..10]).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_may_be_typed_in_groups() {
        let code = BASE32_NOPAD.encode(&[7; 26]);
        let typed = format!(" {}-{} ", code[..10].to_lowercase(), &code[10..]);
        assert_eq!(secret_of(&typed), Some(Sha256::digest([7; 10]).into()));
        assert_eq!((secret_of(""), secret_of(&code[1..])), (None, None));
    }
}
