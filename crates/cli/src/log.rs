//! What a server says while it runs, line by line on standard error: in text, or in JSON for programs.
//!
//! Never knows: what is said.

use std::io;

use clap::ValueEnum;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// An object a line.
    Json,
}

/// From now on what this program says of itself is written. What libraries say is not: they know no secret from other bytes.
pub(crate) fn begin(format: Format) {
    let ours = Targets::new().with_target("backstay", LevelFilter::INFO);
    let all = tracing_subscriber::registry().with(ours);
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(false);
    // Somebody who listens already hears it all.
    let _ = match format {
        Format::Text => all.with(lines).try_init(),
        Format::Json => all.with(lines.json().flatten_event(true)).try_init(),
    };
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(target: "backstay", place, what = panic.payload_as_str().unwrap_or_default(), "a thread failed");
    }));
}
