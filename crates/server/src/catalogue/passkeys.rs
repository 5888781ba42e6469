//! Passkeys: what is kept of them, and whose they are.
//!
//! Never knows: whether an answer is right.

use backstay_format::units::Timestamp;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use webauthn_rs::prelude::{Passkey, Uuid};

use super::Catalogue;
use super::people::Person;

/// A passkey of a person.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) id: i64,
    /// What the person calls it.
    pub(crate) name: String,
    /// The name of the server that it belongs to.
    pub(crate) party: String,
    pub(crate) key: Passkey,
    pub(crate) created: Timestamp,
    pub(crate) used: Option<Timestamp>,
}

impl Catalogue {
    /// A person's passkeys. One that this version cannot read is none.
    pub(crate) async fn passkeys(&self, person: i64) -> Result<Vec<Kept>, sqlx::Error> {
        let all = sqlx::query("SELECT * FROM passkeys WHERE person = ? ORDER BY id").bind(person);
        let one = |row: &SqliteRow| {
            Some(Kept {
                id: row.get("id"),
                name: row.get("name"),
                party: row.get("party"),
                key: serde_json::from_str(row.get("kept")).ok()?,
                created: Timestamp(row.get("created")),
                used: row.get::<Option<i64>, _>("used").map(Timestamp),
            })
        };
        Ok(all.fetch_all(&self.pool).await?.iter().filter_map(one).collect())
    }

    /// Keeps a new passkey; its number. `None`: somebody has it already.
    pub(crate) async fn add_passkey(
        &self,
        (person, name): (i64, &str),
        (party, key): (&str, &Passkey),
        now: Timestamp,
    ) -> Result<Option<i64>, sqlx::Error> {
        let added = sqlx::query(
            "INSERT INTO passkeys (credential, person, name, party, kept, created) VALUES (?, ?, ?, ?, ?, ?)
             ON CONFLICT DO NOTHING RETURNING id",
        );
        let kept = serde_json::to_string(key).unwrap_or_default();
        let added = added.bind(key.cred_id().as_slice()).bind(person).bind(name).bind(party).bind(kept).bind(now.0);
        Ok(added.fetch_optional(&self.pool).await?.map(|row| row.get(0)))
    }

    /// A passkey was shown: it is kept as it is now.
    pub(crate) async fn passkey_used(&self, person: i64, key: &Passkey, now: Timestamp) -> Result<(), sqlx::Error> {
        let used = sqlx::query("UPDATE passkeys SET kept = ?, used = ? WHERE credential = ? AND person = ?");
        let kept = serde_json::to_string(key).unwrap_or_default();
        let used = used.bind(kept).bind(now.0).bind(key.cred_id().as_slice()).bind(person);
        used.execute(&self.pool).await.map(|_| ())
    }

    /// Takes a passkey of a person away; whether there was one.
    pub(crate) async fn remove_passkey(&self, person: i64, id: i64) -> Result<bool, sqlx::Error> {
        let gone = sqlx::query("DELETE FROM passkeys WHERE id = ? AND person = ?").bind(id).bind(person);
        Ok(gone.execute(&self.pool).await?.rows_affected() == 1)
    }

    /// By what passkeys know a person: it says nothing of them. `random`: for who has none yet.
    pub(crate) async fn handle(&self, person: i64, random: [u8; 16]) -> Result<Uuid, sqlx::Error> {
        let new = Uuid::from_bytes(random);
        let set = sqlx::query("UPDATE people SET handle = coalesce(handle, ?) WHERE id = ? RETURNING handle");
        let kept = set.bind(&new.as_bytes()[..]).bind(person).fetch_one(&self.pool).await?;
        Ok(Uuid::from_slice(kept.get(0)).unwrap_or(new))
    }

    /// The person that passkeys know by this.
    pub(crate) async fn person_of_handle(&self, handle: Uuid) -> Result<Option<Person>, sqlx::Error> {
        let found = sqlx::query("SELECT id FROM people WHERE handle = ?").bind(&handle.as_bytes()[..]);
        match found.fetch_optional(&self.pool).await? {
            Some(row) => self.person_by_id(row.get(0)).await,
            None => Ok(None),
        }
    }

    /// Whether anybody has a passkey of a name.
    pub(crate) async fn has_passkeys(&self, party: &str) -> Result<bool, sqlx::Error> {
        let found = sqlx::query("SELECT EXISTS (SELECT 1 FROM passkeys WHERE party = ?)").bind(party);
        Ok(found.fetch_one(&self.pool).await?.get::<i64, _>(0) != 0)
    }

    /// Says which name passkeys belong to of which it was not written down.
    pub(crate) async fn name_passkeys(&self, party: &str) -> Result<(), sqlx::Error> {
        let named = sqlx::query("UPDATE passkeys SET party = ? WHERE party IS NULL").bind(party);
        named.execute(&self.pool).await.map(|_| ())
    }
}
