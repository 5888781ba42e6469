//! What the document says of every request alike: its name, and who must be known for it. It follows from the table.
//!
//! Never knows: requests one by one.

use axum::http::Method;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Components, OpenApi, PathItem};

use super::guard::COOKIE;
use super::table;
use crate::rights::Right;

/// How people and programs say who they are.
const SESSION: &str = "session";
const TOKEN: &str = "token";

/// Puts it into the document.
pub(crate) fn state(document: &mut OpenApi) {
    let components = document.components.get_or_insert_with(Components::new);
    let cookie =
        ApiKeyValue::with_description(COOKIE, "Of a login. What changes something also carries x-backstay-csrf.");
    components.add_security_scheme(SESSION, SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    components.add_security_scheme(TOKEN, SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            operation.operation_id = Some(name(&method, path));
            let needs = table::find(&method, path).is_none_or(|row| row.right != Right::Nobody);
            let ways = [SESSION, TOKEN].map(|way| SecurityRequirement::new(way, [""; 0]));
            operation.security = needs.then(|| ways.into());
        }
    }
}

/// One of its own for each: the method, and the path without its version.
fn name(method: &Method, path: &str) -> String {
    let words = path.trim_start_matches("/api/v1").split(['/', '{', '}', '-']).filter(|word| !word.is_empty());
    let words: Vec<&str> = words.collect();
    format!("{}_{}", method.as_str().to_lowercase(), words.join("_"))
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let all = [
        (Method::GET, &mut item.get),
        (Method::PUT, &mut item.put),
        (Method::POST, &mut item.post),
        (Method::DELETE, &mut item.delete),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}
