//! The database behind the store, chosen by the URL: a file of SQLite, or a server of Postgres.
//!
//! All that differs between the two lies in this folder. Everything else writes `Statement`s that both understand, and gets back rows
//! that either can fill. A fault is told as what to do about it: wait (`Unavailable`), have a person mend it (`Unusable`), or leave out
//! what is at fault (`Rejected`).

mod address;
mod postgres;
mod sqlite;
mod statement;

use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, FromRow, PgConnection, Postgres, SqlStr, Sqlite, SqliteConnection};

use super::{Settings, StoreError};

pub(super) use postgres::HeldLock;
pub(super) use statement::{Statement, Value};

/// How long a query waits for one of the readers.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// Every set statement comes in eight sizes; all of them together fit.
const STATEMENTS_KEPT: usize = 256;

/// What a row is read into, whichever database it comes from.
pub(super) trait Record:
    for<'r> FromRow<'r, sqlx::sqlite::SqliteRow> + for<'r> FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin
{
}

impl<T> Record for T where T: for<'r> FromRow<'r, sqlx::sqlite::SqliteRow> + for<'r> FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin {}

/// A database that is there and has the tables of this version.
#[derive(Clone)]
pub(super) enum Db {
    File(sqlite::File),
    Server(postgres::Server),
}

/// The writer's connection.
pub(super) struct Connection {
    raw: Raw,
    is_beaten: bool,
}

enum Raw {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// What is wrong with `store.url` and what belongs to it, for people; the URL is never repeated: it may hold a password.
pub(super) fn check(settings: &Settings) -> Result<(), String> {
    match settings.url.split_once(':') {
        Some(("sqlite", _)) => Ok(()),
        Some(("postgres" | "postgresql", _)) => address::options(settings, Path::new("")).map(drop),
        _ => Err("it is no store that is known".into()),
    }
}

/// What can be seen of a store without changing it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// For people; without a password.
    pub name: String,
    pub tables: Tables,
}

/// The tables of a store beside those of this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tables {
    /// They are made at the first start.
    None,
    /// They are brought to this version at the next start.
    Older,
    Ours,
    /// A newer program made them: this one does not start.
    Newer,
}

impl Look {
    fn new(name: String, version: Option<i64>, migrations: &[(i64, &'static str, &'static str)]) -> Self {
        let ours = migrations.last().map_or(0, |(version, ..)| *version);
        let tables = match version {
            None => Tables::None,
            Some(version) if version < ours => Tables::Older,
            Some(version) if version == ours => Tables::Ours,
            Some(_) => Tables::Newer,
        };
        Self { name, tables }
    }
}

pub(super) async fn look(settings: &Settings, data_dir: &Path) -> Result<Look, StoreError> {
    match settings.url.strip_prefix("sqlite:") {
        Some(path) => sqlite::File::look(path, data_dir).await,
        None => postgres::Server::look(settings, data_dir).await,
    }
}

impl Db {
    pub(super) async fn open(settings: &Settings, data_dir: &Path) -> Result<(Self, Connection), StoreError> {
        check(settings).map_err(|why| StoreError::Unusable(format!("`store.url` cannot be used: {why}")))?;
        // One of the connections writes.
        let readers = settings.connections.saturating_sub(1).max(1);
        match settings.url.strip_prefix("sqlite:") {
            Some(path) => {
                let (file, writer) = sqlite::File::open(path, data_dir, readers).await?;
                Ok((Self::File(file), Raw::Sqlite(writer).into()))
            }
            None => {
                let (server, writer) = postgres::Server::open(settings, data_dir, readers).await?;
                Ok((Self::Server(server), Raw::Postgres(writer).into()))
            }
        }
    }

    /// Another writer connection, after a fault of the old one.
    pub(super) async fn connect(&self) -> Result<Connection, StoreError> {
        Ok(match self {
            Self::File(file) => Raw::Sqlite(file.connect().await?),
            Self::Server(server) => Raw::Postgres(server.connect().await?),
        }
        .into())
    }

    /// What was committed, by one of the readers.
    pub(super) async fn fetch<R: Record>(&self, statement: Statement<'_>) -> Result<Vec<R>, StoreError> {
        match self {
            Self::File(file) => {
                let arguments = sqlite::arguments(statement.values)?;
                Ok(sqlx::query_as_with::<Sqlite, R, _>(AssertSqlSafe(statement.sql.into_owned()), arguments)
                    .fetch_all(&file.readers)
                    .await?)
            }
            Self::Server(server) => server.fetch(statement).await,
        }
    }

    /// Gives up waiting where an answer may never come. A file answers by itself.
    pub(super) async fn in_time<T>(&self, work: impl Future<Output = T>) -> Result<T, StoreError> {
        match self {
            Self::File(_) => Ok(work.await),
            Self::Server(server) => server.in_time(work).await,
        }
    }

    /// A lock that one process holds; none: another has it. A file has only one process, which needs no lock.
    pub(super) async fn lock(&self, name: &str) -> Result<Option<Option<HeldLock>>, StoreError> {
        match self {
            Self::File(_) => Ok(Some(None)),
            Self::Server(server) => Ok(server.lock(name).await?.map(Some)),
        }
    }

    /// Whether other processes may write, too.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self, Self::Server(_))
    }

    pub(super) async fn close(&self) {
        match self {
            Self::File(file) => file.readers.close().await,
            Self::Server(server) => server.close().await,
        }
    }
}

impl Connection {
    pub(super) async fn begin(&mut self) -> Result<(), StoreError> {
        self.is_beaten = false;
        self.command(sqlite::BEGIN, postgres::BEGIN).await
    }

    pub(super) async fn commit(&mut self) -> Result<(), StoreError> {
        self.command("COMMIT", "COMMIT").await
    }

    pub(super) async fn rollback(&mut self) -> Result<(), StoreError> {
        self.command("ROLLBACK", "ROLLBACK").await
    }

    /// Until the end of the transaction nobody parks, and whoever did has committed. SQLite has only one who writes.
    pub(super) async fn hold_off_parking(&mut self) -> Result<(), StoreError> {
        match &self.raw {
            Raw::Sqlite(_) => Ok(()),
            Raw::Postgres(_) => self.command("", "LOCK TABLE parked IN SHARE MODE").await,
        }
    }

    /// Returns how many rows it touched.
    pub(super) async fn execute(&mut self, statement: Statement<'_>) -> Result<u64, StoreError> {
        let done = match &mut self.raw {
            Raw::Sqlite(raw) => {
                let arguments = sqlite::arguments(statement.values)?;
                let query = sqlx::query_with::<Sqlite, _>(AssertSqlSafe(statement.sql.into_owned()), arguments);
                query.execute(raw).await.map(|done| done.rows_affected())
            }
            Raw::Postgres(raw) => {
                let sql = AssertSqlSafe(statement.numbered());
                let query = sqlx::query_with::<Postgres, _>(sql, postgres::arguments(statement.values)?);
                query.execute(raw).await.map(|done| done.rows_affected())
            }
        };
        done.map_err(|err| self.told(err))
    }

    pub(super) async fn fetch<R: Record>(&mut self, statement: Statement<'_>) -> Result<Vec<R>, StoreError> {
        let rows = match &mut self.raw {
            Raw::Sqlite(raw) => {
                let arguments = sqlite::arguments(statement.values)?;
                sqlx::query_as_with::<Sqlite, R, _>(AssertSqlSafe(statement.sql.into_owned()), arguments).fetch_all(raw).await
            }
            Raw::Postgres(raw) => {
                let sql = AssertSqlSafe(statement.numbered());
                sqlx::query_as_with::<Postgres, R, _>(sql, postgres::arguments(statement.values)?).fetch_all(raw).await
            }
        };
        rows.map_err(|err| self.told(err))
    }

    /// Whether the transaction failed only because it met one of another process: the same again will do.
    pub(super) fn is_beaten(&self) -> bool {
        self.is_beaten
    }

    pub(super) async fn close(self) -> Result<(), StoreError> {
        match self.raw {
            Raw::Sqlite(raw) => raw.close().await?,
            Raw::Postgres(raw) => raw.close().await?,
        }
        Ok(())
    }

    async fn command(&mut self, sqlite: &'static str, postgres: &'static str) -> Result<(), StoreError> {
        let done = match &mut self.raw {
            Raw::Sqlite(raw) => raw.execute(SqlStr::from_static(sqlite)).await.map(drop),
            Raw::Postgres(raw) => raw.execute(SqlStr::from_static(postgres)).await.map(drop),
        };
        done.map_err(|err| self.told(err))
    }

    fn told(&mut self, err: sqlx::Error) -> StoreError {
        self.is_beaten |= postgres::is_beaten(&err);
        err.into()
    }
}

impl From<Raw> for Connection {
    fn from(raw: Raw) -> Self {
        Self { raw, is_beaten: false }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(err: sqlx::Error) -> Self {
        let passes = match &err {
            sqlx::Error::Database(err) => match postgres::state(err.as_ref()) {
                Some(state) => postgres::passes(state),
                None => err.code().is_some_and(|code| sqlite::passes(&code)),
            },
            sqlx::Error::Io(err) => postgres::connection_passes(err),
            // A server that dies while it says hello is told as a breach of protocol.
            sqlx::Error::Protocol(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => true,
            _ => false,
        };
        let is_of_data = match &err {
            sqlx::Error::Database(err) => match postgres::state(err.as_ref()) {
                Some(state) => postgres::is_of_data(state),
                None => err.code().is_some_and(|code| sqlite::is_of_data(&code)),
            },
            sqlx::Error::Encode(_) => true,
            _ => false,
        };
        match (passes, is_of_data) {
            (true, _) => Self::Unavailable(err.to_string()),
            (false, true) => Self::Rejected(err.to_string()),
            (false, false) => Self::Unusable(err.to_string()),
        }
    }
}

fn migrator(migrations: &[(i64, &'static str, &'static str)]) -> Migrator {
    let migration = |&(version, name, sql): &(i64, &'static str, &'static str)| {
        Migration::new(version, name.into(), MigrationType::Simple, SqlStr::from_static(sql), false)
    };
    Migrator::with_migrations(migrations.iter().map(migration).collect())
}
