//! The console's files, as far as they are built in, and which one answers a path.
//!
//! Never knows: what they do.

use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};

use crate::api::Failure;

/// All files by their paths; none, if the console was not built before the server was.
static FILES: &[(&str, &[u8])] = &include!(concat!(env!("OUT_DIR"), "/console.rs"));

const PAGE: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Backstay</title>\
<h1>Backstay</h1><p>This server was built without the console. <code>cargo xtask console</code> builds it; a server that is built \
after that has it. The API is at <a href=\"/api/v1/health\">/api/v1</a>.</p></html>";

/// What a browser may do with anything that comes from here: nothing of anybody else's.
pub(crate) const POLICY: &str = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

/// The file of a path.
pub(crate) async fn file(uri: Uri) -> Response {
    answer(FILES, uri.path())
}

fn answer(files: &[(&str, &'static [u8])], path: &str) -> Response {
    let found = |path: &str| files.iter().find(|(name, _)| *name == path).map(|(_, bytes)| *bytes);
    if path == "/api" || path.starts_with("/api/") {
        return Failure::missing("such request").into_response();
    }
    match (found(path), found("/index.html")) {
        (Some(bytes), _) if path != "/index.html" => sent(path, bytes),
        // A file that is not there is not a page of the console: a page from before an update asks for it.
        (None, _) if path.starts_with("/assets/") => {
            (StatusCode::NOT_FOUND, Html("<!doctype html><title>Backstay</title><p>There is no such file.</p>"))
                .into_response()
        }
        (_, Some(index)) => Html(index).into_response(),
        (_, None) => Html(PAGE).into_response(),
    }
}

/// Names under `assets` hold a hash of what is in them, so they can be kept for ever.
fn sent(path: &str, bytes: &'static [u8]) -> Response {
    let cache = if path.starts_with("/assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers = [(header::CONTENT_TYPE, kind(path)), (header::CACHE_CONTROL, HeaderValue::from_static(cache))];
    (headers, bytes).into_response()
}

fn kind(path: &str) -> HeaderValue {
    HeaderValue::from_static(match path.rsplit('.').next().unwrap_or_default() {
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "html" => "text/html; charset=utf-8",
        _ => "application/octet-stream",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUILT: &[(&str, &[u8])] = &[("/assets/a-1.js", b"code"), ("/icon.svg", b"<svg/>"), ("/index.html", b"index")];

    fn header_of<'r>(response: &'r Response, name: &str) -> &'r str {
        response.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[test]
    fn each_path_has_its_answer() {
        for (path, status, kind) in [
            ("/", 200, "text/html; charset=utf-8"),
            ("/machines/web", 200, "text/html; charset=utf-8"),
            ("/assets/a-1.js", 200, "text/javascript; charset=utf-8"),
            ("/assets/a-0.js", 404, "text/html; charset=utf-8"),
            ("/icon.svg", 200, "image/svg+xml"),
            ("/api/v1/nothing", 404, "application/json"),
        ] {
            let answered = answer(BUILT, path);
            assert_eq!((answered.status().as_u16(), header_of(&answered, "content-type")), (status, kind), "{path}");
        }
    }

    #[test]
    fn only_what_never_changes_is_kept() {
        assert!(header_of(&answer(BUILT, "/assets/a-1.js"), "cache-control").contains("immutable"));
        assert_eq!(header_of(&answer(BUILT, "/icon.svg"), "cache-control"), "no-cache");
        // The default of everything that is answered: not stored.
        assert_eq!(header_of(&answer(BUILT, "/"), "cache-control"), "");
    }

    #[test]
    fn without_a_console_it_says_how_to_get_it() {
        assert_eq!(answer(&[], "/").status(), 200);
        assert!(PAGE.contains("cargo xtask console"));
    }
}
