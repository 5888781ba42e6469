//! People, their passwords' hashes, second factors and roles.
//!
//! Never knows: passwords, or what a role allows.

use backstay_format::units::Timestamp;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::Catalogue;
use crate::moment::later;
use crate::rights::{Grant, Role, Scope};

/// What is read of people.
macro_rules! people {
    () => {
        "SELECT *, (SELECT count(*) FROM passkeys WHERE person = people.id) AS passkeys FROM people"
    };
}

/// A person.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) id: i64,
    pub(crate) name: String,
    /// What is kept of the password.
    pub(crate) password: String,
    /// The secret of the second factor, if there is one.
    pub(crate) totp: Option<String>,
    /// One that was offered and not confirmed yet.
    pub(crate) totp_next: Option<String>,
    /// How many passkeys there are.
    pub(crate) passkeys: i64,
    pub(crate) disabled: bool,
    /// The password is one that an administrator made.
    pub(crate) once: Option<Once>,
    pub(crate) created: Timestamp,
    pub(crate) grants: Vec<Grant>,
}

/// A password that is good for one login, after which it is to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Once {
    pub(crate) until: Timestamp,
    pub(crate) used: bool,
}

/// Seconds that a password that was made can be used: three days.
pub(crate) const ONE_TIME: u64 = 3 * 86_400;

impl Once {
    /// Whether it can be used: it was made lately, by a clock that was not ahead.
    pub(crate) fn is_good(self, now: Timestamp) -> bool {
        !self.used && now < self.until && self.until <= later(now, ONE_TIME + 60)
    }
}

impl Catalogue {
    /// Whether there is anybody at all.
    pub(crate) async fn is_empty(&self) -> Result<bool, sqlx::Error> {
        let count = sqlx::query("SELECT count(*) FROM people").fetch_one(&self.pool).await?;
        Ok(count.get::<i64, _>(0) == 0)
    }

    /// Adds a person; `None`: the name is taken, or `only_first` and somebody is there.
    pub(crate) async fn add_person(
        &self,
        (name, password): (&str, &str),
        grants: &[Grant],
        only_first: bool,
        now: Timestamp,
    ) -> Result<Option<i64>, sqlx::Error> {
        let mut all = self.pool.begin().await?;
        let added = sqlx::query(
            "INSERT INTO people (name, password, created) SELECT ?, ?, ? WHERE NOT ? OR NOT EXISTS (SELECT 1 FROM people)
             ON CONFLICT DO NOTHING RETURNING id",
        );
        let added = added.bind(name).bind(password).bind(now.0).bind(only_first).fetch_optional(&mut *all).await?;
        let Some(id) = added.map(|row| row.get::<i64, _>(0)) else { return Ok(None) };
        for grant in grants {
            let row = sqlx::query("INSERT OR IGNORE INTO grants (person, role, scope) VALUES (?, ?, ?)");
            row.bind(id).bind(grant.role.word()).bind(grant.scope.to_string()).execute(&mut *all).await?;
        }
        all.commit().await?;
        Ok(Some(id))
    }

    /// All people, by name.
    pub(crate) async fn people(&self) -> Result<Vec<Person>, sqlx::Error> {
        let rows = sqlx::query(concat!(people!(), " ORDER BY name")).fetch_all(&self.pool).await?;
        let mut people = Vec::new();
        for row in &rows {
            people.push(self.with_grants(row).await?);
        }
        Ok(people)
    }

    /// The person of a name.
    pub(crate) async fn person(&self, name: &str) -> Result<Option<Person>, sqlx::Error> {
        let row = sqlx::query(concat!(people!(), " WHERE name = ?")).bind(name).fetch_optional(&self.pool).await?;
        match row {
            Some(row) => Ok(Some(self.with_grants(&row).await?)),
            None => Ok(None),
        }
    }

    /// The person of a number.
    pub(crate) async fn person_by_id(&self, id: i64) -> Result<Option<Person>, sqlx::Error> {
        let row = sqlx::query(concat!(people!(), " WHERE id = ?")).bind(id).fetch_optional(&self.pool).await?;
        match row {
            Some(row) => Ok(Some(self.with_grants(&row).await?)),
            None => Ok(None),
        }
    }

    async fn with_grants(&self, row: &SqliteRow) -> Result<Person, sqlx::Error> {
        let id: i64 = row.get("id");
        let grants = sqlx::query("SELECT role, scope FROM grants WHERE person = ? ORDER BY role, scope").bind(id);
        let grants = grants.fetch_all(&self.pool).await?;
        // A role that this version does not know is no role.
        let grant = |row: &SqliteRow| Some(Grant { role: Role::parse(row.get(0))?, scope: Scope::parse(row.get(1))? });
        Ok(Person {
            id,
            name: row.get("name"),
            password: row.get("password"),
            totp: row.get("totp"),
            totp_next: row.get("totp_next"),
            passkeys: row.get("passkeys"),
            disabled: row.get::<i64, _>("disabled") != 0,
            once: row
                .get::<Option<i64>, _>("once_until")
                .map(|until| Once { until: Timestamp(until), used: row.get::<i64, _>("once_used") != 0 }),
            created: Timestamp(row.get("created")),
            grants: grants.iter().filter_map(grant).collect(),
        })
    }

    /// Gives a person exactly these roles, and ends what the old ones were used for.
    pub(crate) async fn set_grants(&self, person: i64, grants: &[Grant]) -> Result<(), sqlx::Error> {
        let mut all = self.pool.begin().await?;
        for gone in ["DELETE FROM grants WHERE person = ?", "DELETE FROM tokens WHERE person = ?"] {
            sqlx::query(gone).bind(person).execute(&mut *all).await?;
        }
        for grant in grants {
            let row = sqlx::query("INSERT OR IGNORE INTO grants (person, role, scope) VALUES (?, ?, ?)");
            row.bind(person).bind(grant.role.word()).bind(grant.scope.to_string()).execute(&mut *all).await?;
        }
        all.commit().await
    }

    /// Shuts a person out, or lets them in again. All sessions and tokens of one who is shut out end.
    pub(crate) async fn set_disabled(&self, person: i64, disabled: bool) -> Result<(), sqlx::Error> {
        let mut all = self.pool.begin().await?;
        sqlx::query("UPDATE people SET disabled = ? WHERE id = ?")
            .bind(disabled)
            .bind(person)
            .execute(&mut *all)
            .await?;
        if disabled {
            for gone in ["DELETE FROM sessions WHERE person = ?", "DELETE FROM tokens WHERE person = ?"] {
                sqlx::query(gone).bind(person).execute(&mut *all).await?;
            }
        }
        all.commit().await
    }

    /// Removes a person with all that is theirs.
    pub(crate) async fn remove_person(&self, person: i64) -> Result<(), sqlx::Error> {
        sqlx::query("DELETE FROM people WHERE id = ?").bind(person).execute(&self.pool).await.map(|_| ())
    }

    /// Sets a new password. All sessions end but that of `but`.
    pub(crate) async fn set_password(&self, person: i64, kept: &str, but: Option<&[u8]>) -> Result<(), sqlx::Error> {
        let mut all = self.pool.begin().await?;
        let set = sqlx::query("UPDATE people SET password = ?, once_until = NULL, once_used = 0 WHERE id = ?");
        set.bind(kept).bind(person).execute(&mut *all).await?;
        let others = sqlx::query("DELETE FROM sessions WHERE person = ? AND hash IS NOT ?").bind(person).bind(but);
        others.execute(&mut *all).await?;
        all.commit().await
    }

    /// Sets a password that is good for one login. All sessions and tokens end; second factors too, if `alone`.
    pub(crate) async fn set_once(
        &self,
        person: i64,
        (kept, until): (&str, Timestamp),
        alone: bool,
    ) -> Result<(), sqlx::Error> {
        let mut all = self.pool.begin().await?;
        let set = sqlx::query("UPDATE people SET password = ?, once_until = ?, once_used = 0 WHERE id = ?");
        set.bind(kept).bind(until.0).bind(person).execute(&mut *all).await?;
        for gone in ["DELETE FROM sessions WHERE person = ?", "DELETE FROM tokens WHERE person = ?"] {
            sqlx::query(gone).bind(person).execute(&mut *all).await?;
        }
        if alone {
            let none = sqlx::query("UPDATE people SET totp = NULL, totp_next = NULL WHERE id = ?");
            none.bind(person).execute(&mut *all).await?;
            sqlx::query("DELETE FROM passkeys WHERE person = ?").bind(person).execute(&mut *all).await?;
        }
        all.commit().await
    }

    /// Uses a password up that is good for one login; whether it was not before.
    pub(crate) async fn use_once(&self, person: i64) -> Result<bool, sqlx::Error> {
        let used =
            sqlx::query("UPDATE people SET once_used = 1 WHERE id = ? AND once_until IS NOT NULL AND once_used = 0");
        Ok(used.bind(person).execute(&self.pool).await?.rows_affected() == 1)
    }

    /// Offers a second factor, or takes the one there is away.
    pub(crate) async fn set_totp(
        &self,
        person: i64,
        (now, next): (Option<&str>, Option<&str>),
    ) -> Result<(), sqlx::Error> {
        let set = sqlx::query("UPDATE people SET totp = ?, totp_next = ? WHERE id = ?");
        set.bind(now).bind(next).bind(person).execute(&self.pool).await.map(|_| ())
    }

    /// Uses a step of a second factor up; whether it was not before, nor any later one. Steps of a future that is not near were used
    /// while the clock was wrong, and shut nobody out.
    pub(crate) async fn use_step(&self, person: i64, step: i64) -> Result<bool, sqlx::Error> {
        let used =
            sqlx::query("UPDATE people SET totp_step = ?1 WHERE id = ?2 AND (totp_step < ?1 OR totp_step > ?1 + 10)");
        Ok(used.bind(step).bind(person).execute(&self.pool).await?.rows_affected() == 1)
    }

    /// How many people may administrate and are not shut out.
    pub(crate) async fn administrators(&self) -> Result<i64, sqlx::Error> {
        let count = sqlx::query(
            "SELECT count(DISTINCT g.person) FROM grants g JOIN people p ON p.id = g.person
             WHERE g.role = 'administrator' AND g.scope = 'all' AND NOT p.disabled",
        );
        Ok(count.fetch_one(&self.pool).await?.get(0))
    }
}
