//! Tokens: what programs show in place of a person.
//!
//! Never knows: the tokens themselves; their hashes are kept.

use backstay_format::units::Timestamp;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::Catalogue;
use super::people::Person;
use crate::rights::{Grant, Role, Scope};

/// A token, but for the token itself.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) id: i64,
    pub(crate) person: String,
    pub(crate) name: String,
    pub(crate) grant: Grant,
    pub(crate) created: Timestamp,
    pub(crate) until: Timestamp,
}

impl Catalogue {
    /// Keeps a new token of a person.
    pub(crate) async fn add_token(&self, hash: &[u8; 32], person: i64, new: &Token) -> Result<i64, sqlx::Error> {
        let added = sqlx::query(
            "INSERT INTO tokens (hash, person, name, role, scope, created, until) VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id",
        );
        let added = added.bind(&hash[..]).bind(person).bind(&new.name);
        let added = added.bind(new.grant.role.word()).bind(new.grant.scope.to_string());
        Ok(added.bind(new.created.0).bind(new.until.0).fetch_one(&self.pool).await?.get(0))
    }

    /// Who shows a token, with what it allows and nothing more. Of the person's rights only those count that the person still has.
    pub(crate) async fn token(&self, hash: &[u8; 32], now: Timestamp) -> Result<Option<(Person, Grant)>, sqlx::Error> {
        let found = sqlx::query("SELECT * FROM tokens WHERE hash = ? AND until > ? AND created <= ?");
        let minute = now.0.saturating_add(60 * crate::moment::SECOND);
        let found = found.bind(&hash[..]).bind(now.0).bind(minute).fetch_optional(&self.pool).await?;
        let Some(row) = found else { return Ok(None) };
        let Some(grant) = grant(&row) else { return Ok(None) };
        let person = self.person_by_id(row.get("person")).await?;
        let person = person.filter(|person| !person.disabled && person.grants.iter().any(|has| has.covers(&grant)));
        Ok(person.map(|person| (person, grant)))
    }

    /// All tokens, or those of one person, newest first.
    pub(crate) async fn tokens(&self, person: Option<i64>) -> Result<Vec<Token>, sqlx::Error> {
        let all = sqlx::query(
            "SELECT t.*, p.name AS whose FROM tokens t JOIN people p ON p.id = t.person
             WHERE ?1 IS NULL OR t.person = ?1 ORDER BY t.id DESC",
        );
        let all = all.bind(person).fetch_all(&self.pool).await?;
        let one = |row: &SqliteRow| {
            Some(Token {
                id: row.get("id"),
                person: row.get("whose"),
                name: row.get("name"),
                grant: grant(row)?,
                created: Timestamp(row.get("created")),
                until: Timestamp(row.get("until")),
            })
        };
        Ok(all.iter().filter_map(one).collect())
    }

    /// Ends a token, of one person if one is given; whether there was one.
    pub(crate) async fn remove_token(&self, id: i64, person: Option<i64>) -> Result<bool, sqlx::Error> {
        let gone =
            sqlx::query("DELETE FROM tokens WHERE id = ?1 AND (?2 IS NULL OR person = ?2)").bind(id).bind(person);
        Ok(gone.execute(&self.pool).await?.rows_affected() == 1)
    }
}

fn grant(row: &SqliteRow) -> Option<Grant> {
    Some(Grant { role: Role::parse(row.get("role"))?, scope: Scope::parse(row.get("scope"))? })
}
