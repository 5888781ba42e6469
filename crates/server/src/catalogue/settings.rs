//! Settings, and what was promised of single machines.
//!
//! Never knows: what they mean, or what is sealed in them.

use std::collections::BTreeMap;

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::Catalogue;

impl Catalogue {
    /// The settings: their text, and their secrets, sealed; `None`: nothing was ever settled.
    pub(crate) async fn settings(&self) -> Result<Option<(String, Vec<u8>)>, sqlx::Error> {
        let found = sqlx::query("SELECT typed, sealed FROM settings").fetch_optional(&self.pool).await?;
        Ok(found.map(|row| (row.get(0), row.get(1))))
    }

    /// Puts settings in the place of those before, all at once.
    pub(crate) async fn set_settings(&self, typed: &str, sealed: &[u8]) -> Result<(), sqlx::Error> {
        let set = sqlx::query("INSERT OR REPLACE INTO settings (one, typed, sealed) VALUES (1, ?, ?)");
        set.bind(typed).bind(sealed).execute(&self.pool).await.map(|_| ())
    }

    /// Seconds that were promised of machines; 0: nothing is promised.
    pub(crate) async fn promises(&self) -> Result<BTreeMap<String, u64>, sqlx::Error> {
        let all = sqlx::query("SELECT machine, seconds FROM promises").fetch_all(&self.pool).await?;
        Ok(all.iter().map(|row: &SqliteRow| (row.get(0), row.get::<i64, _>(1) as u64)).collect())
    }

    /// Promises so many seconds of a machine; `None`: what is promised of all.
    pub(crate) async fn set_promise(&self, machine: &str, seconds: Option<u64>) -> Result<(), sqlx::Error> {
        let set = match seconds {
            None => sqlx::query("DELETE FROM promises WHERE machine = ?").bind(machine),
            Some(seconds) => sqlx::query("INSERT OR REPLACE INTO promises (machine, seconds) VALUES (?, ?)")
                .bind(machine)
                .bind(seconds as i64),
        };
        set.execute(&self.pool).await.map(|_| ())
    }
}
