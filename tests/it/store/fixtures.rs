//! A store in a folder of its own, and rows to put into it.

use std::sync::Arc;

use sqlx::{Connection, Row, SqliteConnection};
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
}

impl Opened {
    pub async fn new() -> Self {
        Self::with(&Settings::default()).await
    }

    pub async fn with(settings: &Settings) -> Self {
        Self::within(settings, tempfile::tempdir().expect("a folder")).await
    }

    pub async fn within(settings: &Settings, dir: tempfile::TempDir) -> Self {
        let tasks = Tasks::new();
        Self { store: Store::open(settings, dir.path(), &tasks).await.expect("it opens"), tasks, dir }
    }

    pub async fn write(&self, write: Write) {
        self.store.write(write).await.expect("it is written");
    }

    /// As somebody else, who sees only what was committed.
    pub async fn connect(&self) -> SqliteConnection {
        let path = self.dir.path().join("ticketwire.sqlite");
        SqliteConnection::connect(&format!("sqlite:{}", path.display())).await.expect("it can be read")
    }

    /// Rows of text as one line each, `-` for null.
    pub async fn lines(&self, sql: &'static str) -> Vec<String> {
        let rows = sqlx::query(sql).fetch_all(&mut self.connect().await).await.expect("it can be read");
        let text = |row: &sqlx::sqlite::SqliteRow, place: usize| row.get::<Option<String>, _>(place).unwrap_or_else(|| "-".into());
        rows.iter().map(|row| (0..row.columns().len()).map(|place| text(row, place)).collect::<Vec<_>>().join(" ")).collect()
    }

    /// The names and declared types of a table's columns.
    pub async fn columns(&self, table: &'static str) -> Vec<(String, String)> {
        let rows = sqlx::query("SELECT name, type FROM pragma_table_info($1)").bind(table).fetch_all(&mut self.connect().await).await;
        rows.expect("they can be read").iter().map(|row| (row.get(0), row.get(1))).collect()
    }
}

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
    Envelope { event, raw: format!("{{\"number\":{number}}}").into(), target: None, traceparent: None, received: None }
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
