//! The server: one port for people, programs and agents; the catalogue of who they are; jobs on a calendar.
//!
//! Everything that matters is in the store. What is kept here besides can be lost: the machines' points are not lost with it.
//!
//! Never knows: byte layouts, how a point is made, or the command line.

pub mod agents;
mod alerts;
mod api;
mod authority;
mod catalogue;
mod console;
mod error;
mod jobs;
mod live;
mod moment;
mod people;
mod place;
mod port;
mod record;
mod rights;
mod running;
mod server;
mod space;
mod watch;

pub use authority::Authority;
pub use catalogue::machines::Enrolled;
pub use error::ServerError;
pub use live::{Live, News};
pub use running::{Running, Settings, StorePlace};
pub use server::Server;
