//! Sessions: who is logged in in a browser, and until when.
//!
//! Never knows: cookies.

use backstay_format::units::Timestamp;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::Catalogue;
use super::people::Person;
use crate::moment::SECOND;

/// A session ends after so long without a request, and after so long in any case.
const IDLE: i64 = 3600 * SECOND;
const LONGEST: i64 = 12 * 3600 * SECOND;

/// A session, as people see it.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) hash: Vec<u8>,
    /// The address that it was begun from.
    pub(crate) address: String,
    /// How whoever began it showed who they are.
    pub(crate) way: String,
    pub(crate) created: Timestamp,
    /// When it was used, to a minute.
    pub(crate) seen: Timestamp,
}

/// A session that begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beginning<'a> {
    pub(crate) person: i64,
    pub(crate) csrf: &'a str,
    pub(crate) address: &'a str,
    pub(crate) way: &'a str,
}

/// Whose session it is.
#[derive(Clone, Debug)]
pub(crate) struct Whose {
    pub(crate) person: Person,
    /// The word that its requests must carry.
    pub(crate) csrf: String,
    pub(crate) created: Timestamp,
}

impl Catalogue {
    /// Begins a session. Those that are over are swept away.
    pub(crate) async fn begin_session(
        &self,
        hash: &[u8; 32],
        new: Beginning<'_>,
        now: Timestamp,
    ) -> Result<(), sqlx::Error> {
        let over = sqlx::query("DELETE FROM sessions WHERE seen < ? OR created < ?");
        over.bind(now.0 - IDLE).bind(now.0 - LONGEST).execute(&self.pool).await?;
        let added = sqlx::query(
            "INSERT INTO sessions (hash, person, csrf, address, way, created, seen) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)",
        );
        let added = added.bind(&hash[..]).bind(new.person).bind(new.csrf).bind(new.address).bind(new.way).bind(now.0);
        added.execute(&self.pool).await.map(|_| ())
    }

    /// Whose session it is. One from the future, as after a clock was set back, is over.
    pub(crate) async fn session(&self, hash: &[u8; 32], now: Timestamp) -> Result<Option<Whose>, sqlx::Error> {
        let found = sqlx::query(
            "SELECT person, csrf, created, seen FROM sessions WHERE hash = ? AND seen >= ? AND created BETWEEN ? AND ?",
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
        Ok(person.map(|person| Whose { person, csrf: row.get("csrf"), created: Timestamp(row.get("created")) }))
    }

    /// A person's sessions, newest first.
    pub(crate) async fn sessions(&self, person: i64, now: Timestamp) -> Result<Vec<Session>, sqlx::Error> {
        let all = sqlx::query(
            "SELECT * FROM sessions WHERE person = ? AND seen >= ? AND created BETWEEN ? AND ? ORDER BY created DESC",
        );
        let all = all.bind(person).bind(now.0 - IDLE).bind(now.0 - LONGEST).bind(now.0.saturating_add(60 * SECOND));
        let one = |row: &SqliteRow| Session {
            hash: row.get("hash"),
            address: row.get("address"),
            way: row.get("way"),
            created: Timestamp(row.get("created")),
            seen: Timestamp(row.get("seen")),
        };
        Ok(all.fetch_all(&self.pool).await?.iter().map(one).collect())
    }

    /// Ends all sessions of a person.
    pub(crate) async fn end_sessions(&self, person: i64) -> Result<(), sqlx::Error> {
        sqlx::query("DELETE FROM sessions WHERE person = ?").bind(person).execute(&self.pool).await.map(|_| ())
    }

    /// Ends a session.
    pub(crate) async fn end_session(&self, hash: &[u8]) -> Result<(), sqlx::Error> {
        sqlx::query("DELETE FROM sessions WHERE hash = ?").bind(hash).execute(&self.pool).await.map(|_| ())
    }
}
