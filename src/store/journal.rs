//! The journal: what was begun and what ended, so that a second arrival changes nothing.

use sqlx::FromRow;

use super::db::{Connection, Statement, Value};
use super::rows::{DeliveryKey, Ended, JournalRow, Progress};
use super::{Store, StoreError, set};
use crate::clock::Timestamp;
use crate::event::EventId;
use crate::setting::SinkName;

const COLUMNS: &str =
    "SELECT event_id, sink, target, generation, rule, progress, reason, at, attempts, unclean_runs, shadowed FROM journal WHERE ";

impl Progress {
    fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Tried => "tried",
            Self::Ended(Ended::Delivered) => "delivered",
            // Told apart by `shadowed`: a program that does not know the marks decides them anew all the same.
            Self::Ended(Ended::Withheld | Ended::Shadowed | Ended::Filtered) => "withheld",
            Self::Ended(Ended::Dead) => "dead",
        }
    }

    /// What stands in `shadowed`: beside `withheld` 1 says that the sink was in shadow mode, 2 that the event was filtered.
    fn mark(self) -> u32 {
        match self {
            Self::Ended(Ended::Shadowed) => 1,
            Self::Ended(Ended::Filtered) => 2,
            _ => 0,
        }
    }

    fn read(text: &str, mark: i64) -> Option<Self> {
        match (text, mark) {
            ("withheld", 2) => return Some(Self::Ended(Ended::Filtered)),
            ("withheld", mark) if mark != 0 => return Some(Self::Ended(Ended::Shadowed)),
            _ => {}
        }
        let all = [Self::Started, Self::Tried, Self::Ended(Ended::Delivered), Self::Ended(Ended::Withheld), Self::Ended(Ended::Dead)];
        all.into_iter().find(|progress| progress.as_str() == text)
    }
}

/// Rows of one key: the last one stands.
pub(super) async fn record(connection: &mut Connection, rows: impl Iterator<Item = &JournalRow>) -> Result<(), StoreError> {
    const HEAD: &str =
        "INSERT INTO journal (event_id, sink, target, generation, rule, progress, reason, at, attempts, unclean_runs, shadowed) ";
    const TAIL: &str = " ON CONFLICT (event_id, sink, target, generation) DO UPDATE SET rule = excluded.rule, \
        progress = excluded.progress, reason = excluded.reason, at = excluded.at, attempts = excluded.attempts, \
        unclean_runs = excluded.unclean_runs, shadowed = excluded.shadowed";
    set::insert(connection, HEAD, &set::fold(rows, |row| &row.key, |_, _| true), values, TAIL).await
}

fn values<'a>(row: &'a &JournalRow) -> [Value<'a>; 11] {
    [
        row.key.event_id.as_str().into(),
        row.key.sink.as_str().into(),
        (&*row.key.target).into(),
        row.key.generation.into(),
        row.rule.as_deref().into(),
        row.progress.as_str().into(),
        row.reason.as_deref().into(),
        row.at.ms().into(),
        row.attempts.into(),
        row.unclean_runs.into(),
        row.progress.mark().into(),
    ]
}

/// One step: what has ended long ago and is not a dead letter that somebody may still look at. Returns how many rows went.
pub(super) async fn expire(connection: &mut Connection, before: Timestamp, limit: i64) -> Result<u64, StoreError> {
    connection.hold_off_parking().await?;
    // The condition stands twice, because Postgres checks only the outer one again when another process has just written the row.
    let sql = "DELETE FROM journal WHERE at < ? AND progress <> 'started' AND (event_id, sink, target, generation) IN \
        (SELECT event_id, sink, target, generation FROM journal WHERE at < ? AND progress <> 'started' AND NOT EXISTS (SELECT 1 FROM parked WHERE parked.event_id = journal.event_id \
        AND parked.sink = journal.sink AND parked.target = journal.target AND parked.generation = journal.generation) \
        ORDER BY at LIMIT ?)";
    connection.execute(Statement::new(sql).bind(before.ms()).bind(before.ms()).bind(limit)).await
}

/// What was filtered among these events: it explains, and a repeat is decided anew all the same.
pub(super) async fn forget_filtered(connection: &mut Connection, events: &[&str]) -> Result<(), StoreError> {
    let sql = "DELETE FROM journal WHERE progress = 'withheld' AND shadowed = 2 AND event_id IN ";
    connection.execute(Statement::new(sql).list(events)).await.map(drop)
}

#[derive(FromRow)]
struct Stored {
    event_id: String,
    sink: String,
    target: String,
    generation: i64,
    rule: Option<String>,
    progress: String,
    reason: Option<String>,
    at: i64,
    attempts: i64,
    unclean_runs: i64,
    shadowed: i64,
}

impl TryFrom<Stored> for JournalRow {
    type Error = StoreError;

    fn try_from(row: Stored) -> Result<Self, StoreError> {
        let progress = Progress::read(&row.progress, row.shadowed).ok_or_else(|| {
            StoreError::Unusable(format!("the journal says `{}` of `{}`, which is no progress", row.progress, row.event_id))
        })?;
        Ok(Self {
            key: DeliveryKey {
                sink: super::sink(&row.sink)?,
                event_id: EventId::known(&row.event_id),
                target: row.target.into(),
                generation: super::count(row.generation),
            },
            rule: row.rule.map(Into::into),
            progress,
            reason: row.reason,
            at: Timestamp::from_ms(row.at),
            attempts: super::count(row.attempts),
            unclean_runs: super::count(row.unclean_runs),
        })
    }
}

impl Store {
    /// All journal rows of these events in one sink.
    pub async fn journal(&self, sink: &SinkName, events: &[&EventId]) -> Result<Vec<JournalRow>, StoreError> {
        let ids: Vec<&str> = events.iter().map(|event| event.as_str()).collect();
        self.journal_rows(&ids, Some(sink)).await
    }

    /// All journal rows of these events in all sinks.
    pub async fn journal_of_events(&self, events: &[EventId]) -> Result<Vec<JournalRow>, StoreError> {
        let ids: Vec<&str> = events.iter().map(EventId::as_str).collect();
        self.journal_rows(&ids, None).await
    }

    async fn journal_rows(&self, ids: &[&str], sink: Option<&SinkName>) -> Result<Vec<JournalRow>, StoreError> {
        let mut found = Vec::new();
        for ids in set::lists(ids) {
            let mut statement = Statement::new(COLUMNS).push("event_id IN ").list(ids);
            if let Some(sink) = sink {
                statement = statement.push(" AND sink = ?").bind(sink.as_str());
            }
            let rows: Vec<Stored> = self.fetch(statement.push(" ORDER BY event_id, sink, target, generation")).await?;
            for row in rows {
                found.push(row.try_into()?);
            }
        }
        Ok(found)
    }

    /// How many deliveries each sink has made.
    pub async fn delivered_counts(&self) -> Result<Vec<(SinkName, u64)>, StoreError> {
        let sql = "SELECT sink, COUNT(*) FROM journal WHERE progress = 'delivered' GROUP BY sink ORDER BY sink";
        let rows: Vec<(String, i64)> = self.fetch(Statement::new(sql)).await?;
        Ok(rows.into_iter().filter_map(|(sink, count)| Some((sink.parse().ok()?, u64::try_from(count).ok()?))).collect())
    }

    /// Rows that say `started` for a sink: what was under way when the process died.
    pub async fn started(&self, sink: &SinkName) -> Result<Vec<JournalRow>, StoreError> {
        let statement = Statement::new(COLUMNS).push("progress = 'started' AND sink = ? ORDER BY at, event_id, target, generation");
        let rows: Vec<Stored> = self.fetch(statement.bind(sink.as_str())).await?;
        rows.into_iter().map(JournalRow::try_from).collect()
    }
}
