//! Writing parked deliveries: the one waiting room. Reading them: `waiting` (what goes on) and `dead` (what does not).

use std::sync::Arc;

use rand::Rng;
use sqlx::FromRow;

use super::archive;
use super::db::{Connection, Statement, Value};
use super::rows::{DeliveryKey, ParkedRow, ParkedState, Waiting};
use super::writer::Order;
use super::{Store, StoreError, set};
use crate::clock::Timestamp;
use crate::event::{EventId, PartitionKey};
use crate::setting::SinkName;

pub(super) const COLUMNS: &str = "id, event_id, sink, target, generation, rule, lane, position, partition_key, state, \
    not_before, attempts, first_at, last_at, reason";

/// What the journal says of what waited for a sink that was given up.
const GIVEN_UP: &str = "its sink is no longer in the configuration and was given up";
/// Without the letters that look like digits.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl ParkedRow {
    /// A new id: `d` and ten characters, 50 random bits. A row that met another's id would be refused, not lost.
    pub fn new_id() -> String {
        new_id('d')
    }
}

/// A letter that says of what, and ten characters: 50 random bits.
pub(super) fn new_id(letter: char) -> String {
    let mut random = rand::rng();
    std::iter::once(letter).chain((0..10).map(|_| char::from(ALPHABET[random.random_range(0..ALPHABET.len())]))).collect()
}

impl ParkedState {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Dead => "dead",
        }
    }
}

/// A delivery that waits already keeps its place, unless it turned out elsewhere that it is dead. Their envelopes must be in the archive,
/// or they would wait for ever; that is looked at last, when nobody can take them away any more (`hold_off_parking`).
pub(super) async fn park(connection: &mut Connection, rows: impl Iterator<Item = &ParkedRow>) -> Result<(), StoreError> {
    const HEAD: &str = "INSERT INTO parked (id, event_id, sink, target, generation, rule, lane, position, partition_key, state, \
        not_before, attempts, first_at, last_at, reason) ";
    const TAIL: &str = " ON CONFLICT (event_id, sink, target, generation) DO UPDATE SET state = excluded.state, \
        attempts = excluded.attempts, last_at = excluded.last_at, reason = excluded.reason WHERE excluded.state = 'dead'";
    let rows = set::fold(rows, |row| &row.key, |_, _| false);
    set::insert(connection, HEAD, &rows, values, TAIL).await?;
    let events: Vec<&str> = rows.iter().map(|row| row.key.event_id.as_str()).collect();
    if let Some(event) = archive::missing(connection, &events).await? {
        return Err(StoreError::Rejected(format!("a delivery of `{event}` cannot be parked: the archive does not hold that event")));
    }
    Ok(())
}

fn values<'a>(row: &'a &ParkedRow) -> [Value<'a>; 15] {
    [
        row.id.as_str().into(),
        row.key.event_id.as_str().into(),
        row.key.sink.as_str().into(),
        (&*row.key.target).into(),
        row.key.generation.into(),
        row.rule.as_deref().into(),
        i64::from(row.lane.0).into(),
        archive::number(row.position).into(),
        row.partition_key.as_str().into(),
        row.state.as_str().into(),
        row.not_before.ms().into(),
        row.attempts.into(),
        row.first_at.ms().into(),
        row.last_at.ms().into(),
        row.reason.as_str().into(),
    ]
}

pub(super) async fn unpark(connection: &mut Connection, ids: impl Iterator<Item = &String>) -> Result<(), StoreError> {
    let ids = set::fold(ids, |id| id.as_str(), |_, _| false);
    set::insert(connection, "DELETE FROM parked WHERE id IN (", &ids, |id| [id.as_str().into()], ")").await
}

/// Another try failed. A row that went meanwhile stays away.
pub(super) async fn tried(connection: &mut Connection, rows: impl Iterator<Item = &ParkedRow>) -> Result<(), StoreError> {
    const HEAD: &str = "WITH tried (id, state, not_before, attempts, last_at, reason) AS (";
    const TAIL: &str = ") UPDATE parked SET state = tried.state, not_before = tried.not_before, attempts = tried.attempts, \
        last_at = tried.last_at, reason = tried.reason FROM tried WHERE parked.id = tried.id";
    let values: for<'r> fn(&'r &ParkedRow) -> [Value<'r>; 6] = |row| {
        [
            row.id.as_str().into(),
            row.state.as_str().into(),
            row.not_before.ms().into(),
            row.attempts.into(),
            row.last_at.ms().into(),
            row.reason.as_str().into(),
        ]
    };
    set::insert(connection, HEAD, &set::fold(rows, |row| row.id.as_str(), |_, _| true), values, TAIL).await
}

/// Sets the time of all waiting rows concerned, earlier or later; of a target only later, because what waits longer there has a reason of
/// its own. Rare, so one statement each.
pub(super) async fn postpone(connection: &mut Connection, waiting: &Waiting, until: Timestamp) -> Result<(), StoreError> {
    let (Waiting::Target(sink, target) | Waiting::Key(sink, target, _)) = waiting;
    let statement = Statement::new("UPDATE parked SET not_before = ? WHERE state = 'waiting' AND sink = ? AND target = ?");
    let statement = statement.bind(until.ms()).bind(sink.as_str()).bind(&**target);
    let statement = match waiting {
        Waiting::Target(..) => statement.push(" AND not_before < ?").bind(until.ms()),
        Waiting::Key(_, _, key) => statement.push(" AND partition_key = ?").bind(key.as_str()),
    };
    connection.execute(statement).await.map(drop)
}

/// Ends what waits for a sink that nobody configures any more, and its replays. The journal says why. Returns how many deliveries waited.
pub(super) async fn give_up(connection: &mut Connection, sink: &SinkName, at: Timestamp) -> Result<u64, StoreError> {
    let sql = "INSERT INTO journal (event_id, sink, target, generation, rule, progress, reason, at, attempts, unclean_runs, shadowed) \
        SELECT event_id, sink, target, generation, rule, 'dead', ?, ?, attempts, 0, 0 FROM parked WHERE state = 'waiting' AND sink = ? \
        ON CONFLICT (event_id, sink, target, generation) DO UPDATE SET progress = excluded.progress, reason = excluded.reason, \
        at = excluded.at WHERE journal.progress IN ('started', 'tried')";
    connection.execute(Statement::new(sql).bind(GIVEN_UP).bind(at.ms()).bind(sink.as_str())).await?;
    let replays = "UPDATE replay_lanes SET state = 'stopped' WHERE state = 'open' AND sink = ?";
    connection.execute(Statement::new(replays).bind(sink.as_str())).await?;
    connection.execute(Statement::new("DELETE FROM parked WHERE state = 'waiting' AND sink = ?").bind(sink.as_str())).await
}

#[derive(FromRow)]
pub(super) struct Stored {
    id: String,
    pub(super) event_id: String,
    sink: String,
    target: String,
    generation: i64,
    rule: Option<String>,
    lane: i64,
    position: i64,
    partition_key: String,
    state: String,
    not_before: i64,
    attempts: i64,
    first_at: i64,
    last_at: i64,
    reason: String,
}

impl TryFrom<Stored> for ParkedRow {
    type Error = StoreError;

    fn try_from(row: Stored) -> Result<Self, StoreError> {
        let target: Arc<str> = row.target.into();
        Ok(Self {
            id: row.id,
            key: DeliveryKey {
                sink: super::sink(&row.sink)?,
                event_id: EventId::known(&row.event_id),
                target,
                generation: super::count(row.generation),
            },
            rule: row.rule.map(Into::into),
            lane: archive::lane(row.lane),
            position: archive::position(row.position),
            partition_key: PartitionKey::known(&row.partition_key),
            // The table admits no third word.
            state: if row.state == "dead" { ParkedState::Dead } else { ParkedState::Waiting },
            not_before: Timestamp::from_ms(row.not_before),
            attempts: super::count(row.attempts),
            first_at: Timestamp::from_ms(row.first_at),
            last_at: Timestamp::from_ms(row.last_at),
            reason: row.reason,
        })
    }
}

impl Store {
    /// Ends what waits for a sink that nobody configures any more; its dead letters stay. Returns how many deliveries waited.
    pub async fn give_up(&self, sink: &SinkName, now: Timestamp) -> Result<u64, StoreError> {
        self.order_and_wake(Order::GiveUp { sink: sink.clone(), at: now }).await
    }

    /// Parked rows (waiting and dead) of these events in all sinks.
    pub async fn parked_of_events(&self, events: &[EventId]) -> Result<Vec<ParkedRow>, StoreError> {
        let ids: Vec<&str> = events.iter().map(EventId::as_str).collect();
        let mut found = Vec::new();
        for ids in set::lists(&ids) {
            let statement = Statement::new(format!("SELECT {COLUMNS} FROM parked WHERE event_id IN ")).list(ids);
            let rows: Vec<Stored> = self.fetch(statement.push(" ORDER BY event_id, sink, target, generation")).await?;
            for row in rows {
                found.push(row.try_into()?);
            }
        }
        Ok(found)
    }
}
