//! What people write for where a database is.
#![no_main]

use std::time::Duration;

use backstay_capture::hooks::{MariaDb, PostgreSql};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let limit = Duration::from_secs(1);
    drop(PostgreSql::new(text, limit).map_err(|error| error.to_string()));
    drop(MariaDb::new(text, limit).map_err(|error| error.to_string()));
});
