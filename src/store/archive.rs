//! The archive: every envelope once, compressed, for `trace` and for deliveries that wait.

use std::sync::Arc;

use bytes::Bytes;
use sqlx::FromRow;

use super::db::{Connection, Statement, Value};
use super::rows::{ArchiveRow, Archived};
use super::{Store, StoreError, journal, set};
use crate::clock::Timestamp;
use crate::event::{Change, Entity, Envelope, Event, EventId, Keyed, LaneId, Position};
use crate::setting::ConnectionName;

/// Bodies beyond this are packed on another thread, which takes them longer than half a millisecond.
const PACKED_HERE_MAX: usize = 256 * 1024;
/// LZ4 makes nothing smaller than this.
const RATIO_MAX: usize = 255;
/// In bytes. A changelog may say anything, and an index of Postgres refuses what is much longer than a key.
const KEY_BYTES_MAX: usize = 255;
/// The issues that have, or ever had, a key, which is bound three times. An old key follows the move, also where the move is the first that
/// was seen of the issue.
pub(super) const ISSUES_OF_KEY: &str = "(SELECT connection, issue_id FROM archive WHERE issue_key = ? \
    UNION SELECT moves.connection, moves.issue_id FROM former_keys JOIN archive AS moves ON moves.event_id = former_keys.event_id \
    WHERE former_keys.key = ? UNION SELECT connection, id FROM tickets WHERE key = ?)";

/// A row as it is stored. Packing happens in the caller's task: the writer has better to do.
pub(super) struct Packed {
    pub(super) event_id: EventId,
    connection: String,
    partition_key: String,
    issue_id: Option<String>,
    issue_key: Option<String>,
    former_key: Option<String>,
    project_key: Option<String>,
    kind: &'static str,
    received_at: i64,
    lane: i64,
    position: i64,
    envelope: Vec<u8>,
}

pub(super) async fn pack(rows: Vec<ArchiveRow>) -> Result<Vec<Packed>, StoreError> {
    let bytes: usize = rows.iter().map(|row| row.envelope.raw.len()).sum();
    if bytes <= PACKED_HERE_MAX {
        return Ok(rows.iter().map(packed).collect());
    }
    let task = tokio::task::spawn_blocking(move || rows.iter().map(packed).collect());
    task.await.map_err(|err| StoreError::Unavailable(format!("an envelope could not be packed: {err}")))
}

fn packed(row: &ArchiveRow) -> Packed {
    let event = &row.envelope.event;
    let (issue_id, issue_key) = issue(event);
    Packed {
        event_id: event.id.clone(),
        connection: event.connection.to_string(),
        partition_key: event.partition_key.to_string(),
        issue_id,
        issue_key,
        former_key: former_key(event),
        project_key: event.data.project.as_ref().and_then(|project| project.key.clone()),
        kind: event.kind().as_str(),
        received_at: event.data.received_at.ms(),
        lane: row.lane.0.into(),
        position: number(row.position),
        envelope: lz4_flex::compress_prepend_size(&row.envelope.encode()),
    }
}

/// Which issue the event is traced by. A link belongs to its source, as its partition key does.
fn issue(event: &Event) -> (Option<String>, Option<String>) {
    let named = |id: &str, key: &Option<String>| (Some(id.to_owned()), key.clone());
    match (&event.data.issue, &event.data.entity) {
        (Some(issue), _) => named(&issue.id, &issue.key),
        (None, Some(Entity::Link(link))) => {
            let Keyed { id, key } = &link.source;
            named(id, key)
        }
        (None, _) => (None, None),
    }
}

/// The key before the move that the event tells of; Jira calls the field so on Cloud and on Data Center.
fn former_key(event: &Event) -> Option<String> {
    let is_key = |name: &String| name.eq_ignore_ascii_case("key");
    let tells_it = |change: &&Change| !change.custom && (is_key(&change.field) || change.name.as_ref().is_some_and(is_key));
    let moved = event.data.changes.iter().find(tells_it)?;
    moved.from.as_ref()?.text.clone().filter(|key| !key.is_empty() && key.len() <= KEY_BYTES_MAX)
}

/// A position as a column: dense from 1, so it never comes near the end of the range. Those of an earlier road are below zero (`road`).
pub(super) fn number(position: Position) -> i64 {
    position.0.cast_signed()
}

pub(super) async fn keep(connection: &mut Connection, rows: impl Iterator<Item = &Packed>) -> Result<(), StoreError> {
    const HEAD: &str = "INSERT INTO archive \
        (event_id, connection, partition_key, issue_id, issue_key, project_key, kind, received_at, lane, position, envelope) ";
    const FORMER: &str = "INSERT INTO former_keys (event_id, key) ";
    const TAIL: &str = " ON CONFLICT (event_id) DO NOTHING";
    let rows = set::fold(rows, |row| row.event_id.as_str(), |_, _| false);
    set::insert(connection, HEAD, &rows, values, TAIL).await?;
    let moves: Vec<&Packed> = rows.into_iter().filter(|row| row.former_key.is_some()).collect();
    set::insert(connection, FORMER, &moves, values_of_move, TAIL).await
}

fn values_of_move<'a>(row: &'a &Packed) -> [Value<'a>; 2] {
    [row.event_id.as_str().into(), row.former_key.as_deref().into()]
}

fn values<'a>(row: &'a &Packed) -> [Value<'a>; 11] {
    [
        row.event_id.as_str().into(),
        row.connection.as_str().into(),
        row.partition_key.as_str().into(),
        row.issue_id.as_deref().into(),
        row.issue_key.as_deref().into(),
        row.project_key.as_deref().into(),
        row.kind.into(),
        row.received_at.into(),
        row.lane.into(),
        row.position.into(),
        row.envelope.as_slice().into(),
    ]
}

/// The first of these events that the archive does not hold.
pub(super) async fn missing<'a>(connection: &mut Connection, events: &[&'a str]) -> Result<Option<&'a str>, StoreError> {
    for events in set::lists(events) {
        let held: Vec<(String,)> = connection.fetch(Statement::new("SELECT event_id FROM archive WHERE event_id IN ").list(events)).await?;
        if let Some(missing) = events.iter().find(|event| !held.iter().any(|(held,)| held == *event)) {
            return Ok(Some(missing));
        }
    }
    Ok(None)
}

/// One step: what no parked delivery needs, with what the archive alone makes useful: the former keys, and the records of what was
/// filtered, which only explain. Returns how many envelopes went.
pub(super) async fn expire(connection: &mut Connection, before: Timestamp, limit: i64) -> Result<u64, StoreError> {
    connection.hold_off_parking().await?;
    let sql = "DELETE FROM archive WHERE number IN (SELECT number FROM archive WHERE received_at < ? \
        AND NOT EXISTS (SELECT 1 FROM parked WHERE parked.event_id = archive.event_id) ORDER BY received_at LIMIT ?) RETURNING event_id";
    let gone: Vec<(String,)> = connection.fetch(Statement::new(sql).bind(before.ms()).bind(limit)).await?;
    let events: Vec<&str> = gone.iter().map(|(event,)| event.as_str()).collect();
    for events in set::lists(&events) {
        connection.execute(Statement::new("DELETE FROM former_keys WHERE event_id IN ").list(events)).await?;
        journal::forget_filtered(connection, events).await?;
    }
    Ok(gone.len() as u64)
}

/// An envelope as it came out of the archive.
pub(super) fn unpack(event: &str, envelope: &[u8]) -> Result<Arc<Envelope>, StoreError> {
    let unreadable = |why: String| StoreError::Unusable(format!("the archived envelope of `{event}` cannot be read: {why}"));
    let (length, packed) = lz4_flex::block::uncompressed_size(envelope).map_err(|err| unreadable(err.to_string()))?;
    // Garbled bytes may claim any length, and memory is taken before anything is read.
    if length / RATIO_MAX > packed.len() {
        return Err(unreadable(format!("it claims {length} bytes out of {}", packed.len())));
    }
    let bytes = lz4_flex::decompress(packed, length).map_err(|err| unreadable(err.to_string()))?;
    Envelope::decode(&Bytes::from(bytes)).map(Arc::new).map_err(|err| unreadable(err.to_string()))
}

pub(super) fn lane(lane: i64) -> LaneId {
    LaneId(u16::try_from(lane).unwrap_or(u16::MAX))
}

pub(super) fn position(position: i64) -> Position {
    Position(position.cast_unsigned())
}

#[derive(FromRow)]
struct Stored {
    event_id: String,
    lane: i64,
    position: i64,
    envelope: Vec<u8>,
}

impl TryFrom<Stored> for Archived {
    type Error = StoreError;

    fn try_from(row: Stored) -> Result<Self, StoreError> {
        Ok(Self { envelope: unpack(&row.event_id, &row.envelope)?, lane: lane(row.lane), position: position(row.position) })
    }
}

impl Store {
    pub async fn archived(&self, event: &EventId) -> Result<Option<Archived>, StoreError> {
        let sql = "SELECT event_id, lane, position, envelope FROM archive WHERE event_id = ?";
        let row: Option<Stored> = self.fetch_one(Statement::new(sql).bind(event.as_str())).await?;
        row.map(Archived::try_from).transpose()
    }

    /// Everything about the issues that ever had this key, oldest first: an old key follows the move. What cannot be read is left out.
    pub async fn archived_by_key(&self, key: &str) -> Result<Vec<Archived>, StoreError> {
        // A join: SQLite would read the whole archive for an `IN` over a union.
        let statement =
            Statement::new("SELECT archive.event_id, archive.lane, archive.position, archive.envelope FROM ").push(ISSUES_OF_KEY).push(
                " AS known JOIN archive ON archive.connection = known.connection AND archive.issue_id = known.issue_id \
                ORDER BY archive.received_at, archive.lane, archive.position, archive.number",
            );
        let rows: Vec<Stored> = self.fetch(statement.bind(key).bind(key).bind(key)).await?;
        let read = |row: Stored| Archived::try_from(row).inspect_err(|err| tracing::error!("an event of `{key}` is left out: {err}")).ok();
        Ok(rows.into_iter().filter_map(read).collect())
    }

    /// Whether anything is known that came from this connection.
    pub async fn has_events_of(&self, connection: &ConnectionName) -> Result<bool, StoreError> {
        let sql = "SELECT connection FROM (SELECT connection FROM archive WHERE connection = ? LIMIT 1) AS kept \
            UNION ALL SELECT connection FROM (SELECT connection FROM tickets WHERE connection = ? LIMIT 1) AS known";
        let rows: Vec<(String,)> = self.fetch(Statement::new(sql).bind(connection.as_str()).bind(connection.as_str())).await?;
        Ok(!rows.is_empty())
    }

    /// How many different events the archive holds.
    pub async fn archived_count(&self) -> Result<u64, StoreError> {
        let count: Option<(i64,)> = self.fetch_one(Statement::new("SELECT count(*) FROM archive")).await?;
        Ok(count.map_or(0, |(count,)| count.unsigned_abs()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn garbled_bytes_take_no_memory_for_what_they_claim() {
        let claims = [&u32::MAX.to_le_bytes()[..], &[0; 40]].concat();
        let err = unpack("acme:1", &claims).expect_err("refused").to_string();
        assert!(err.contains("`acme:1` cannot be read: it claims 4294967295 bytes out of 40"), "{err}");
        let largest = lz4_flex::compress_prepend_size(&vec![0; 25 << 20]);
        assert!(unpack("acme:1", &largest).expect_err("no envelope").to_string().contains("format 0"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), length in 0_u32..4_000, prefixed in any::<bool>()) {
            let bytes = if prefixed { [&length.to_le_bytes()[..], &bytes].concat() } else { bytes };
            let _ended = unpack("acme:1", &bytes);
        }
    }
}
