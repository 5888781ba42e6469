//! Alerts: what needs a person, since when, and until when it did.
//!
//! Never knows: who is told, or how.

use backstay_format::units::Timestamp;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::Catalogue;
use super::outbox::post;

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
    /// An alert begins; whether it had not yet. It waits to be told to these channels from then on.
    pub(crate) async fn begin_alert(
        &self,
        (kind, subject, told): (&str, &str, &str),
        channels: &[String],
        now: Timestamp,
    ) -> Result<bool, sqlx::Error> {
        let mut all = self.pool.begin().await?;
        let added = sqlx::query(
            "INSERT INTO alerts (kind, subject, told, since) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id",
        );
        let added = added.bind(kind).bind(subject).bind(told).bind(now.0).fetch_optional(&mut *all).await?;
        let Some(id) = added.map(|row| row.get(0)) else { return Ok(false) };
        post(&mut all, (id, true), channels, now).await?;
        all.commit().await?;
        Ok(true)
    }

    /// An alert ends; whether it had not yet.
    pub(crate) async fn end_alert(
        &self,
        (kind, subject): (&str, &str),
        channels: &[String],
        now: Timestamp,
    ) -> Result<bool, sqlx::Error> {
        let mut all = self.pool.begin().await?;
        let ended =
            sqlx::query("UPDATE alerts SET ended = ? WHERE kind = ? AND subject = ? AND ended IS NULL RETURNING id");
        let ended = ended.bind(now.0).bind(kind).bind(subject).fetch_optional(&mut *all).await?;
        let Some(id) = ended.map(|row| row.get(0)) else { return Ok(false) };
        post(&mut all, (id, false), channels, now).await?;
        all.commit().await?;
        Ok(true)
    }

    /// Alerts: those that last first, then the newest.
    pub(crate) async fn alerts(&self, most: u32) -> Result<Vec<Alert>, sqlx::Error> {
        let all = sqlx::query("SELECT * FROM alerts ORDER BY ended IS NOT NULL, id DESC LIMIT ?").bind(most);
        Ok(all.fetch_all(&self.pool).await?.iter().map(alert).collect())
    }
}

pub(super) fn alert(row: &SqliteRow) -> Alert {
    Alert {
        id: row.get("id"),
        kind: row.get("kind"),
        subject: row.get("subject"),
        told: row.get("told"),
        since: Timestamp(row.get("since")),
        ended: row.get::<Option<i64>, _>("ended").map(Timestamp),
    }
}
