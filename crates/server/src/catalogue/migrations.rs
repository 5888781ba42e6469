//! How the catalogue came to be as it is: steps with names, each done once, in this order. A step that was released never changes.
//!
//! Never knows: what the tables are used for.

use sqlx::{Row as _, SqlitePool};

use crate::error::ServerError;

const STEPS: &[(&str, &str)] = &[
    (
        "people",
        "CREATE TABLE people (
            id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, password TEXT NOT NULL,
            totp TEXT, totp_next TEXT, totp_step INTEGER NOT NULL DEFAULT 0,
            disabled INTEGER NOT NULL DEFAULT 0, created INTEGER NOT NULL) STRICT;
        CREATE TABLE grants (
            person INTEGER NOT NULL REFERENCES people ON DELETE CASCADE, role TEXT NOT NULL, scope TEXT NOT NULL,
            PRIMARY KEY (person, role, scope)) STRICT;
        CREATE TABLE sessions (
            hash BLOB PRIMARY KEY, person INTEGER NOT NULL REFERENCES people ON DELETE CASCADE, csrf TEXT NOT NULL,
            created INTEGER NOT NULL, seen INTEGER NOT NULL) STRICT;
        CREATE TABLE tokens (
            id INTEGER PRIMARY KEY AUTOINCREMENT, hash BLOB NOT NULL UNIQUE,
            person INTEGER NOT NULL REFERENCES people ON DELETE CASCADE, name TEXT NOT NULL,
            role TEXT NOT NULL, scope TEXT NOT NULL, created INTEGER NOT NULL, until INTEGER NOT NULL) STRICT;",
    ),
    (
        "machines",
        "CREATE TABLE enrolments (
            id INTEGER PRIMARY KEY AUTOINCREMENT, hash BLOB NOT NULL UNIQUE, machine TEXT NOT NULL, vault TEXT NOT NULL,
            by TEXT NOT NULL, created INTEGER NOT NULL, until INTEGER NOT NULL, used INTEGER, revoked INTEGER) STRICT;
        CREATE TABLE machines (
            id TEXT PRIMARY KEY, name TEXT NOT NULL, vault TEXT NOT NULL, created INTEGER NOT NULL,
            UNIQUE (vault, name)) STRICT;
        CREATE TABLE certificates (
            fingerprint BLOB PRIMARY KEY, serial TEXT NOT NULL, machine TEXT NOT NULL REFERENCES machines,
            created INTEGER NOT NULL, revoked INTEGER) STRICT;",
    ),
    (
        "jobs",
        "CREATE TABLE jobs (
            id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, about TEXT NOT NULL, by TEXT NOT NULL,
            state TEXT NOT NULL, done INTEGER NOT NULL DEFAULT 0, total INTEGER NOT NULL DEFAULT 0,
            told TEXT NOT NULL DEFAULT '', created INTEGER NOT NULL, ended INTEGER) STRICT;
        CREATE TABLE calendar (
            kind TEXT PRIMARY KEY, about TEXT NOT NULL, every INTEGER NOT NULL, next INTEGER NOT NULL) STRICT;",
    ),
    (
        "alerts",
        "CREATE TABLE alerts (
            id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, subject TEXT NOT NULL, told TEXT NOT NULL,
            since INTEGER NOT NULL, ended INTEGER) STRICT;
        CREATE UNIQUE INDEX alerts_open ON alerts (kind, subject) WHERE ended IS NULL;",
    ),
    ("space", "CREATE TABLE space (at INTEGER PRIMARY KEY, stored INTEGER NOT NULL) STRICT;"),
    (
        "settings",
        "CREATE TABLE settings (one INTEGER PRIMARY KEY CHECK (one = 1), typed TEXT NOT NULL, sealed BLOB NOT NULL) STRICT;
        CREATE TABLE promises (machine TEXT PRIMARY KEY, seconds INTEGER NOT NULL) STRICT;
        CREATE TABLE outbox (
            id INTEGER PRIMARY KEY AUTOINCREMENT, channel TEXT NOT NULL, alert INTEGER NOT NULL REFERENCES alerts,
            began INTEGER NOT NULL, at INTEGER NOT NULL) STRICT;
        CREATE INDEX outbox_channel ON outbox (channel, id);
        CREATE TABLE lost (channel TEXT PRIMARY KEY, count INTEGER NOT NULL) STRICT;",
    ),
    (
        "one-time passwords",
        "ALTER TABLE people ADD COLUMN once_until INTEGER;
        ALTER TABLE people ADD COLUMN once_used INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE sessions ADD COLUMN address TEXT NOT NULL DEFAULT '';
        ALTER TABLE sessions ADD COLUMN way TEXT NOT NULL DEFAULT 'password';
        ALTER TABLE certificates ADD COLUMN replaces BLOB;",
    ),
    (
        "passkeys",
        "ALTER TABLE people ADD COLUMN handle BLOB;
        CREATE UNIQUE INDEX people_handle ON people (handle) WHERE handle IS NOT NULL;
        CREATE TABLE passkeys (
            id INTEGER PRIMARY KEY AUTOINCREMENT, credential BLOB NOT NULL UNIQUE,
            person INTEGER NOT NULL REFERENCES people ON DELETE CASCADE, name TEXT NOT NULL, kept TEXT NOT NULL,
            created INTEGER NOT NULL, used INTEGER) STRICT;
        CREATE TABLE identities (
            person INTEGER NOT NULL UNIQUE REFERENCES people ON DELETE CASCADE, issuer TEXT NOT NULL,
            subject TEXT NOT NULL, mapped INTEGER NOT NULL, PRIMARY KEY (issuer, subject)) STRICT;",
    ),
    ("ages", "CREATE TABLE ages (one INTEGER PRIMARY KEY CHECK (one = 1), at INTEGER NOT NULL) STRICT;"),
    ("names of passkeys", "ALTER TABLE passkeys ADD COLUMN party TEXT;"),
];

/// Does what was not done yet.
/// # Errors
/// `Newer`: steps were done that this program does not know; nothing was changed.
pub(super) async fn run(pool: &SqlitePool) -> Result<(), ServerError> {
    sqlx::raw_sql("CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY) STRICT").execute(pool).await?;
    let done = sqlx::query_scalar::<_, String>("SELECT name FROM migrations ORDER BY rowid").fetch_all(pool).await?;
    if let Some(step) = done.into_iter().find(|name| !STEPS.iter().any(|(known, _)| known == name)) {
        return Err(ServerError::Newer(step));
    }
    for (name, step) in STEPS {
        let mut all = pool.begin().await?;
        let done =
            sqlx::query("SELECT count(*) FROM migrations WHERE name = ?").bind(*name).fetch_one(&mut *all).await?;
        if done.get::<i64, _>(0) == 0 {
            sqlx::raw_sql(*step).execute(&mut *all).await?;
            sqlx::query("INSERT INTO migrations (name) VALUES (?)").bind(*name).execute(&mut *all).await?;
            all.commit().await?;
        }
    }
    Ok(())
}
