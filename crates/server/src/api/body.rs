//! The body of a request, as JSON.
//!
//! Never knows: what is in it.

use axum::extract::{FromRequest, Request};
use axum::{Json, extract::rejection::JsonRejection};
use serde::de::DeserializeOwned;

use super::error::{Failure, plain};

/// A body that was read.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(value)) => Ok(Body(value)),
            Err(JsonRejection::MissingJsonContentType(_)) => {
                Err(Failure::wrong("the request must be JSON").hint("send it with Content-Type: application/json"))
            }
            Err(error) => Err(Failure::wrong(plain(&error.body_text()))),
        }
    }
}
