//! What the store took, from hour to hour.
//!
//! Never knows: what follows from that.

use backstay_format::units::Timestamp;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::Catalogue;

/// What the store took at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) at: Timestamp,
    pub(crate) stored: u64,
}

impl Catalogue {
    /// Keeps what the store takes now, and nothing of before `oldest`.
    pub(crate) async fn add_taken(&self, taken: Taken, oldest: Timestamp) -> Result<(), sqlx::Error> {
        let added = sqlx::query("INSERT OR REPLACE INTO space (at, stored) VALUES (?, ?)");
        added.bind(taken.at.0).bind(i64::try_from(taken.stored).unwrap_or(i64::MAX)).execute(&self.pool).await?;
        sqlx::query("DELETE FROM space WHERE at < ?").bind(oldest.0).execute(&self.pool).await.map(drop)
    }

    /// What the store took, oldest first.
    pub(crate) async fn taken(&self) -> Result<Vec<Taken>, sqlx::Error> {
        let all = sqlx::query("SELECT at, stored FROM space ORDER BY at").fetch_all(&self.pool).await?;
        let one = |row: &SqliteRow| Taken { at: Timestamp(row.get("at")), stored: row.get::<i64, _>("stored") as u64 };
        Ok(all.iter().map(one).collect())
    }
}
