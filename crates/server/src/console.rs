//! The console's files, as far as they are built in.
//!
//! Never knows: what they do.

use axum::http::{StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};

const PAGE: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Backstay</title>\
<h1>Backstay</h1><p>This server was built without the console. <code>cargo xtask dist</code> builds one with it; \
the API is at <a href=\"/api/v1/health\">/api/v1</a>.</p></html>";

/// What a browser may do with anything that comes from here: nothing of anybody else's.
pub(crate) const POLICY: &str = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

/// The file of a path.
pub(crate) async fn file(uri: Uri) -> Response {
    match uri.path() {
        "/" | "/index.html" => ([(header::CACHE_CONTROL, "no-cache")], Html(PAGE)).into_response(),
        _ => (StatusCode::NOT_FOUND, Html("<!doctype html><title>Backstay</title><p>There is no such page.</p>"))
            .into_response(),
    }
}
