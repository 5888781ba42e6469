//! What every request goes through: who asks, whether they may, and the log before it is done.
//!
//! Never knows: what requests do.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Bytes, to_bytes};
use axum::extract::{ConnectInfo, MatchedPath, RawPathParams, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{RequestExt as _, body::Body};
use backstay_audit::Event;
use backstay_format::units::Timestamp;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::error::{Failure, plain};
use super::table::{self, Over, Row};
use crate::Server;
use crate::rights::{Grant, Object, Right, may};

/// The cookie of a session. Its name keeps it to this host, this path and TLS.
pub(crate) const COOKIE: &str = "__Host-backstay";
/// The header that carries the session's word: no other site's page can send it.
pub(crate) const CSRF: &str = "x-backstay-csrf";
/// The largest body that any request has.
const LARGEST: usize = 64 << 10;
/// Nanoseconds for which who logged in is known well.
const RECENT: i64 = 600 * crate::moment::SECOND;
/// What may be done with a password that is to be changed.
const BEFORE_CHANGE: [&str; 3] = ["/api/v1/me", "/api/v1/me/password", "/api/v1/logout"];
/// How long a body may take to come, and an answer to begin.
const SLOWEST_BODY: Duration = Duration::from_secs(15);
const SLOWEST_ANSWER: Duration = Duration::from_secs(120);
/// Fields of requests that no log may hold.
const SECRETS: [&str; 10] =
    ["credential", "password", "old", "new", "code", "totp", "csr_pem", "secret", "token", "client_secret"];

/// The address that a request comes from.
#[derive(Clone, Debug)]
pub(crate) struct From(pub(crate) String);

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) grants: Vec<Grant>,
    /// The session, by its hash; none: a token was shown.
    pub(crate) session: Option<[u8; 32]>,
    /// The word that the session's requests carry.
    pub(crate) csrf: Option<String>,
    /// When the session began.
    pub(crate) since: Option<Timestamp>,
    /// The password is to be changed before anything else is done.
    pub(crate) must_change: bool,
}

impl Caller {
    /// Whether a machine may be seen, or what else `right` says.
    pub(crate) fn may(&self, right: Right, machine: &str, vault: &str) -> bool {
        may(&self.grants, right, Object::Machine { machine, vault })
    }

    /// Refuses who did not log in just now: a browser left alone is not enough.
    pub(crate) fn check_recent(&self, server: &Server) -> Result<(), Failure> {
        let age = self.since.map(|since| server.now().0.saturating_sub(since.0));
        match age.is_some_and(|age| age < RECENT) {
            true => Ok(()),
            false => Err(Failure::forbidden("this is for who has logged in within ten minutes").hint("log in again")),
        }
    }

    /// Whether everything may.
    pub(crate) fn may_all(&self, right: Right) -> bool {
        may(&self.grants, right, Object::Everything)
    }
}

/// Lets through what may be, and logs it first.
pub(crate) async fn guard(
    State(server): State<Arc<Server>>,
    ConnectInfo(from): ConnectInfo<std::net::SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let from = From(from.ip().to_canonical().to_string());
    // What follows the path, and names in it, may be anything.
    let path = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned()).unwrap_or_default();
    let (method, began, address) = (request.method().clone(), std::time::Instant::now(), from.0.clone());
    let response = match tokio::time::timeout(SLOWEST_ANSWER, guarded(&server, from, request, next)).await {
        Ok(Ok(response)) => told(response).await,
        Ok(Err(failure)) => failure.into_response(),
        Err(_) => Failure::slow().into_response(),
    };
    let (status, millis) = (response.status().as_u16(), began.elapsed().as_millis() as u64);
    let who = response.extensions().get::<Who>().map_or("", |who| &who.0);
    match status {
        500.. => tracing::error!(%method, path, status, millis, who, from = address, "a request failed"),
        200..400 if method == Method::GET => {
            tracing::debug!(%method, path, status, millis, who, from = address, "a request")
        }
        _ => tracing::info!(%method, path, status, millis, who, from = address, "a request"),
    }
    response
}

/// Who asked, for the log.
#[derive(Clone)]
struct Who(String);

/// What was refused on its way to a handler, such as a number that is none, is told like all else that is refused.
async fn told(response: Response) -> Response {
    let json = HeaderValue::from_static("application/json");
    if !response.status().is_client_error() || response.headers().get(header::CONTENT_TYPE) == Some(&json) {
        return response;
    }
    let (head, body) = response.into_parts();
    let why = to_bytes(body, LARGEST).await.unwrap_or_default();
    let why = String::from_utf8_lossy(&why).into_owned();
    let mut response = Failure { status: head.status.as_u16(), ..Failure::wrong(plain(&why)) }.into_response();
    *response.extensions_mut() = head.extensions;
    response
}

async fn guarded(server: &Server, from: From, mut request: Request, next: Next) -> Result<Response, Failure> {
    let path = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned()).unwrap_or_default();
    let stated = table::find(request.method(), &path);
    let row = stated.ok_or_else(|| match table::has(&path) {
        true => Failure::no_method(table::methods(&path)),
        false => Failure::broken(format!("no right is stated for {} {path}", request.method())),
    })?;
    let caller = match row.right {
        Right::Nobody => None,
        _ => Some(who(server, request.headers()).await?.ok_or_else(Failure::unknown)?),
    };
    if let Some(caller) = &caller {
        check_csrf(caller, &request)?;
        if let Err(failure) = check_right(server, caller, row, &mut request).await {
            // What is refused is logged too, where it would have been.
            if let Some(what) = row.logged {
                let event = event(Event::done(what, false), caller, (&from, &request));
                server.record.append(event).await?;
            }
            return Err(failure);
        }
    }
    let mut request = whole(request).await?;
    let logged = match (row.logged, &caller) {
        (Some(what), Some(caller)) => {
            let event = event(Event::intent(what), caller, (&from, &request));
            Some((what, server.record.append(event).await?))
        }
        _ => None,
    };
    request.extensions_mut().insert(from);
    let name = caller.as_ref().map(|caller| caller.name.clone()).unwrap_or_default();
    if let Some(caller) = caller {
        request.extensions_mut().insert(caller);
    }
    let mut response = next.run(request).await;
    response.extensions_mut().insert(Who(name.clone()));
    if let Some((what, intent)) = logged {
        let done = response.status().is_success();
        // It is done, logged or not; an intent without its outcome is found by whoever verifies the log.
        let _ = server.record.append(Event::outcome(intent, what, done).by(&name)).await;
    }
    Ok(response)
}

/// Who asks, by token or cookie.
async fn who(server: &Server, headers: &HeaderMap) -> Result<Option<Caller>, Failure> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(token) = text(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer ")) {
        let found = server.catalogue.token(&hash(token.trim()), server.now()).await?;
        return Ok(found.map(|(person, grant)| Caller {
            id: person.id,
            name: person.name,
            grants: vec![grant],
            session: None,
            csrf: None,
            since: None,
            must_change: false,
        }));
    }
    let Some(session) = cookie_of(headers, COOKIE).map(hash) else { return Ok(None) };
    let found = server.catalogue.session(&session, server.now()).await?;
    Ok(found.map(|whose| Caller {
        id: whose.person.id,
        must_change: whose.person.once.is_some(),
        name: whose.person.name,
        grants: whose.person.grants,
        session: Some(session),
        csrf: Some(whose.csrf),
        since: Some(whose.created),
    }))
}

/// A cookie, by its name.
pub(crate) fn cookie_of<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(header::COOKIE).and_then(|value| value.to_str().ok()).and_then(|header| cookie(header, name))
}

fn cookie<'h>(header: &'h str, name: &str) -> Option<&'h str> {
    let mut all = header.split(';').filter_map(|one| one.trim().split_once('='));
    all.find(|(found, _)| *found == name).map(|(_, value)| value)
}

/// What is kept of a secret that nobody can guess.
pub(crate) fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// A browser sends the cookie by itself; only our own page sends the word too.
fn check_csrf(caller: &Caller, request: &Request) -> Result<(), Failure> {
    let safe = matches!(*request.method(), Method::GET | Method::HEAD);
    let Some(csrf) = caller.csrf.as_deref().filter(|_| !safe) else { return Ok(()) };
    match request.headers().get(CSRF).is_some_and(|sent| sent.as_bytes() == csrf.as_bytes()) {
        true => Ok(()),
        false => Err(Failure::forbidden(format!("the request has no {CSRF} of its session"))),
    }
}

async fn check_right(server: &Server, caller: &Caller, row: &Row, request: &mut Request) -> Result<(), Failure> {
    if caller.must_change && !BEFORE_CHANGE.contains(&row.path) {
        return Err(Failure::must_change());
    }
    let allowed = match row.over {
        Over::Everything => caller.may_all(row.right),
        Over::Part => may(&caller.grants, row.right, Object::Some),
        Over::Machine => {
            let params = request.extract_parts::<RawPathParams>().await;
            let params = params.map_err(|e| Failure::wrong(e.body_text()))?;
            let machine = params.iter().find(|(name, _)| *name == "machine").map_or("", |(_, value)| value);
            caller.may(row.right, machine, server.vault.name())
        }
    };
    match allowed {
        true => Ok(()),
        false => Err(Failure::not_allowed()),
    }
}

fn event(event: Event, caller: &Caller, (from, request): (&From, &Request)) -> Event {
    let asked = request.uri().path_and_query().map_or("", |asked| asked.as_str());
    let body = request.extensions().get::<Whole>().map(|body| without_secrets(&body.0)).unwrap_or_default();
    event.by(&caller.name).from(&from.0).on(cut(asked, 4096)).detail(cut(&body, 16 << 10))
}

fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// A body that has come whole.
#[derive(Clone)]
struct Whole(Bytes);

/// Waits for the body, so that a slow one holds nothing up but itself.
async fn whole(request: Request) -> Result<Request, Failure> {
    let (mut head, body) = request.into_parts();
    let body = tokio::time::timeout(SLOWEST_BODY, to_bytes(body, LARGEST)).await.map_err(|_| Failure::slow())?;
    let body = body.map_err(|_| Failure::large())?;
    head.extensions.insert(Whole(body.clone()));
    Ok(Request::from_parts(head, Body::from(body)))
}

/// A body as it may be logged.
fn without_secrets(body: &[u8]) -> String {
    match serde_json::from_slice(body) {
        Ok(mut body @ Value::Object(_)) => {
            take_out(&mut body);
            body.to_string()
        }
        _ => String::new(),
    }
}

/// Takes secrets out, wherever they are.
fn take_out(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !SECRETS.contains(&name.as_str()));
            fields.values_mut().for_each(take_out);
        }
        Value::Array(all) => all.iter_mut().for_each(take_out),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_cookie_is_found() {
        assert_eq!(cookie("a=1; __Host-backstay=x=y; b", COOKIE), Some("x=y"));
        assert_eq!(cookie("x__Host-backstay=1; __Host-backstay-oidc=2", COOKIE), None);
    }

    #[test]
    fn no_secret_is_logged() {
        assert_eq!(without_secrets(br#"{"name":"ada","password":"secret","code":1}"#), r#"{"name":"ada"}"#);
        let deep = br#"{"a":{"webhooks":[{"url":"u","secret":"s"}],"oidc":{"client_secret":"s"}}}"#;
        assert_eq!(without_secrets(deep), r#"{"a":{"oidc":{},"webhooks":[{"url":"u"}]}}"#);
        assert_eq!(without_secrets(b"password"), "");
    }
}
