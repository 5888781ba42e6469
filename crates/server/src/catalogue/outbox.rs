//! The outbox: what is still to be told, to whom. It is bounded: the oldest make room, and are counted.
//!
//! Never knows: how anybody is told.

use backstay_format::units::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, Sqlite, Transaction};

use super::Catalogue;
use super::alerts::{Alert, alert};

/// What waits for one channel at most.
const MOST: i64 = 1000;

/// The beginning or the end of an alert, to be told to one channel.
#[derive(Clone, Debug)]
pub(crate) struct Notice {
    pub(crate) id: i64,
    pub(crate) began: bool,
    /// When it began or ended.
    pub(crate) at: Timestamp,
    pub(crate) alert: Alert,
}

impl Catalogue {
    /// What waits for a channel, oldest first, at most so many; and how many were left out before.
    pub(crate) async fn outbox(&self, channel: &str, most: u32) -> Result<(Vec<Notice>, u64), sqlx::Error> {
        let all = sqlx::query(
            "SELECT o.id AS notice, o.began, o.at, a.* FROM outbox o JOIN alerts a ON a.id = o.alert
             WHERE o.channel = ? ORDER BY o.id LIMIT ?",
        );
        let all = all.bind(channel).bind(most).fetch_all(&self.pool).await?;
        let lost = sqlx::query("SELECT count FROM lost WHERE channel = ?").bind(channel).fetch_optional(&self.pool);
        let lost = lost.await?.map_or(0, |row| row.get::<i64, _>(0) as u64);
        Ok((all.iter().map(notice).collect(), lost))
    }

    /// What was told is told: up to this one, and that some were left out.
    pub(crate) async fn told(&self, channel: &str, up_to: i64) -> Result<(), sqlx::Error> {
        let mut all = self.pool.begin().await?;
        let told = sqlx::query("DELETE FROM outbox WHERE channel = ? AND id <= ?").bind(channel).bind(up_to);
        told.execute(&mut *all).await?;
        sqlx::query("DELETE FROM lost WHERE channel = ?").bind(channel).execute(&mut *all).await?;
        all.commit().await
    }

    /// Forgets what waits for channels that are no more.
    pub(crate) async fn keep_channels(&self, channels: &[String]) -> Result<(), sqlx::Error> {
        let kept = serde_json::to_string(channels).unwrap_or_default();
        for gone in [
            "DELETE FROM outbox WHERE channel NOT IN (SELECT value FROM json_each(?))",
            "DELETE FROM lost WHERE channel NOT IN (SELECT value FROM json_each(?))",
        ] {
            sqlx::query(gone).bind(&kept).execute(&self.pool).await?;
        }
        Ok(())
    }
}

/// Puts a notice in the outbox for each channel, together with what it tells of.
pub(super) async fn post(
    all: &mut Transaction<'_, Sqlite>,
    (alert, began): (i64, bool),
    channels: &[String],
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    for channel in channels {
        let added = sqlx::query("INSERT INTO outbox (channel, alert, began, at) VALUES (?, ?, ?, ?)");
        added.bind(channel).bind(alert).bind(began).bind(now.0).execute(&mut **all).await?;
        let gone = sqlx::query(
            "DELETE FROM outbox WHERE channel = ?1 AND id <= (SELECT id FROM outbox WHERE channel = ?1
             ORDER BY id DESC LIMIT 1 OFFSET ?2)",
        );
        let gone = gone.bind(channel).bind(MOST).execute(&mut **all).await?.rows_affected();
        if gone > 0 {
            let lost = sqlx::query(
                "INSERT INTO lost (channel, count) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET count = count + ?2",
            );
            lost.bind(channel).bind(gone as i64).execute(&mut **all).await?;
        }
    }
    Ok(())
}

fn notice(row: &SqliteRow) -> Notice {
    Notice {
        id: row.get("notice"),
        began: row.get::<i64, _>("began") != 0,
        at: Timestamp(row.get("at")),
        alert: alert(row),
    }
}
