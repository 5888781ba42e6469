//! By what issuers of single sign-on know people.
//!
//! Never knows: whom an issuer vouches for, or why it is believed.

use backstay_format::units::Timestamp;
use sqlx::Row as _;

use super::Catalogue;
use super::people::Person;
use crate::rights::Grant;

/// By what an issuer knows a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) issuer: String,
    pub(crate) subject: String,
    /// The person was added because of their groups, and has the roles that these give.
    pub(crate) mapped: bool,
}

impl Catalogue {
    /// The person whom an issuer knows by a subject.
    pub(crate) async fn person_of(&self, issuer: &str, subject: &str) -> Result<Option<(Person, bool)>, sqlx::Error> {
        let found = sqlx::query("SELECT person, mapped FROM identities WHERE issuer = ? AND subject = ?");
        let Some(row) = found.bind(issuer).bind(subject).fetch_optional(&self.pool).await? else { return Ok(None) };
        let mapped = row.get::<i64, _>("mapped") != 0;
        Ok(self.person_by_id(row.get("person")).await?.map(|person| (person, mapped)))
    }

    /// By what an issuer knows a person.
    pub(crate) async fn identity(&self, person: i64) -> Result<Option<Identity>, sqlx::Error> {
        let found = sqlx::query("SELECT issuer, subject, mapped FROM identities WHERE person = ?").bind(person);
        Ok(found.fetch_optional(&self.pool).await?.map(|row| Identity {
            issuer: row.get("issuer"),
            subject: row.get("subject"),
            mapped: row.get::<i64, _>("mapped") != 0,
        }))
    }

    /// Says by what an issuer knows a person; `None`: none does. Whether nobody else is known by that.
    pub(crate) async fn set_identity(&self, person: i64, new: Option<&Identity>) -> Result<bool, sqlx::Error> {
        let mut all = self.pool.begin().await?;
        sqlx::query("DELETE FROM identities WHERE person = ?").bind(person).execute(&mut *all).await?;
        if let Some(new) = new {
            let added = sqlx::query(
                "INSERT INTO identities (person, issuer, subject, mapped) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            );
            let added = added.bind(person).bind(&new.issuer).bind(&new.subject).bind(new.mapped);
            if added.execute(&mut *all).await?.rows_affected() != 1 {
                return Ok(false);
            }
        }
        all.commit().await?;
        Ok(true)
    }

    /// Adds a person whom an issuer knows; `None`: the name is taken.
    pub(crate) async fn add_vouched(
        &self,
        name: &str,
        new: &Identity,
        grants: &[Grant],
        now: Timestamp,
    ) -> Result<Option<Person>, sqlx::Error> {
        // No password: none is like the empty text.
        let Some(id) = self.add_person((name, ""), grants, false, now).await? else { return Ok(None) };
        if self.set_identity(id, Some(new)).await? {
            return self.person_by_id(id).await;
        }
        self.remove_person(id).await?;
        Ok(None)
    }
}
