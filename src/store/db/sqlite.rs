//! SQLite: a file in `data_dir` or elsewhere, for one process.

use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::pool::PoolOptions;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqliteSynchronous};
use sqlx::{Arguments as _, ConnectOptions as _, Connection as _, Sqlite};

use super::super::StoreError;
use super::statement::Value;
use super::{ACQUIRE_TIMEOUT, Look, STATEMENTS_KEPT, migrator};

/// Takes the write lock at once: a transaction that began by reading could not be upgraded while another process writes.
pub(super) const BEGIN: &str = "BEGIN IMMEDIATE";

/// How long another process may hold the file before we say that the store is not available.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "store", include_str!("../../../schemas/sql/sqlite/0001_store.sql")),
    (2, "workers", include_str!("../../../schemas/sql/sqlite/0002_workers.sql")),
    (3, "replays", include_str!("../../../schemas/sql/sqlite/0003_replays.sql")),
    (4, "threads", include_str!("../../../schemas/sql/sqlite/0004_threads.sql")),
    (5, "shadows", include_str!("../../../schemas/sql/sqlite/0005_shadows.sql")),
    (6, "former_keys", include_str!("../../../schemas/sql/sqlite/0006_former_keys.sql")),
];

/// A file that exists and has the tables of this version.
#[derive(Clone)]
pub(in crate::store) struct File {
    options: SqliteConnectOptions,
    pub(super) readers: SqlitePool,
}

impl File {
    /// `path` is what follows `sqlite:`.
    pub(super) async fn open(path: &str, data_dir: &Path, readers: u32) -> Result<(Self, SqliteConnection), StoreError> {
        let path = self::path(path, data_dir);
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
        migrator(MIGRATIONS)
            .run(&mut writer)
            .await
            .map_err(|err| StoreError::Unusable(format!("the tables of `{}` cannot be brought to this version: {err}", path.display())))?;
        let readers = PoolOptions::new()
            .max_connections(readers)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_lazy_with(options.clone().pragma("query_only", "ON"));
        Ok((Self { options, readers }, writer))
    }

    /// Opens it for reading at most. A file that is not there yet is made at the first start.
    pub(super) async fn look(path: &str, data_dir: &Path) -> Result<Look, StoreError> {
        let path = self::path(path, data_dir);
        let name = format!("SQLite in `{}`", path.display());
        let explain = |err: &dyn std::fmt::Display| StoreError::Unusable(format!("`{}` cannot be opened: {err}", path.display()));
        if !path.exists() {
            let folder = path.ancestors().skip(1).find(|folder| folder.exists()).unwrap_or(Path::new("."));
            rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).map_err(|err| explain(&err))?;
            return Ok(Look::new(name, None, MIGRATIONS));
        }
        let options = SqliteConnectOptions::new().filename(&path).read_only(true).busy_timeout(BUSY_TIMEOUT).disable_statement_logging();
        let mut connection = options.connect().await.map_err(|err| explain(&err))?;
        let tables = "SELECT count(*) FROM sqlite_master WHERE name = '_sqlx_migrations'";
        let has_any: i64 = sqlx::query_scalar::<Sqlite, _>(tables).fetch_one(&mut connection).await.map_err(|err| explain(&err))?;
        let version = match has_any {
            0 => None,
            _ => {
                let newest = "SELECT max(version) FROM _sqlx_migrations";
                sqlx::query_scalar::<Sqlite, Option<i64>>(newest).fetch_one(&mut connection).await.map_err(|err| explain(&err))?
            }
        };
        // What was only read need not be closed well.
        let _ = connection.close().await;
        Ok(Look::new(name, version, MIGRATIONS))
    }

    pub(super) async fn connect(&self) -> Result<SqliteConnection, StoreError> {
        Ok(self.options.connect().await?)
    }
}

pub(super) fn arguments(values: Vec<Value<'_>>) -> Result<SqliteArguments, sqlx::Error> {
    let mut arguments = SqliteArguments::default();
    arguments.reserve(values.len(), 0);
    for value in values {
        let added = match value {
            Value::Text(text) => arguments.add(text),
            Value::Number(number) => arguments.add(number),
            Value::Bytes(bytes) => arguments.add(bytes),
        };
        added.map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

/// Whether an error of SQLite may pass by itself.
pub(super) fn passes(code: &str) -> bool {
    const BUSY: u32 = 5;
    const LOCKED: u32 = 6;
    const OUT_OF_MEMORY: u32 = 7;
    const INTERRUPTED: u32 = 9;
    const INPUT_OUTPUT: u32 = 10;
    const FULL: u32 = 13;
    const CANNOT_OPEN: u32 = 14;
    const LOCK_PROTOCOL: u32 = 15;
    matches!(kind(code), Some(BUSY | LOCKED | OUT_OF_MEMORY | INTERRUPTED | INPUT_OUTPUT | FULL | CANNOT_OPEN | LOCK_PROTOCOL))
}

/// Whether an error of SQLite is about what was to be written.
pub(super) fn is_of_data(code: &str) -> bool {
    const TOO_BIG: u32 = 18;
    const CONSTRAINT: u32 = 19;
    const MISMATCH: u32 = 20;
    matches!(kind(code), Some(TOO_BIG | CONSTRAINT | MISMATCH))
}

/// The low byte; the rest is the detail.
fn kind(code: &str) -> Option<u32> {
    code.parse::<u32>().ok().map(|code| code & 0xff)
}

fn path(path: &str, data_dir: &Path) -> PathBuf {
    data_dir.join(if path.is_empty() { "ticketwire.sqlite" } else { path })
}

/// Makes the file, or its mode, such that only its owner reads it: it holds every body. SQLite gives its side files the same mode.
fn make_private(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let file = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_found_by_the_url() {
        let check = |written: &str, expected: &str| assert_eq!(path(written, Path::new("/data")), Path::new(expected), "{written}");
        check("", "/data/ticketwire.sqlite");
        check("other.db", "/data/other.db");
        check("/elsewhere/other.db", "/elsewhere/other.db");
    }

    #[test]
    fn what_passes_by_itself_is_told_from_what_does_not() {
        for code in ["5", "261", "13", "10", "778", "14"] {
            assert!(passes(code), "{code}");
        }
        for code in ["1", "8", "11", "19", "1555", "2067", "26", "none"] {
            assert!(!passes(code), "{code}");
        }
        for code in ["18", "19", "1555", "2067", "275", "20"] {
            assert!(is_of_data(code) && !passes(code), "{code}");
        }
        for code in ["1", "8", "1032", "11", "26", "13", "none"] {
            assert!(!is_of_data(code), "{code}");
        }
    }
}
