//! The database behind the store: where it lies, how it is opened, and what its errors mean.
//!
//! The only file that names SQLite. Everything else writes SQL that Postgres takes too, against the names given here.

use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::pool::PoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, SqlStr};

use super::StoreError;

pub(super) type Sql = sqlx::Sqlite;
pub(super) type Connection = sqlx::SqliteConnection;
pub(super) type Pool = sqlx::SqlitePool;
pub(super) type Values<'a> = sqlx::query_builder::Separated<'a, Sql, &'static str>;

/// Takes the write lock at once: a transaction that began by reading could not be upgraded while another process writes.
pub(super) const BEGIN: &str = "BEGIN IMMEDIATE";

/// Readers at once. They never wait for the writer; more would only share two cores among more queries.
const READERS: u32 = 4;
/// How long another process may hold the file before we say that the store is not available.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a query waits for one of the readers.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// Every set statement comes in eight sizes; all of them together fit.
const STATEMENTS_KEPT: usize = 256;

const MIGRATIONS: [(i64, &str, &str); 1] = [(1, "store", include_str!("../../schemas/sql/sqlite/0001_store.sql"))];

/// A database that exists and has the tables of this version.
#[derive(Clone)]
pub(super) struct Db {
    options: SqliteConnectOptions,
    pub(super) readers: Pool,
}

impl Db {
    pub(super) async fn open(url: &str, data_dir: &Path) -> Result<(Self, Connection), StoreError> {
        let path = path(url, data_dir)?;
        make_private(&path).map_err(|err| StoreError::Unusable(format!("`{}` cannot be opened: {err}", path.display())))?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(false)
            .busy_timeout(BUSY_TIMEOUT)
            .statement_cache_capacity(STATEMENTS_KEPT)
            .disable_statement_logging()
            // Four times the usual 4 MB of log between checkpoints: pages that many events touch are copied back once.
            .pragma("wal_autocheckpoint", "4000")
            .pragma("journal_size_limit", "67108864");
        let explain = |err: sqlx::Error| StoreError::Unusable(format!("`{}` cannot be opened: {err}", path.display()));
        let mut writer = options.connect().await.map_err(explain)?;
        migrator()
            .run(&mut writer)
            .await
            .map_err(|err| StoreError::Unusable(format!("the tables of `{}` cannot be brought to this version: {err}", path.display())))?;
        let readers = PoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_lazy_with(options.clone().pragma("query_only", "ON"));
        Ok((Self { options, readers }, writer))
    }

    /// Another writer connection, after a fault of the old one.
    pub(super) async fn connect(&self) -> Result<Connection, StoreError> {
        Ok(self.options.connect().await?)
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(err: sqlx::Error) -> Self {
        let passes = match &err {
            sqlx::Error::Database(err) => err.code().and_then(|code| code.parse::<u32>().ok()).is_some_and(passes),
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => true,
            _ => false,
        };
        if passes { Self::Unavailable(err.to_string()) } else { Self::Unusable(err.to_string()) }
    }
}

/// Whether an error of SQLite may pass by itself; the low byte is the kind, the rest the detail.
fn passes(code: u32) -> bool {
    const BUSY: u32 = 5;
    const LOCKED: u32 = 6;
    const OUT_OF_MEMORY: u32 = 7;
    const INTERRUPTED: u32 = 9;
    const INPUT_OUTPUT: u32 = 10;
    const FULL: u32 = 13;
    const CANNOT_OPEN: u32 = 14;
    const LOCK_PROTOCOL: u32 = 15;
    matches!(code & 0xff, BUSY | LOCKED | OUT_OF_MEMORY | INTERRUPTED | INPUT_OUTPUT | FULL | CANNOT_OPEN | LOCK_PROTOCOL)
}

fn path(url: &str, data_dir: &Path) -> Result<PathBuf, StoreError> {
    // The URL itself is not repeated: it may hold a password.
    let Some(path) = url.strip_prefix("sqlite:") else {
        return Err(StoreError::Unusable(
            "`store.url` names a database that this build does not have: it has only SQLite, so write `sqlite:` or `sqlite:PATH`".into(),
        ));
    };
    Ok(data_dir.join(if path.is_empty() { "ticketwire.sqlite" } else { path }))
}

/// Makes the file, or its mode, such that only its owner reads it: it holds every body. SQLite gives its side files the same mode.
fn make_private(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let file = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))
}

fn migrator() -> Migrator {
    let migration = |(version, name, sql): (i64, &'static str, &'static str)| {
        Migration::new(version, name.into(), MigrationType::Simple, SqlStr::from_static(sql), false)
    };
    Migrator::with_migrations(MIGRATIONS.map(migration).to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_found_by_the_url() {
        let check = |url: &str, expected: &str| assert_eq!(path(url, Path::new("/data")), Ok(expected.into()), "{url}");
        check("sqlite:", "/data/ticketwire.sqlite");
        check("sqlite:other.db", "/data/other.db");
        check("sqlite:/elsewhere/other.db", "/elsewhere/other.db");
        for url in ["postgres://user:hunter2@db/x", "mysql:", ""] {
            let refused = path(url, Path::new("/data")).expect_err("not SQLite");
            assert!(matches!(&refused, StoreError::Unusable(why) if why.contains("only SQLite") && !why.contains("hunter2")), "{refused}");
        }
    }

    #[test]
    fn what_passes_by_itself_is_told_from_what_does_not() {
        for code in [5, 261, 13, 10, 778, 14] {
            assert!(passes(code), "{code}");
        }
        for code in [1, 8, 11, 19, 1555, 2067, 26] {
            assert!(!passes(code), "{code}");
        }
    }
}
