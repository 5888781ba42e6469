//! The catalogue: who may do what, and what is planned, in one SQLite file. It can be lost; the points cannot be lost with it.
//!
//! Never knows: who asks, or whether they may.

pub(crate) mod alerts;
pub(crate) mod identities;
pub(crate) mod jobs;
pub(crate) mod machines;
mod migrations;
pub(crate) mod outbox;
pub(crate) mod passkeys;
pub(crate) mod people;
pub(crate) mod sessions;
mod settings;
pub(crate) mod space;
pub(crate) mod tokens;

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqlitePool};

use crate::error::ServerError;

/// The catalogue. What is written is durable when a call returns.
#[derive(Clone, Debug)]
pub(crate) struct Catalogue {
    pool: SqlitePool,
}

impl Catalogue {
    /// Opens the file, making it or bringing it up to date if need be.
    /// # Errors
    /// `Newer`: a newer program brought it further than this one knows; nothing was changed.
    pub(crate) async fn open(path: &Path) -> Result<Catalogue, ServerError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(10));
        let pool = SqlitePoolOptions::new().max_connections(8).connect_with(options).await?;
        migrations::run(&pool).await?;
        Ok(Catalogue { pool })
    }

    /// Closes it; what was written is in one file again.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }

    /// Writes it to a file that is not there yet, as it is at one instant, but for sessions: with each request they change.
    pub(crate) async fn copy_to(&self, path: &Path) -> Result<(), sqlx::Error> {
        let name = path.to_string_lossy().into_owned();
        sqlx::query("VACUUM INTO ?").bind(name).execute(&self.pool).await?;
        let mut copy = SqliteConnectOptions::new().filename(path).connect().await?;
        sqlx::raw_sql("DELETE FROM sessions; VACUUM").execute(&mut copy).await?;
        copy.close().await
    }

    /// Answers, or does not.
    pub(crate) async fn ping(&self) -> Result<(), sqlx::Error> {
        sqlx::query("SELECT 1").execute(&self.pool).await.map(|_| ())
    }
}
