//! What happens now, as server-sent events.
//!
//! Never knows: who tells it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use tokio::sync::{broadcast, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use super::error::Answer;
use super::guard::Caller;
use crate::Server;
use crate::live::News;
use crate::rights::Right;

/// A stream ends after so long; whoever goes on asks anew, and is asked anew who they are.
const LONGEST: Duration = Duration::from_secs(900);

/// Tells what happens, as far as whoever asks may see it. The stream ends after a quarter of an hour; ask again then.
#[utoipa::path(get, path = "/api/v1/events", responses(
    (status = 200, description = "Server-sent events", content_type = "text/event-stream", body = String),
    (status = "4XX", body = Answer)))]
pub(crate) async fn stream(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
) -> impl IntoResponse {
    let mut news = server.live.watch();
    let (send, receive) = mpsc::channel::<Result<Event, Infallible>>(64);
    tokio::spawn(async move {
        let ends = tokio::time::sleep(LONGEST);
        tokio::pin!(ends);
        loop {
            let told = tokio::select! {
                told = news.recv() => told,
                () = &mut ends => return,
                () = send.closed() => return,
            };
            let event = match told {
                Ok(news) if may_see(&caller, &news, server.vault.name()) => Event::default().json_data(&news),
                Ok(_) => continue,
                Err(broadcast::error::RecvError::Lagged(_)) => Ok(Event::default().event("missed").data("{}")),
                Err(broadcast::error::RecvError::Closed) => return,
            };
            let Ok(event) = event else { continue };
            if send.send(Ok(event)).await.is_err() {
                return;
            }
        }
    });
    Sse::new(ReceiverStream::new(receive)).keep_alive(KeepAlive::default())
}

fn may_see(caller: &Caller, news: &News, vault: &str) -> bool {
    match news.machine() {
        Some(machine) => caller.may(Right::See, machine, vault),
        None => caller.may_all(Right::See),
    }
}
