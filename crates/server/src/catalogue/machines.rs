//! Machines that were enrolled, the codes that they are enrolled with, and their certificates.
//!
//! Never knows: what machines protect.

use backstay_format::units::Timestamp;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::Catalogue;
use crate::authority::Issued;

/// A machine that showed its certificate and has its rights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolled {
    /// Its id: 32 hex digits.
    pub id: String,
    /// Its name: that of its timeline.
    pub name: String,
    /// The name of the vault that its points go into.
    pub vault: String,
}

/// A code that a machine can be enrolled with, but for the code itself.
#[derive(Clone, Debug)]
pub(crate) struct Enrolment {
    pub(crate) id: i64,
    pub(crate) machine: String,
    pub(crate) vault: String,
    pub(crate) by: String,
    pub(crate) created: Timestamp,
    pub(crate) until: Timestamp,
    pub(crate) used: Option<Timestamp>,
    pub(crate) revoked: Option<Timestamp>,
}

/// A machine with what is known of its certificates.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) who: Enrolled,
    pub(crate) created: Timestamp,
    /// It has a certificate that was not taken back.
    pub(crate) may_connect: bool,
}

impl Catalogue {
    /// The machine of a certificate that was shown, unless it was taken back; and whether it is shown for the first time in the place
    /// of another, which is taken back from now on.
    pub(crate) async fn shown(
        &self,
        fingerprint: &[u8; 32],
        now: Timestamp,
    ) -> Result<Option<(Enrolled, bool)>, sqlx::Error> {
        let found = sqlx::query(
            "SELECT m.id, m.name, m.vault, c.replaces FROM certificates c JOIN machines m ON m.id = c.machine
             WHERE c.fingerprint = ? AND c.revoked IS NULL",
        );
        let Some(row) = found.bind(&fingerprint[..]).fetch_optional(&self.pool).await? else { return Ok(None) };
        let (who, replaces) = (who(&row), row.get::<Option<Vec<u8>>, _>("replaces"));
        if replaces.is_some() {
            let mut all = self.pool.begin().await?;
            let first = sqlx::query("UPDATE certificates SET replaces = NULL WHERE fingerprint = ?");
            first.bind(&fingerprint[..]).execute(&mut *all).await?;
            let others = sqlx::query(
                "UPDATE certificates SET revoked = ? WHERE machine = ? AND fingerprint <> ? AND revoked IS NULL",
            );
            others.bind(now.0).bind(&who.id).bind(&fingerprint[..]).execute(&mut *all).await?;
            all.commit().await?;
        }
        Ok(Some((who, replaces.is_some())))
    }

    /// Keeps a certificate that takes the place of another once it was shown. One that was made before for that and never shown
    /// is taken back. Whether the one that is replaced was still good.
    pub(crate) async fn renew(
        &self,
        (machine, replaced): (&str, &[u8; 32]),
        issued: &Issued,
        now: Timestamp,
    ) -> Result<bool, sqlx::Error> {
        let mut all = self.pool.begin().await?;
        let never = sqlx::query(
            "UPDATE certificates SET revoked = ? WHERE machine = ? AND replaces IS NOT NULL AND revoked IS NULL",
        );
        never.bind(now.0).bind(machine).execute(&mut *all).await?;
        let added = sqlx::query(
            "INSERT INTO certificates (fingerprint, serial, machine, created, replaces)
             SELECT ?1, ?2, machine, ?3, fingerprint FROM certificates
             WHERE fingerprint = ?4 AND machine = ?5 AND revoked IS NULL",
        );
        let added = added.bind(&issued.fingerprint[..]).bind(&issued.serial).bind(now.0).bind(&replaced[..]);
        if added.bind(machine).execute(&mut *all).await?.rows_affected() != 1 {
            return Ok(false);
        }
        all.commit().await?;
        Ok(true)
    }

    /// How many machines have a certificate that was not taken back.
    pub(crate) async fn count_machines(&self) -> Result<u64, sqlx::Error> {
        let count = sqlx::query("SELECT count(DISTINCT machine) FROM certificates WHERE revoked IS NULL");
        Ok(count.fetch_one(&self.pool).await?.get::<i64, _>(0).unsigned_abs())
    }

    /// Keeps a new code.
    pub(crate) async fn add_enrolment(&self, hash: &[u8; 32], new: &Enrolment) -> Result<i64, sqlx::Error> {
        let added = sqlx::query(
            "INSERT INTO enrolments (hash, machine, vault, by, created, until) VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
        );
        let added = added.bind(&hash[..]).bind(&new.machine).bind(&new.vault).bind(&new.by);
        Ok(added.bind(new.created.0).bind(new.until.0).fetch_one(&self.pool).await?.get(0))
    }

    /// All codes, newest first.
    pub(crate) async fn enrolments(&self) -> Result<Vec<Enrolment>, sqlx::Error> {
        let all = sqlx::query("SELECT * FROM enrolments ORDER BY id DESC LIMIT 1000").fetch_all(&self.pool).await?;
        Ok(all.iter().map(enrolment).collect())
    }

    /// Takes a code back; whether there was one that could still be used.
    pub(crate) async fn revoke_enrolment(&self, id: i64, now: Timestamp) -> Result<bool, sqlx::Error> {
        let done = sqlx::query("UPDATE enrolments SET revoked = ? WHERE id = ? AND used IS NULL AND revoked IS NULL");
        Ok(done.bind(now.0).bind(id).execute(&self.pool).await?.rows_affected() == 1)
    }

    /// The code of that hash, if it can be used now.
    pub(crate) async fn enrolment(&self, hash: &[u8; 32], now: Timestamp) -> Result<Option<Enrolment>, sqlx::Error> {
        let found = sqlx::query(
            "SELECT * FROM enrolments WHERE hash = ? AND used IS NULL AND revoked IS NULL AND until > ? AND created <= ?",
        );
        // One from the future, as after a clock was set back, is none.
        let minute = now.0.saturating_add(60 * crate::moment::SECOND);
        Ok(found.bind(&hash[..]).bind(now.0).bind(minute).fetch_optional(&self.pool).await?.as_ref().map(enrolment))
    }

    /// The id that the machine of a name has, if it has one.
    pub(crate) async fn machine_id(&self, vault: &str, name: &str) -> Result<Option<String>, sqlx::Error> {
        let found = sqlx::query("SELECT id FROM machines WHERE vault = ? AND name = ?").bind(vault).bind(name);
        Ok(found.fetch_optional(&self.pool).await?.map(|row| row.get(0)))
    }

    /// Uses a code up for a certificate, all or nothing: of two that use one code, one succeeds. Certificates that the machine had
    /// before are taken back: whoever enrols anew is the machine.
    pub(crate) async fn enrol(
        &self,
        code: i64,
        who: &Enrolled,
        issued: &Issued,
        now: Timestamp,
    ) -> Result<bool, sqlx::Error> {
        let mut all = self.pool.begin().await?;
        let used = sqlx::query("UPDATE enrolments SET used = ? WHERE id = ? AND used IS NULL AND revoked IS NULL");
        if used.bind(now.0).bind(code).execute(&mut *all).await?.rows_affected() != 1 {
            return Ok(false);
        }
        let machine =
            sqlx::query("INSERT INTO machines (id, name, vault, created) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING");
        machine.bind(&who.id).bind(&who.name).bind(&who.vault).bind(now.0).execute(&mut *all).await?;
        let before = sqlx::query("UPDATE certificates SET revoked = ? WHERE machine = ? AND revoked IS NULL");
        before.bind(now.0).bind(&who.id).execute(&mut *all).await?;
        let added = sqlx::query("INSERT INTO certificates (fingerprint, serial, machine, created) VALUES (?, ?, ?, ?)");
        let added = added.bind(&issued.fingerprint[..]).bind(&issued.serial).bind(&who.id).bind(now.0);
        added.execute(&mut *all).await?;
        all.commit().await?;
        Ok(true)
    }

    /// Takes back all certificates of a machine; whether it had one.
    pub(crate) async fn revoke_machine(&self, name: &str, now: Timestamp) -> Result<bool, sqlx::Error> {
        let done = sqlx::query(
            "UPDATE certificates SET revoked = ? WHERE revoked IS NULL
             AND machine IN (SELECT id FROM machines WHERE name = ?)",
        );
        Ok(done.bind(now.0).bind(name).execute(&self.pool).await?.rows_affected() > 0)
    }

    /// All machines that were ever enrolled.
    pub(crate) async fn known(&self) -> Result<Vec<Known>, sqlx::Error> {
        let all = sqlx::query(
            "SELECT m.*, EXISTS (SELECT 1 FROM certificates c WHERE c.machine = m.id AND c.revoked IS NULL) AS may
             FROM machines m ORDER BY m.name",
        );
        let all = all.fetch_all(&self.pool).await?;
        let one = |row: &SqliteRow| Known {
            who: who(row),
            created: Timestamp(row.get("created")),
            may_connect: row.get::<i64, _>("may") != 0,
        };
        Ok(all.iter().map(one).collect())
    }
}

fn who(row: &SqliteRow) -> Enrolled {
    Enrolled { id: row.get("id"), name: row.get("name"), vault: row.get("vault") }
}

fn enrolment(row: &SqliteRow) -> Enrolment {
    let time = |name: &str| row.get::<Option<i64>, _>(name).map(Timestamp);
    Enrolment {
        id: row.get("id"),
        machine: row.get("machine"),
        vault: row.get("vault"),
        by: row.get("by"),
        created: Timestamp(row.get("created")),
        until: Timestamp(row.get("until")),
        used: time("used"),
        revoked: time("revoked"),
    }
}
