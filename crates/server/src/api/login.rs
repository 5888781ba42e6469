//! Logging in and out.
//!
//! Never knows: how passwords are checked.

use std::sync::{Arc, MutexGuard, PoisonError};

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::{Extension, Json};
use backstay_audit::Event;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::Body;
use super::error::{Answer, Failure};
use super::guard::{COOKIE, Caller, From, hash};
use crate::catalogue::people::Person;
use crate::catalogue::sessions::Beginning;
use crate::notice::plain;
use crate::people::throttle::{SERIES, Throttle};
use crate::people::totp;
use crate::rights::Grant;
use crate::{Server, moment};

/// Who logs in.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Login {
    name: String,
    password: String,
    /// Six digits, for those who have a second factor.
    totp: Option<String>,
}

/// Who is logged in.
#[derive(Serialize, ToSchema)]
pub(crate) struct Me {
    name: String,
    /// What they may do, and where.
    grants: Vec<GrantText>,
    /// The word that requests which change something must carry in the header `x-backstay-csrf`.
    csrf: Option<String>,
    /// The password was made by an administrator and is to be changed: nothing else is done before.
    must_change_password: bool,
}

/// A role, and what it holds for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct GrantText {
    /// `administrator`, `operator`, `restore-operator` or `auditor`.
    pub(crate) role: String,
    /// `all`, `machine:NAME` or `vault:NAME`.
    pub(crate) scope: String,
}

impl GrantText {
    pub(crate) fn of(grant: &Grant) -> GrantText {
        GrantText { role: grant.role.word().to_owned(), scope: grant.scope.to_string() }
    }
}

/// Logs in: the answer sets the session's cookie.
#[utoipa::path(post, path = "/api/v1/login", request_body = Login, responses(
    (status = 200, body = Me), (status = "4XX", body = Answer)))]
pub(crate) async fn login(
    State(server): State<Arc<Server>>,
    Extension(from): Extension<From>,
    Body(login): Body<Login>,
) -> Result<(HeaderMap, Json<Me>), Failure> {
    let person = right_password(&server, (&login.name, &login.password), &from).await?;
    if !second_factor(&server, &person, login.totp.as_deref()).await? {
        return Err(refused(&server, &login.name, &from).await);
    }
    server.record.append(Event::done("login", true).by(&person.name).from(&from.0)).await?;
    server.login_succeeded(&whom(&person.name));
    let (cookie, me) = begin(&server, person, (&from.0, "password")).await?;
    Ok((cookie, Json(me)))
}

/// Begins a session of somebody who showed who they are, in some way. That they did is in the log.
pub(crate) async fn begin(
    server: &Server,
    person: Person,
    (address, way): (&str, &str),
) -> Result<(HeaderMap, Me), Failure> {
    let (secret, csrf) = (HEXLOWER.encode(&server.random::<32>()), HEXLOWER.encode(&server.random::<16>()));
    let new = Beginning { person: person.id, csrf: &csrf, address, way };
    server.catalogue.begin_session(&hash(&secret), new, server.now()).await?;
    let grants = person.grants.iter().map(GrantText::of).collect();
    let must_change_password = person.once.is_some();
    Ok((set_cookie(&secret), Me { name: person.name, grants, csrf: Some(csrf), must_change_password }))
}

/// Whom failures are blamed on.
fn whom(name: &str) -> String {
    format!("person {}", plain(name, 200))
}

/// The person of a name, if this is the password. What fails is logged, and slows the next try.
pub(crate) async fn right_password(
    server: &Server,
    (name, password): (&str, &str),
    from: &From,
) -> Result<Person, Failure> {
    server.check_pace(&from.0)?;
    server.check_pace(&whom(name))?;
    let person = server.catalogue.person(name).await?.filter(|person| !person.disabled);
    let kept = person.as_ref().map(|person| person.password.as_str());
    let right = server.press.is(password, kept).await;
    let spent = |person: &Person| person.once.is_some_and(|once| !once.is_good(server.now()));
    match person.filter(|person| right && !spent(person)) {
        Some(person) => Ok(person),
        None => Err(refused(server, name, from).await),
    }
}

/// Logs a failure and remembers it. Nobody is told which part was wrong.
async fn refused(server: &Server, name: &str, from: &From) -> Failure {
    let event = Event::done("login", false).by(&plain(name, 200)).from(&from.0);
    if let Err(error) = server.record.append(event).await {
        return error.into();
    }
    server.login_failed(&[&from.0, &whom(name)]).await;
    Failure::unknown().because("the name, the password or the code is wrong")
}

/// Whether what was typed besides the password is right, and was not used before.
async fn second_factor(server: &Server, person: &Person, typed: Option<&str>) -> Result<bool, Failure> {
    match &person.totp {
        // Not a failure: the password was right. But who guesses codes guesses on.
        Some(_) if typed.is_none_or(str::is_empty) => return Err(Failure::needs_code()),
        Some(secret) => {
            let step = totp::step(secret, typed.unwrap_or_default(), server.seconds());
            let Some(step) = step else { return Ok(false) };
            if !server.catalogue.use_step(person.id, step).await? {
                return Ok(false);
            }
        }
        None if person.passkeys > 0 => return Err(Failure::needs_passkey()),
        None => {}
    }
    // Of two that come at once with a password that is good once, one gets in.
    Ok(person.once.is_none() || server.catalogue.use_once(person.id).await?)
}

fn set_cookie(secret: &str) -> HeaderMap {
    let age = if secret.is_empty() { "; Max-Age=0" } else { "" };
    let cookie = format!("{COOKIE}={secret}; Path=/; Secure; HttpOnly; SameSite=Strict{age}");
    let value = HeaderValue::from_str(&cookie).expect("it is made of plain characters");
    HeaderMap::from_iter([(header::SET_COOKIE, value)])
}

/// Logs out: the session ends.
#[utoipa::path(post, path = "/api/v1/logout", responses((status = 204), (status = "4XX", body = Answer)))]
pub(crate) async fn logout(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Extension(from): Extension<From>,
) -> Result<(StatusCode, HeaderMap), Failure> {
    if let Some(session) = caller.session {
        server.record.append(Event::done("logout", true).by(&caller.name).from(&from.0)).await?;
        server.catalogue.end_session(&session).await?;
    }
    Ok((StatusCode::NO_CONTENT, set_cookie("")))
}

/// Who is logged in.
#[utoipa::path(get, path = "/api/v1/me", responses((status = 200, body = Me), (status = "4XX", body = Answer)))]
pub(crate) async fn me(Extension(caller): Extension<Caller>) -> Json<Me> {
    let grants = caller.grants.iter().map(GrantText::of).collect();
    Json(Me { name: caller.name, grants, csrf: caller.csrf, must_change_password: caller.must_change })
}

impl Server {
    /// The time in seconds, for codes.
    pub(crate) fn seconds(&self) -> u64 {
        u64::try_from(self.now().0 / moment::SECOND).unwrap_or(0)
    }

    /// Refuses whoever has to wait after failures.
    pub(crate) fn check_pace(&self, whom: &str) -> Result<(), Failure> {
        match self.throttle().wait(whom, self.now()) {
            0 => Ok(()),
            wait => Err(Failure::too_many("too many failures; wait before the next try", wait)),
        }
    }

    /// A try failed. A series of them is an alert.
    pub(crate) async fn login_failed(&self, whom: &[&str]) {
        for whom in whom {
            let count = self.throttle().failed(whom, self.now());
            if count >= SERIES {
                self.alert("logins", whom, &format!("{count} failed logins in a row")).await;
            }
        }
    }

    /// A try succeeded.
    pub(crate) fn login_succeeded(&self, whom: &str) {
        self.throttle().succeeded(whom);
    }

    /// Series of failures that are over need nobody any more.
    pub(crate) async fn end_quiet_series(&self) {
        let Ok(alerts) = self.catalogue.alerts(500).await else { return };
        for alert in alerts.iter().filter(|alert| alert.kind == "logins" && alert.ended.is_none()) {
            let quiet = self.throttle().is_quiet(&alert.subject, self.now());
            if quiet {
                self.all_clear("logins", &alert.subject).await;
            }
        }
    }

    fn throttle(&self) -> MutexGuard<'_, Throttle> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
