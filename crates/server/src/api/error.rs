//! What a request is answered with when it cannot be done.
//!
//! Never knows: what was asked.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use backstay_audit::AuditError;
use backstay_vault::VaultError;
use serde::Serialize;
use utoipa::ToSchema;

/// Why a request was not done.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Failure {
    /// In a word, for programs.
    pub(crate) code: &'static str,
    /// In a sentence, for people.
    pub(crate) message: String,
    /// What to do about it; may be empty.
    pub(crate) hint: String,
    #[serde(skip)]
    pub(crate) status: u16,
    /// Seconds to wait before trying again.
    #[serde(skip)]
    pub(crate) wait: Option<u64>,
    /// The methods that there are, if it was another.
    #[serde(skip)]
    pub(crate) methods: Option<String>,
}

/// What a request is answered with when it cannot be done.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Answer {
    pub(crate) error: Failure,
}

impl Failure {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Failure {
        Failure {
            code,
            message: message.into(),
            hint: String::new(),
            status: status.as_u16(),
            wait: None,
            methods: None,
        }
    }

    pub(crate) fn hint(mut self, hint: &str) -> Failure {
        hint.clone_into(&mut self.hint);
        self
    }

    /// The request makes no sense.
    pub(crate) fn wrong(message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::BAD_REQUEST, "wrong", message)
    }

    /// In other words.
    pub(crate) fn because(self, message: &str) -> Failure {
        Failure { message: message.to_owned(), ..self }
    }

    /// The password was right, and there is a second factor.
    pub(crate) fn needs_code() -> Failure {
        Failure::new(StatusCode::UNAUTHORIZED, "needs_totp", "the code of the second factor is missing")
    }

    /// The password was right, and there is a passkey.
    pub(crate) fn needs_passkey() -> Failure {
        let failure =
            Failure::new(StatusCode::UNAUTHORIZED, "needs_passkey", "the passkey of the second factor is missing");
        failure.hint("show it: /api/v1/login/passkey with name and password")
    }

    /// It is not known who asks.
    pub(crate) fn unknown() -> Failure {
        Failure::new(StatusCode::UNAUTHORIZED, "unauthenticated", "log in first")
    }

    /// The password is one that is to be changed first.
    pub(crate) fn must_change() -> Failure {
        let status = StatusCode::FORBIDDEN;
        Failure::new(status, "must_change_password", "the password was made by an administrator: change it first")
    }

    /// The path is there, and the method is not.
    pub(crate) fn no_method(methods: String) -> Failure {
        let failure = Failure::new(StatusCode::METHOD_NOT_ALLOWED, "method", "this cannot be asked of it");
        Failure { methods: Some(methods), ..failure }
    }

    /// Whoever asks may not.
    pub(crate) fn forbidden(message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// Whoever asks may not, by their roles.
    pub(crate) fn not_allowed() -> Failure {
        Failure::forbidden("your roles do not allow this")
    }

    /// There is no such thing.
    pub(crate) fn missing(what: impl std::fmt::Display) -> Failure {
        Failure::new(StatusCode::NOT_FOUND, "not_found", format!("there is no {what}"))
    }

    /// It contradicts what is there.
    pub(crate) fn conflict(message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::CONFLICT, "conflict", message)
    }

    /// Too many, too fast.
    pub(crate) fn too_many(message: &str, wait: u64) -> Failure {
        Failure { wait: Some(wait), ..Failure::new(StatusCode::TOO_MANY_REQUESTS, "too_many", message) }
    }

    /// It took too long to be sent.
    pub(crate) fn slow() -> Failure {
        Failure::new(StatusCode::REQUEST_TIMEOUT, "slow", "the request took too long")
    }

    /// It is larger than any request has to be.
    pub(crate) fn large() -> Failure {
        Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "large", "the request is too large")
    }

    /// There is nothing in the range that was asked for.
    pub(crate) fn no_such_range() -> Failure {
        Failure::new(StatusCode::RANGE_NOT_SATISFIABLE, "no_such_range", "there is nothing in that range")
    }

    /// The data it is about is damaged.
    pub(crate) fn damaged(message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "damaged", message)
    }

    /// Whether that is the reason.
    pub(crate) fn is_damage(&self) -> bool {
        self.code == "damaged"
    }

    /// Something here does not work.
    pub(crate) fn broken(message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", message)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let (wait, methods) = (self.wait, self.methods.clone());
        let mut response = (status, Json(Answer { error: self })).into_response();
        let headers = response.headers_mut();
        if let Some(wait) = wait {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait));
        }
        if let Some(methods) = methods.and_then(|methods| HeaderValue::try_from(methods).ok()) {
            headers.insert(header::ALLOW, methods);
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Failure {
        Failure::broken(format!("the catalogue could not be used: {error}"))
    }
}

impl From<AuditError> for Failure {
    fn from(error: AuditError) -> Failure {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Failure::new(status, "not_logged", format!("nothing is done that cannot be logged: {error}"))
    }
}

impl From<VaultError> for Failure {
    fn from(error: VaultError) -> Failure {
        match &error {
            VaultError::NoMachine(_) | VaultError::NoPoint(_) | VaultError::NoDisk { .. } => {
                Failure::new(StatusCode::NOT_FOUND, "not_found", error.to_string())
            }
            VaultError::StalePlan => Failure::conflict(error.to_string()).hint("ask again"),
            error if error.is_damage() => Failure::damaged(error.to_string()),
            error => Failure::broken(error.to_string()),
        }
    }
}

/// What is said of a request that cannot be read, in words that do not speak of the program. What is not known stays as it is.
pub(crate) fn plain(why: &str) -> String {
    const BEGINNINGS: [(&str, &str); 3] = [
        ("Failed to deserialize the JSON body into the target type: ", "the request is not as it should be: "),
        ("Failed to parse the request body as JSON: ", "the request is no JSON: "),
        ("Failed to deserialize query string: ", "what follows the question mark is not as it should be: "),
    ];
    if let Some(value) = why.strip_prefix("Invalid URL: Cannot parse ").and_then(|rest| rest.split('`').rev().nth(3)) {
        return format!("{value:?} stands in the address where a number belongs");
    }
    let known = BEGINNINGS.iter().find_map(|(theirs, ours)| Some(format!("{ours}{}", why.strip_prefix(theirs)?)));
    known.unwrap_or_else(|| why.to_owned())
}
