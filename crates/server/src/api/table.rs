//! Every request there is, with the right that it needs, and whether it is logged. What is not here is not answered.
//!
//! Never knows: how a request is done.

use axum::http::Method;

use crate::rights::Right;

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// All there is.
    Everything,
    /// As much as whoever asks may see.
    Part,
    /// The machine in its path.
    Machine,
}

/// One kind of request.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) right: Right,
    pub(crate) over: Over,
    /// As what it is logged, before it is done.
    pub(crate) logged: Option<&'static str>,
}

const fn row(method: Method, path: &'static str, right: Right, over: Over, logged: Option<&'static str>) -> Row {
    Row { method, path, right, over, logged }
}

use Over::{Everything, Machine, Part};
use Right::{Audit, Cancel, Configure, Nobody, Read, Run, See, Somebody};

/// All of them.
pub(crate) const TABLE: &[Row] = &[
    row(Method::GET, "/api/v1/health", Nobody, Everything, None),
    row(Method::POST, "/api/v1/setup", Nobody, Everything, None),
    row(Method::POST, "/api/v1/login", Nobody, Everything, None),
    row(Method::GET, "/api/v1/login/ways", Nobody, Everything, None),
    row(Method::GET, "/api/v1/login/oidc", Nobody, Everything, None),
    row(Method::GET, "/api/v1/login/oidc/callback", Nobody, Everything, None),
    row(Method::POST, "/api/v1/login/passkey", Nobody, Everything, None),
    row(Method::POST, "/api/v1/login/passkey/confirm", Nobody, Everything, None),
    row(Method::GET, "/api/v1/me/passkeys", Somebody, Everything, None),
    row(Method::POST, "/api/v1/me/passkeys", Somebody, Everything, Some("me.passkey.offer")),
    row(Method::POST, "/api/v1/me/passkeys/confirm", Somebody, Everything, Some("me.passkey")),
    row(Method::DELETE, "/api/v1/me/passkeys/{passkey}", Somebody, Everything, Some("me.passkey.remove")),
    row(Method::PUT, "/api/v1/people/{person}/identity", Configure, Everything, Some("person.identity")),
    row(Method::DELETE, "/api/v1/people/{person}/identity", Configure, Everything, Some("person.identity")),
    row(Method::POST, "/api/v1/logout", Somebody, Everything, None),
    row(Method::GET, "/api/v1/me", Somebody, Everything, None),
    row(Method::POST, "/api/v1/me/password", Somebody, Everything, Some("me.password")),
    row(Method::POST, "/api/v1/me/totp", Somebody, Everything, Some("me.totp.offer")),
    row(Method::POST, "/api/v1/me/totp/confirm", Somebody, Everything, Some("me.totp")),
    row(Method::POST, "/api/v1/me/totp/remove", Somebody, Everything, Some("me.totp.remove")),
    row(Method::GET, "/api/v1/me/tokens", Somebody, Everything, None),
    row(Method::POST, "/api/v1/me/tokens", Somebody, Everything, Some("token.create")),
    row(Method::DELETE, "/api/v1/me/tokens/{token}", Somebody, Everything, Some("token.remove")),
    row(Method::GET, "/api/v1/tokens", Configure, Everything, None),
    row(Method::DELETE, "/api/v1/tokens/{token}", Configure, Everything, Some("token.remove")),
    row(Method::GET, "/api/v1/people", Configure, Everything, None),
    row(Method::POST, "/api/v1/people", Configure, Everything, Some("person.create")),
    row(Method::PUT, "/api/v1/people/{person}/grants", Configure, Everything, Some("person.grants")),
    row(Method::PUT, "/api/v1/people/{person}/disabled", Configure, Everything, Some("person.disabled")),
    row(Method::DELETE, "/api/v1/people/{person}", Configure, Everything, Some("person.remove")),
    row(Method::POST, "/api/v1/people/{person}/password", Configure, Everything, Some("person.password")),
    row(Method::GET, "/api/v1/people/{person}/sessions", Configure, Everything, None),
    row(Method::DELETE, "/api/v1/people/{person}/sessions", Configure, Everything, Some("person.sessions.end")),
    row(Method::GET, "/api/v1/me/sessions", Somebody, Everything, None),
    row(Method::DELETE, "/api/v1/me/sessions/{session}", Somebody, Everything, Some("session.end")),
    row(Method::POST, "/api/v1/enrolments", Run, Everything, Some("enrolment.create")),
    row(Method::GET, "/api/v1/enrolments", Run, Everything, None),
    row(Method::DELETE, "/api/v1/enrolments/{enrolment}", Run, Everything, Some("enrolment.revoke")),
    row(Method::POST, "/api/v1/enrol", Nobody, Everything, None),
    row(Method::POST, "/api/v1/renew", Nobody, Everything, None),
    row(Method::GET, "/api/v1/machines", See, Part, None),
    row(Method::GET, "/api/v1/machines/{machine}", See, Machine, None),
    row(Method::POST, "/api/v1/machines/{machine}/suspend", Run, Machine, Some("machine.suspend")),
    row(Method::POST, "/api/v1/machines/{machine}/resume", Run, Machine, Some("machine.resume")),
    row(Method::DELETE, "/api/v1/machines/{machine}/certificate", Run, Machine, Some("machine.revoke")),
    row(Method::GET, "/api/v1/machines/{machine}/gaps", See, Machine, None),
    row(Method::GET, "/api/v1/machines/{machine}/points", See, Machine, None),
    row(Method::GET, "/api/v1/machines/{machine}/points/{point}", See, Machine, None),
    row(Method::GET, "/api/v1/machines/{machine}/density", See, Machine, None),
    row(Method::GET, "/api/v1/machines/{machine}/retention", See, Machine, None),
    row(Method::GET, "/api/v1/machines/{machine}/points/{point}/disks", Read, Machine, Some("data.disks")),
    row(Method::GET, "/api/v1/machines/{machine}/points/{point}/files", Read, Machine, Some("data.list")),
    row(Method::GET, "/api/v1/machines/{machine}/points/{point}/file", Read, Machine, Some("data.read")),
    row(Method::GET, "/api/v1/machines/{machine}/points/{point}/archive", Read, Machine, Some("data.archive")),
    row(Method::GET, "/api/v1/machines/{machine}/points/{point}/find", Read, Machine, Some("data.find")),
    row(Method::GET, "/api/v1/machines/{machine}/points/{point}/disk/{disk}", Read, Machine, Some("data.disk")),
    row(Method::GET, "/api/v1/machines/{machine}/points/{point}/disk/{disk}/map", Read, Machine, Some("data.map")),
    row(Method::GET, "/api/v1/machines/{machine}/compare", Read, Machine, Some("data.compare")),
    row(Method::GET, "/api/v1/jobs", See, Part, None),
    row(Method::POST, "/api/v1/jobs", Run, Everything, Some("job.start")),
    row(Method::GET, "/api/v1/jobs/{job}", See, Part, None),
    row(Method::POST, "/api/v1/jobs/{job}/cancel", Cancel, Part, Some("job.cancel")),
    row(Method::POST, "/api/v1/plans", Run, Everything, None),
    row(Method::POST, "/api/v1/restores", Read, Part, Some("data.restore")),
    row(Method::GET, "/api/v1/calendar", See, Everything, None),
    row(Method::PUT, "/api/v1/calendar", Configure, Everything, Some("calendar.set")),
    row(Method::GET, "/api/v1/space", See, Part, None),
    row(Method::GET, "/api/v1/alerts", See, Everything, None),
    row(Method::GET, "/api/v1/settings", Configure, Everything, None),
    row(Method::PUT, "/api/v1/settings", Configure, Everything, Some("settings.set")),
    row(Method::POST, "/api/v1/settings/test-alert", Configure, Everything, Some("settings.test")),
    row(Method::PUT, "/api/v1/machines/{machine}/promise", Configure, Machine, Some("machine.promise")),
    row(Method::GET, "/api/v1/audit", Audit, Everything, None),
    row(Method::GET, "/api/v1/audit/checkpoint", Audit, Everything, None),
    row(Method::GET, "/api/v1/events", See, Part, None),
    row(Method::GET, "/metrics", See, Part, None),
];

/// Whether something can be asked of a path, by some method.
pub(crate) fn has(path: &str) -> bool {
    TABLE.iter().any(|row| row.path == path)
}

/// What can be asked of a path, as the header `Allow` says it.
pub(crate) fn methods(path: &str) -> String {
    let mut all: Vec<&str> = TABLE.iter().filter(|row| row.path == path).map(|row| row.method.as_str()).collect();
    if all.contains(&"GET") {
        all.push("HEAD");
    }
    all.sort_unstable();
    all.join(", ")
}

/// The row of a request.
pub(crate) fn find(method: &Method, path: &str) -> Option<&'static Row> {
    // A question for the head of an answer is one for the answer.
    let method = if method == Method::HEAD { &Method::GET } else { method };
    TABLE.iter().find(|row| row.path == path && row.method == *method)
}
