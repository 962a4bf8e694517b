//! A store in a folder or a database of its own, and rows to put into it.
#![expect(clippy::print_stdout, reason = "what was skipped is for whoever runs the tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row, SqliteConnection};
use ticketwire::clock::Timestamp;
use ticketwire::event::{
    Data, Delivered, Envelope, Event, EventId, Issue, Kind, LaneId, Origin, PartitionKey, Position, Project, ProjectKind, Secrecy,
};
use ticketwire::setting::{ConnectionName, SinkName};
use ticketwire::shutdown::Tasks;
use ticketwire::store::{ArchiveRow, DeliveryKey, JournalRow, ParkedRow, ParkedState, Progress, Settings, Store, Write};

pub struct Opened {
    pub store: Store,
    pub tasks: Tasks,
    pub dir: tempfile::TempDir,
    pub settings: Settings,
    // Goes last, when nobody uses it any more.
    database: Option<Arc<Database>>,
}

impl Opened {
    pub async fn new(place: &Place) -> Self {
        Self::with(place, &Settings::default()).await
    }

    pub async fn with(place: &Place, settings: &Settings) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        match place {
            Place::Sqlite => Self::within(settings, dir).await,
            Place::Postgres(server) => {
                let database = Database::create(server).await;
                let settings = Settings { url: database.url(), ..settings.clone() };
                Self { database: Some(Arc::new(database)), ..Self::within(&settings, dir).await }
            }
        }
    }

    /// An empty store of the same kind: a file of its own, or a schema of its own in the same database, which is made sooner.
    pub async fn beside(&self) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let Some(database) = self.database.clone() else { return Self::within(&self.settings, dir).await };
        let settings = Settings { schema: Some(format!("beside_{}", number())), ..self.settings.clone() };
        Self { database: Some(database), ..Self::within(&settings, dir).await }
    }

    pub async fn within(settings: &Settings, dir: tempfile::TempDir) -> Self {
        let tasks = Tasks::new();
        let store = Store::open(settings, dir.path(), &tasks).await.expect("it opens");
        Self { store, tasks, dir, settings: settings.clone(), database: None }
    }

    /// As another process would open it.
    pub async fn again(&self) -> Store {
        Store::open(&self.settings, self.dir.path(), &self.tasks).await.expect("it opens")
    }

    pub async fn write(&self, write: Write) {
        self.store.write(write).await.expect("it is written");
    }

    /// As somebody else, who sees only what was committed.
    pub async fn connect(&self) -> SqliteConnection {
        let path = self.dir.path().join("ticketwire.sqlite");
        SqliteConnection::connect(&format!("sqlite:{}", path.display())).await.expect("it can be read")
    }

    pub async fn connect_to_server(&self) -> PgConnection {
        let mut connection = PgConnection::connect(&self.settings.url).await.expect("it can be read");
        let schema = self.settings.schema.as_deref().unwrap_or("public");
        connection.execute(AssertSqlSafe(format!("SET search_path = {schema}"))).await.expect("it can be read");
        connection
    }

    /// Rows of text as one line each, `-` for null.
    pub async fn lines(&self, sql: &'static str) -> Vec<String> {
        let text = |text: Option<String>| text.unwrap_or_else(|| "-".into());
        if self.database.is_none() {
            let rows = sqlx::query(sql).fetch_all(&mut self.connect().await).await.expect("it can be read");
            let line = |row: &SqliteRow| (0..row.len()).map(|place| text(row.get(place))).collect::<Vec<_>>().join(" ");
            return rows.iter().map(line).collect();
        }
        let rows = sqlx::query(sql).fetch_all(&mut self.connect_to_server().await).await.expect("it can be read");
        let line = |row: &PgRow| (0..row.len()).map(|place| text(row.get(place))).collect::<Vec<_>>().join(" ");
        rows.iter().map(line).collect()
    }

    /// The names and declared types of a table's columns.
    pub async fn columns(&self, table: &'static str) -> Vec<(String, String)> {
        if self.database.is_none() {
            let rows =
                sqlx::query_as("SELECT name, type FROM pragma_table_info($1)").bind(table).fetch_all(&mut self.connect().await).await;
            return rows.expect("they can be read");
        }
        let sql = "SELECT column_name::text, upper(data_type) FROM information_schema.columns WHERE table_name = $1";
        sqlx::query_as(sql).bind(table).fetch_all(&mut self.connect_to_server().await).await.expect("they can be read")
    }
}

/// Where a store lies: each has a file, or a database, of its own.
#[derive(Clone)]
pub enum Place {
    Sqlite,
    /// The URL of a server on which databases may be made.
    Postgres(String),
}

impl Place {
    /// None, and said so: there is no server for tests.
    pub fn postgres() -> Option<Self> {
        let url = std::env::var("TICKETWIRE_TEST_POSTGRES").ok();
        if url.is_none() {
            println!("skipped: TICKETWIRE_TEST_POSTGRES names no server");
        }
        url.map(Self::Postgres)
    }
}

/// Another one each time.
fn number() -> u32 {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// A database that is dropped with this.
struct Database {
    server: String,
    name: String,
}

impl Database {
    async fn create(server: &str) -> Self {
        let name = format!("store_{}_{}", std::process::id(), number());
        let mut connection = PgConnection::connect(server).await.expect("a server for tests");
        let made = connection.execute(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name}"))).await;
        made.expect("what another run left goes");
        connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.expect("a database");
        Self { server: server.to_owned(), name }
    }

    fn url(&self) -> String {
        let (server, _) = self.server.rsplit_once('/').expect("a URL with a database");
        format!("{server}/{}", self.name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (server, sql) = (self.server.clone(), format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
        // A thread, because the test's own runtime may be the one that waits here. If the server is gone, so is the database.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let dropped = runtime.block_on(async { PgConnection::connect(&server).await?.execute(AssertSqlSafe(sql)).await.map(drop) });
            drop(dropped);
        });
        dropping.join().expect("it does not panic");
    }
}

/// Two tests of each function: on SQLite, and on Postgres where there is one.
macro_rules! on_each_database {
    ($($name:ident),+ $(,)?) => { $crate::store::fixtures::on_each_database!("current_thread": $($name),+); };
    ($flavor:literal: $($name:ident),+ $(,)?) => { $(
        mod $name {
            use crate::store::fixtures::Place;

            #[tokio::test(flavor = $flavor)]
            async fn sqlite() {
                super::$name(Place::Sqlite).await;
            }

            #[tokio::test(flavor = $flavor)]
            async fn postgres() {
                if let Some(place) = Place::postgres() {
                    super::$name(place).await;
                }
            }
        }
    )+ };
}
pub(crate) use on_each_database;

pub fn acme() -> ConnectionName {
    "acme".parse().expect("it is well formed")
}

pub fn sink(name: &str) -> SinkName {
    name.parse().expect("it is well formed")
}

pub fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(ms)
}

pub fn event_id(number: u32) -> EventId {
    EventId::new(&acme(), &["issue", "1", "change", &number.to_string()])
}

/// Received `number` milliseconds after 1970.
pub fn envelope(number: u32, issue: &str, key: Option<&str>) -> Envelope {
    let mut about = Issue::only_id(issue);
    about.key = key.map(Into::into);
    about.summary = Some("Explain the new import".into());
    let data = Data {
        kind: Kind::IssueUpdated,
        origin: Origin::Webhook,
        occurred_at: at(number.into()),
        received_at: at(number.into()),
        jira: Delivered::default(),
        actor: None,
        project: Some(Project { id: "1".into(), key: Some("OPS".into()), name: None, kind: ProjectKind::Software }),
        issue: Some(Box::new(about)),
        changes: Vec::new(),
        degraded: Vec::new(),
        entity: None,
    };
    let event = Event {
        id: event_id(number),
        connection: acme(),
        source: "https://acme.atlassian.net".parse().expect("it is well formed"),
        subject: key.unwrap_or("issue").into(),
        partition_key: PartitionKey::issue(&acme(), issue),
        secrecy: Secrecy::default(),
        data,
    };
    Envelope { event, raw: format!("{{\"number\":{number}}}").into(), target: None, traceparent: None, received: None, renewable: false }
}

pub fn archive_row(number: u32, issue: &str, key: Option<&str>, lane: u16, position: u64) -> ArchiveRow {
    ArchiveRow { envelope: Arc::new(envelope(number, issue, key)), lane: LaneId(lane), position: Position(position) }
}

pub fn key(number: u32, to: &str, target: &str) -> DeliveryKey {
    DeliveryKey { sink: sink(to), event_id: event_id(number), target: target.into(), generation: 0 }
}

pub fn journal_row(number: u32, to: &str, target: &str, progress: Progress) -> JournalRow {
    let rule = Some("docs on hold".into());
    JournalRow { key: key(number, to, target), rule, progress, reason: None, at: at(0), attempts: 1, unclean_runs: 0 }
}

/// Of issue 500, in lane 0 at the position that the event's number gives, due at once.
pub fn parked_row(id: &str, number: u32, to: &str, target: &str, state: ParkedState) -> ParkedRow {
    ParkedRow {
        id: id.into(),
        key: key(number, to, target),
        rule: Some("docs on hold".into()),
        lane: LaneId(0),
        position: Position(number.into()),
        partition_key: PartitionKey::issue(&acme(), "500"),
        state,
        not_before: at(0),
        attempts: 1,
        first_at: at(number.into()),
        last_at: at(number.into()),
        reason: "ratelimited".into(),
    }
}
