//! Sessions: who is logged in in a browser, and until when.
//!
//! Never knows: cookies.

use backstay_format::units::Timestamp;
use sqlx::Row as _;

use super::Catalogue;
use super::people::Person;
use crate::moment::SECOND;

/// A session ends after so long without a request, and after so long in any case.
const IDLE: i64 = 3600 * SECOND;
const LONGEST: i64 = 12 * 3600 * SECOND;

impl Catalogue {
    /// Begins a session. Those that are over are swept away.
    pub(crate) async fn begin_session(
        &self,
        hash: &[u8; 32],
        (person, csrf): (i64, &str),
        now: Timestamp,
    ) -> Result<(), sqlx::Error> {
        let over = sqlx::query("DELETE FROM sessions WHERE seen < ? OR created < ?");
        over.bind(now.0 - IDLE).bind(now.0 - LONGEST).execute(&self.pool).await?;
        let added = sqlx::query("INSERT INTO sessions (hash, person, csrf, created, seen) VALUES (?, ?, ?, ?, ?)");
        let added = added.bind(&hash[..]).bind(person).bind(csrf).bind(now.0).bind(now.0);
        added.execute(&self.pool).await.map(|_| ())
    }

    /// Whose session it is, and the word that its requests must carry. One from the future, as after a clock was set back, is over.
    pub(crate) async fn session(
        &self,
        hash: &[u8; 32],
        now: Timestamp,
    ) -> Result<Option<(Person, String)>, sqlx::Error> {
        let found = sqlx::query(
            "SELECT person, csrf, seen FROM sessions WHERE hash = ? AND seen >= ? AND created BETWEEN ? AND ?",
        );
        let found =
            found.bind(&hash[..]).bind(now.0 - IDLE).bind(now.0 - LONGEST).bind(now.0.saturating_add(60 * SECOND));
        let Some(row) = found.fetch_optional(&self.pool).await? else { return Ok(None) };
        // Not at every request: each is a write that waits for the disk.
        if now.0 - row.get::<i64, _>("seen") > 60 * SECOND {
            let seen = sqlx::query("UPDATE sessions SET seen = ? WHERE hash = ?").bind(now.0).bind(&hash[..]);
            seen.execute(&self.pool).await?;
        }
        let person = self.person_by_id(row.get("person")).await?.filter(|person| !person.disabled);
        Ok(person.map(|person| (person, row.get("csrf"))))
    }

    /// Ends a session.
    pub(crate) async fn end_session(&self, hash: &[u8; 32]) -> Result<(), sqlx::Error> {
        sqlx::query("DELETE FROM sessions WHERE hash = ?").bind(&hash[..]).execute(&self.pool).await.map(|_| ())
    }
}
