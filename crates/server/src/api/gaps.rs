//! Times without points, as the API says them.
//!
//! Never knows: what a gap is.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use backstay_format::rows::gap::{GapRow, SuspensionRow};
use backstay_timeline::gap::word;
use serde::Serialize;
use utoipa::ToSchema;

use super::blocking;
use super::error::{Answer, Failure};
use crate::Server;
use crate::moment::rfc3339;

/// A time without points that were promised.
#[derive(Clone, Serialize, ToSchema)]
pub(crate) struct GapText {
    from: String,
    /// Nothing: it lasts.
    to: Option<String>,
    /// The number of the point that ended it.
    point: Option<u64>,
    causes: Vec<CauseText>,
}

/// Why, from some moment on.
#[derive(Clone, Serialize, ToSchema)]
pub(crate) struct CauseText {
    since: String,
    /// In a word: `unknown`, `suspended`, `busy`, `store`, `rescan`, `slow`, `clock` or `failed`.
    why: String,
    /// More for people; may be empty.
    text: String,
}

/// A time for which no points are wanted.
#[derive(Clone, Serialize, ToSchema)]
pub(crate) struct SuspensionText {
    since: String,
    until: String,
    reason: String,
}

impl SuspensionText {
    pub(crate) fn of(row: &SuspensionRow) -> SuspensionText {
        SuspensionText { since: rfc3339(row.since), until: rfc3339(row.until), reason: row.reason.clone() }
    }
}

impl GapText {
    pub(crate) fn of(gap: &GapRow, ended: bool) -> GapText {
        let cause = |cause: &backstay_format::rows::gap::Cause| CauseText {
            since: rfc3339(cause.since),
            why: word(cause.why).to_owned(),
            text: cause.text.clone(),
        };
        GapText {
            from: rfc3339(gap.from),
            to: ended.then(|| rfc3339(gap.to)),
            point: None,
            causes: gap.causes.iter().map(cause).collect(),
        }
    }
}

/// Lists the gaps of a machine's timeline, oldest first; one that lasts is the last.
#[utoipa::path(get, path = "/api/v1/machines/{machine}/gaps", params(("machine" = String, Path)), responses(
    (status = 200, body = Vec<GapText>), (status = "4XX", body = Answer)))]
pub(crate) async fn list(
    State(server): State<Arc<Server>>,
    Path(name): Path<String>,
) -> Result<Json<Vec<GapText>>, Failure> {
    let gaps = blocking(&server, move |server| Ok(server.vault.gaps(&server.vault.machine(&name)?)?)).await?;
    let closed = gaps.closed.iter().map(|(number, gap)| GapText { point: Some(number.0), ..GapText::of(gap, true) });
    Ok(Json(closed.chain(gaps.open.iter().map(|gap| GapText::of(gap, false))).collect()))
}
