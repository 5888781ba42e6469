//! Jobs: what was started, and what became of it. When jobs are due.
//!
//! Never knows: what jobs do.

use backstay_format::units::Timestamp;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::Catalogue;

/// A job.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) id: i64,
    /// What it is about, as JSON.
    pub(crate) about: String,
    pub(crate) by: String,
    pub(crate) state: String,
    pub(crate) done: u64,
    pub(crate) total: u64,
    /// What came of it, as JSON, or why it failed.
    pub(crate) told: String,
    pub(crate) created: Timestamp,
    pub(crate) ended: Option<Timestamp>,
}

/// When a job is due.
#[derive(Clone, Debug)]
pub(crate) struct Due {
    pub(crate) kind: String,
    pub(crate) about: String,
    /// Seconds from one to the next.
    pub(crate) every: u64,
    pub(crate) next: Timestamp,
}

impl Catalogue {
    /// What the clock of ages was last; `None`: there was none.
    pub(crate) async fn ages(&self) -> Result<Option<Timestamp>, sqlx::Error> {
        let found = sqlx::query("SELECT at FROM ages").fetch_optional(&self.pool).await?;
        Ok(found.map(|row| Timestamp(row.get(0))))
    }

    /// Keeps what the clock of ages is.
    pub(crate) async fn set_ages(&self, at: Timestamp) -> Result<(), sqlx::Error> {
        let set = sqlx::query("INSERT OR REPLACE INTO ages (one, at) VALUES (1, ?)");
        set.bind(at.0).execute(&self.pool).await.map(drop)
    }

    /// Keeps a job that begins.
    pub(crate) async fn add_job(
        &self,
        (kind, about): (&str, &str),
        by: &str,
        now: Timestamp,
    ) -> Result<i64, sqlx::Error> {
        let added = sqlx::query(
            "INSERT INTO jobs (kind, about, by, state, created) VALUES (?, ?, ?, 'running', ?) RETURNING id",
        );
        Ok(added.bind(kind).bind(about).bind(by).bind(now.0).fetch_one(&self.pool).await?.get(0))
    }

    /// What became of a job.
    pub(crate) async fn end_job(
        &self,
        id: i64,
        (state, told): (&str, &str),
        (done, total): (u64, u64),
        now: Timestamp,
    ) -> Result<(), sqlx::Error> {
        let ended = sqlx::query("UPDATE jobs SET state = ?, told = ?, done = ?, total = ?, ended = ? WHERE id = ?");
        let ended = ended.bind(state).bind(told).bind(done as i64).bind(total as i64).bind(now.0).bind(id);
        ended.execute(&self.pool).await.map(|_| ())
    }

    /// Jobs that were under way when the server died are over.
    pub(crate) async fn bury_jobs(&self, now: Timestamp) -> Result<(), sqlx::Error> {
        let buried = sqlx::query(
            "UPDATE jobs SET state = 'interrupted', told = 'the server ended before the job', ended = ? WHERE ended IS NULL",
        );
        buried.bind(now.0).execute(&self.pool).await.map(|_| ())
    }

    /// Jobs, newest first, below an id.
    pub(crate) async fn jobs(&self, below: i64, most: u32) -> Result<Vec<Job>, sqlx::Error> {
        let all = sqlx::query("SELECT * FROM jobs WHERE id < ? ORDER BY id DESC LIMIT ?").bind(below).bind(most);
        Ok(all.fetch_all(&self.pool).await?.iter().map(job).collect())
    }

    /// One job.
    pub(crate) async fn job(&self, id: i64) -> Result<Option<Job>, sqlx::Error> {
        let found = sqlx::query("SELECT * FROM jobs WHERE id = ?").bind(id).fetch_optional(&self.pool).await?;
        Ok(found.as_ref().map(job))
    }

    /// The calendar.
    pub(crate) async fn calendar(&self) -> Result<Vec<Due>, sqlx::Error> {
        let all = sqlx::query("SELECT * FROM calendar ORDER BY kind").fetch_all(&self.pool).await?;
        let due = |row: &SqliteRow| Due {
            kind: row.get("kind"),
            about: row.get("about"),
            every: row.get::<i64, _>("every") as u64,
            next: Timestamp(row.get("next")),
        };
        Ok(all.iter().map(due).collect())
    }

    /// Sets when a kind of job is due; `every` 0: never.
    pub(crate) async fn set_due(&self, due: &Due) -> Result<(), sqlx::Error> {
        let set = match due.every {
            0 => sqlx::query("DELETE FROM calendar WHERE kind = ?").bind(&due.kind),
            every => sqlx::query("INSERT OR REPLACE INTO calendar (kind, about, every, next) VALUES (?, ?, ?, ?)")
                .bind(&due.kind)
                .bind(&due.about)
                .bind(every as i64)
                .bind(due.next.0),
        };
        set.execute(&self.pool).await.map(|_| ())
    }
}

fn job(row: &SqliteRow) -> Job {
    Job {
        id: row.get("id"),
        about: row.get("about"),
        by: row.get("by"),
        state: row.get("state"),
        done: row.get::<i64, _>("done") as u64,
        total: row.get::<i64, _>("total") as u64,
        told: row.get("told"),
        created: Timestamp(row.get("created")),
        ended: row.get::<Option<i64>, _>("ended").map(Timestamp),
    }
}
