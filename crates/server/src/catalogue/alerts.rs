//! Alerts: what needs a person, since when, and until when it did.
//!
//! Never knows: who is told, or how.

use backstay_format::units::Timestamp;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::Catalogue;

/// An alert.
#[derive(Clone, Debug)]
pub(crate) struct Alert {
    pub(crate) id: i64,
    pub(crate) kind: String,
    pub(crate) subject: String,
    pub(crate) told: String,
    pub(crate) since: Timestamp,
    pub(crate) ended: Option<Timestamp>,
}

impl Catalogue {
    /// An alert begins; whether it had not yet.
    pub(crate) async fn begin_alert(
        &self,
        kind: &str,
        subject: &str,
        told: &str,
        now: Timestamp,
    ) -> Result<bool, sqlx::Error> {
        let added =
            sqlx::query("INSERT INTO alerts (kind, subject, told, since) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING");
        let added = added.bind(kind).bind(subject).bind(told).bind(now.0).execute(&self.pool).await?;
        Ok(added.rows_affected() == 1)
    }

    /// An alert ends; whether it had not yet.
    pub(crate) async fn end_alert(&self, kind: &str, subject: &str, now: Timestamp) -> Result<bool, sqlx::Error> {
        let ended = sqlx::query("UPDATE alerts SET ended = ? WHERE kind = ? AND subject = ? AND ended IS NULL");
        Ok(ended.bind(now.0).bind(kind).bind(subject).execute(&self.pool).await?.rows_affected() == 1)
    }

    /// Alerts: those that last first, then the newest.
    pub(crate) async fn alerts(&self, most: u32) -> Result<Vec<Alert>, sqlx::Error> {
        let all = sqlx::query("SELECT * FROM alerts ORDER BY ended IS NOT NULL, id DESC LIMIT ?").bind(most);
        let one = |row: &SqliteRow| Alert {
            id: row.get("id"),
            kind: row.get("kind"),
            subject: row.get("subject"),
            told: row.get("told"),
            since: Timestamp(row.get("since")),
            ended: row.get::<Option<i64>, _>("ended").map(Timestamp),
        };
        Ok(all.fetch_all(&self.pool).await?.iter().map(one).collect())
    }
}
