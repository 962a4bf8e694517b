//! Postgres: one server for several processes.
//!
//! Every wait has a limit, here and on the server: a connection that is silent counts as lost. Settings are made after connecting, so
//! that a pooler of sessions may stand between.

use std::path::Path;
use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::pool::{PoolConnection, PoolOptions};
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgDatabaseError, PgPool};
use sqlx::{Arguments as _, AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Postgres};

use super::super::{Settings, StoreError};
use super::statement::{Statement, Value};
use super::{Look, Record, address, migrator};

/// Whatever the server's default is: the guards of our statements are made for this level, on which a statement sees what was
/// committed before it began, and one that waited for a row looks at the row again.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// A server that is there says hello at once, so it is not given more than this, nor more than an answer may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// For making or changing all tables, and for waiting while another process does.
const MIGRATION_LIMIT: Duration = Duration::from_secs(300);
/// A reader that nobody needs is closed.
const READER_IDLE: Duration = Duration::from_secs(600);
/// Long-lived sessions collect memory on the server.
const READER_LIFETIME: Duration = Duration::from_secs(1_800);

const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "store", include_str!("../../../schemas/sql/postgres/0001_store.sql")),
    (2, "workers", include_str!("../../../schemas/sql/postgres/0002_workers.sql")),
    (3, "replays", include_str!("../../../schemas/sql/postgres/0003_replays.sql")),
    (4, "threads", include_str!("../../../schemas/sql/postgres/0004_threads.sql")),
    (5, "shadows", include_str!("../../../schemas/sql/postgres/0005_shadows.sql")),
    (6, "former_keys", include_str!("../../../schemas/sql/postgres/0006_former_keys.sql")),
];

/// A server that answers, with a database that has the tables of this version.
#[derive(Clone)]
pub(in crate::store) struct Server {
    options: PgConnectOptions,
    /// What a session is told first.
    session: String,
    /// For people; without the password.
    name: String,
    limit: Duration,
    readers: PgPool,
}

/// A lock that lasts as long as its connection. The server frees it when the connection ends, at the latest half a minute after the
/// machine at this end fell silent.
pub(in crate::store) struct HeldLock {
    connection: PgConnection,
    limit: Duration,
}

impl Server {
    pub(super) async fn open(settings: &Settings, data_dir: &Path, readers: u32) -> Result<(Self, PgConnection), StoreError> {
        let server = Self::named(settings, data_dir, readers)?;
        server.migrate(settings.schema.as_deref()).await?;
        let writer = server.connect().await?;
        Ok((server, writer))
    }

    /// What it is called, and the version of its tables; none: it has none yet.
    pub(super) async fn look(settings: &Settings, data_dir: &Path) -> Result<Look, StoreError> {
        let server = Self::named(settings, data_dir, 1)?;
        let mut connection = server.connect().await?;
        let looking = async {
            let sql = "SELECT to_regclass('_sqlx_migrations') IS NOT NULL";
            if !sqlx::query_scalar::<Postgres, bool>(sql).fetch_one(&mut connection).await? {
                return Ok(None);
            }
            sqlx::query_scalar::<Postgres, Option<i64>>("SELECT max(version) FROM _sqlx_migrations").fetch_one(&mut connection).await
        };
        let version = server.in_time(looking).await?.map_err(|err| server.explain(err))?;
        let _ = server.in_time(connection.close()).await;
        Ok(Look::new(server.name, version, MIGRATIONS))
    }

    /// Opens no connection yet.
    fn named(settings: &Settings, data_dir: &Path, readers: u32) -> Result<Self, StoreError> {
        let options = address::options(settings, data_dir).map_err(StoreError::Unusable)?;
        for file in address::files(&settings.url, data_dir) {
            std::fs::File::open(&file).map_err(|err| StoreError::Unusable(format!("`{}` cannot be read: {err}", file.display())))?;
        }
        let place = options.get_socket().map_or_else(|| options.get_host().to_owned(), |socket| socket.display().to_string());
        let name = format!("Postgres at `{place}:{}`", options.get_port());
        let limit = settings.timeout.0;
        let session = session(settings.schema.as_deref(), limit);
        let reading = format!("{session}; SET default_transaction_read_only = on");
        let readers = PoolOptions::<Postgres>::new()
            .max_connections(readers)
            .acquire_timeout(CONNECT_LIMIT.min(limit))
            .idle_timeout(READER_IDLE)
            .max_lifetime(READER_LIFETIME)
            .after_connect(move |connection, _| {
                let reading = reading.clone();
                Box::pin(async move { connection.execute(AssertSqlSafe(reading)).await.map(drop) })
            })
            .connect_lazy_with(options.clone());
        Ok(Self { options, session, name, limit, readers })
    }

    pub(super) async fn connect(&self) -> Result<PgConnection, StoreError> {
        self.connect_told(self.session.clone()).await
    }

    pub(super) async fn fetch<R: Record>(&self, statement: Statement<'_>) -> Result<Vec<R>, StoreError> {
        let (sql, arguments) = (statement.numbered(), arguments(statement.values)?);
        let mut reader = Lent(Some(self.readers.acquire().await.map_err(|err| self.explain(err))?));
        let query = sqlx::query_as_with::<Postgres, R, _>(AssertSqlSafe(sql), arguments);
        let rows = self.in_time(query.fetch_all(reader.connection()?)).await??;
        reader.give_back();
        Ok(rows)
    }

    pub(super) async fn in_time<T>(&self, work: impl Future<Output = T>) -> Result<T, StoreError> {
        let silent = || StoreError::Unavailable(format!("{} did not answer within {} s", self.name, self.limit.as_secs_f64()));
        tokio::time::timeout(self.limit, work).await.map_err(|_| silent())
    }

    pub(super) async fn lock(&self, name: &str) -> Result<Option<HeldLock>, StoreError> {
        let mut connection = self.connect().await?;
        // Services that share a database by schemas do not share their locks.
        let sql = "SELECT pg_try_advisory_lock(hashtextextended(current_schema()::text || '/ticketwire/' || $1, 0))";
        let query = sqlx::query_scalar::<Postgres, bool>(sql).bind(name);
        if self.in_time(query.fetch_one(&mut connection)).await?? {
            return Ok(Some(HeldLock { connection, limit: self.limit }));
        }
        let _ = self.in_time(connection.close()).await;
        Ok(None)
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
    }

    async fn connect_told(&self, told: String) -> Result<PgConnection, StoreError> {
        let connecting = async {
            let mut connection = self.options.connect().await?;
            connection.execute(AssertSqlSafe(told)).await?;
            Ok(connection)
        };
        let silent = || StoreError::Unavailable(format!("{} does not answer", self.name));
        tokio::time::timeout(CONNECT_LIMIT.min(self.limit), connecting).await.map_err(|_| silent())?.map_err(|err| self.explain(err))
    }

    /// One process at a time: the others wait for the lock, and find that all is done.
    async fn migrate(&self, schema: Option<&str>) -> Result<(), StoreError> {
        let unlimited = format!("{}; SET statement_timeout = 0", self.session);
        let mut connection = self.connect_told(unlimited).await?;
        let migrating = async {
            let mut migrator = migrator(MIGRATIONS);
            if let Some(schema) = schema {
                let sql = "SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)";
                // To make it again, even if it is there, would take a right that the user may not have.
                if !sqlx::query_scalar::<Postgres, bool>(sql).bind(schema).fetch_one(&mut connection).await? {
                    migrator.create_schema(format!("\"{schema}\""));
                }
            }
            migrator.run(&mut connection).await
        };
        let done = tokio::time::timeout(MIGRATION_LIMIT, migrating).await;
        let what = format!("the tables of {} cannot be brought to this version", self.name);
        match done {
            Ok(Ok(())) => {}
            Ok(Err(MigrateError::Execute(err) | MigrateError::ExecuteMigration(err, _))) => return Err(prefixed(&what, err.into())),
            Ok(Err(err)) => return Err(StoreError::Unusable(format!("{what}: {err}"))),
            Err(_) => return Err(StoreError::Unavailable(format!("{what} within {} s", MIGRATION_LIMIT.as_secs()))),
        }
        let _ = self.in_time(connection.close()).await;
        Ok(())
    }

    fn explain(&self, err: sqlx::Error) -> StoreError {
        prefixed(&self.name, err.into())
    }
}

impl HeldLock {
    pub(in crate::store) async fn is_held(&mut self) -> bool {
        matches!(tokio::time::timeout(self.limit, self.connection.ping()).await, Ok(Ok(())))
    }

    pub(in crate::store) async fn release(mut self) {
        let releasing = async {
            // Without it the server frees the lock only when it notices that the connection ended.
            let _ = self.connection.execute("SELECT pg_advisory_unlock_all()").await;
            let _ = self.connection.close().await;
        };
        let _ = tokio::time::timeout(self.limit, releasing).await;
    }
}

/// A reader on loan. If it is not given back, because nobody waits for the answer any more or none came, the connection ends: the pool
/// would wait for that answer without a limit.
struct Lent(Option<PoolConnection<Postgres>>);

impl Lent {
    fn connection(&mut self) -> Result<&mut PgConnection, StoreError> {
        self.0.as_deref_mut().ok_or_else(|| StoreError::Unavailable("the reader was given back".into()))
    }

    fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        drop(self.0.take().map(PoolConnection::detach));
    }
}

fn session(schema: Option<&str>, limit: Duration) -> String {
    let mut told = format!(
        "SET statement_timeout = {limit}; \
        SET idle_in_transaction_session_timeout = {limit}; \
        SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; \
        SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'",
        limit = limit.as_millis().max(1)
    );
    if let Some(schema) = schema {
        told.push_str(&format!("; SET search_path = \"{schema}\""));
    }
    told
}

/// A text of Postgres cannot hold the character of number 0, which JSON can and SQLite does; the envelope keeps it.
pub(super) fn arguments(values: Vec<Value<'_>>) -> Result<PgArguments, sqlx::Error> {
    let mut arguments = PgArguments::default();
    arguments.reserve(values.len(), 0);
    for value in values {
        let added = match value {
            Value::Text(Some(text)) if text.contains('\0') => arguments.add(text.replace('\0', "\u{fffd}")),
            Value::Text(text) => arguments.add(text),
            Value::Number(number) => arguments.add(number),
            Value::Bytes(bytes) => arguments.add(bytes),
        };
        added.map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

/// The state that an error of Postgres names; none: it is another database's.
pub(super) fn state(err: &dyn sqlx::error::DatabaseError) -> Option<&str> {
    err.try_downcast_ref::<PgDatabaseError>().map(PgDatabaseError::code)
}

/// Two transactions met, and this one had to give way.
pub(super) fn is_beaten(err: &sqlx::Error) -> bool {
    err.as_database_error().and_then(state).is_some_and(|state| matches!(state, "40001" | "40P01"))
}

/// Whether an error of this state may pass by itself. Its first two characters are the class.
pub(super) fn passes(state: &str) -> bool {
    const DATABASE_DROPPED: &str = "57P04";
    const STANDBY: &str = "25006";
    const IDLE_IN_TRANSACTION: &str = "25P03";
    const LOCKED: &str = "55P03";
    const INPUT_OUTPUT: &str = "58030";
    // Connections, transactions that met, resources (the disk among them), and what an operator does.
    let is_passing_class = ["08", "40", "53", "57"].iter().any(|class| state.starts_with(class));
    (is_passing_class && state != DATABASE_DROPPED) || matches!(state, STANDBY | IDLE_IN_TRANSACTION | LOCKED | INPUT_OUTPUT)
}

/// Whether an error of this state is about what was to be written: values, constraints, and what is too large.
pub(super) fn is_of_data(state: &str) -> bool {
    ["22", "23", "54"].iter().any(|class| state.starts_with(class))
}

/// Whether a fault of the connection may pass by itself: a certificate that is refused will be refused again.
pub(super) fn connection_passes(err: &std::io::Error) -> bool {
    err.get_ref().is_none_or(|inner| inner.downcast_ref::<rustls::Error>().is_none())
}

fn prefixed(what: &str, err: StoreError) -> StoreError {
    match err {
        StoreError::Unavailable(why) => StoreError::Unavailable(format!("{what}: {why}")),
        StoreError::Unusable(why) => StoreError::Unusable(format!("{what}: {why}")),
        StoreError::Rejected(why) => StoreError::Rejected(format!("{what}: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_by_itself_is_told_from_what_does_not() {
        for state in ["57P01", "57P02", "57P03", "57014", "53100", "53300", "40001", "40P01", "08006", "25006", "55P03", "58030"] {
            assert!(passes(state), "{state}");
        }
        for state in ["57P04", "28P01", "3D000", "42501", "42P01", "23505", "23514", "22021", "54000", "XX001"] {
            assert!(!passes(state), "{state}");
        }
        for state in ["22021", "23505", "23514", "54000"] {
            assert!(is_of_data(state), "{state}");
        }
        for state in ["28P01", "42501", "42P01", "3D000", "XX001", "53100", "57P04"] {
            assert!(!is_of_data(state), "{state}");
        }
    }

    #[test]
    fn a_refused_certificate_does_not_pass() {
        let refused = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        assert!(!connection_passes(&std::io::Error::new(std::io::ErrorKind::InvalidData, refused)));
        assert!(connection_passes(&std::io::ErrorKind::ConnectionReset.into()));
        assert!(connection_passes(&std::io::Error::other("it broke")));
    }
}
