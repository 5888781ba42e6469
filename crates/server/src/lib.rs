//! The server: one port for people, programs and agents; the catalogue of who they are; jobs on a calendar.
//!
//! Everything that matters is in the store. What is kept here besides can be lost: the machines' points are not lost with it.
//!
//! Never knows: byte layouts, how a point is made, or the command line.

mod afterlife;
mod agents;
pub mod ages;
mod alerts;
mod api;
mod at_work;
mod authority;
mod catalogue;
#[cfg(test)]
mod certificates;
mod console;
mod error;
mod jobs;
mod live;
mod moment;
mod notice;
mod people;
mod place;
mod port;
mod promise;
mod record;
mod restores;
mod rights;
mod running;
mod server;
mod settings;
mod space;
mod watch;

pub use afterlife::recover::{Recovered, recover};
pub use authority::Authority;
pub use catalogue::machines::Enrolled;
pub use error::ServerError;
pub use live::{Live, News};
pub use running::{JobHours, Running, Settings, StorePlace};
pub use server::Server;

/// An error with its causes, as one text.
pub(crate) fn words(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |all, cause| {
        let cause = cause.to_string();
        if all.contains(&cause) { all } else { format!("{all}: {cause}") }
    })
}
