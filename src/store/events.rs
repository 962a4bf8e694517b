//! Looking into the archive: the events that somebody asks for, newest first, and those that come while somebody looks on.

use std::collections::HashMap;

use sqlx::FromRow;

use super::db::Statement;
use super::rows::{Archived, EventFilter, EventPlace};
use super::{Store, StoreError, archive, limit, set};
use crate::clock::Timestamp;
use crate::event::EventId;

#[derive(FromRow)]
struct Stored {
    number: i64,
    received_at: i64,
    event_id: String,
    lane: i64,
    position: i64,
    envelope: Vec<u8>,
}

impl Stored {
    fn read(self) -> Result<(EventPlace, Archived), StoreError> {
        let place = EventPlace { received_at: Timestamp::from_ms(self.received_at), number: self.number };
        let (lane, position) = (archive::lane(self.lane), archive::position(self.position));
        Ok((place, Archived { envelope: archive::unpack(&self.event_id, &self.envelope)?, lane, position }))
    }
}

/// Ends in a condition, so that `AND` may follow.
fn filtered(filter: &EventFilter) -> Statement<'_> {
    const HEAD: &str =
        "SELECT archive.number, archive.received_at, archive.event_id, archive.lane, archive.position, archive.envelope FROM ";
    let mut statement = Statement::new(HEAD);
    statement = match &filter.issue_key {
        // An old key follows the move, as in `trace`. A join: SQLite would read the whole archive for an `IN` over a union.
        Some(key) => statement
            .push(archive::ISSUES_OF_KEY)
            .push(" AS known JOIN archive ON archive.connection = known.connection AND archive.issue_id = known.issue_id WHERE 1 = 1")
            .bind(key.as_str())
            .bind(key.as_str())
            .bind(key.as_str()),
        None => statement.push("archive WHERE 1 = 1"),
    };
    for (condition, value) in [(" AND archive.kind = ?", &filter.kind), (" AND archive.connection = ?", &filter.connection)] {
        if let Some(value) = value {
            statement = statement.push(condition).bind(value.as_str());
        }
    }
    for (condition, at) in [(" AND archive.received_at >= ?", filter.since), (" AND archive.received_at <= ?", filter.until)] {
        if let Some(at) = at {
            statement = statement.push(condition).bind(at.ms());
        }
    }
    statement
}

impl Store {
    /// The newest events, newest first; those older than `after`, if it is given.
    pub async fn archived_page(
        &self,
        filter: &EventFilter,
        after: Option<EventPlace>,
        most: usize,
    ) -> Result<Vec<(EventPlace, Archived)>, StoreError> {
        let mut statement = filtered(filter);
        if let Some(after) = after {
            statement =
                statement.push(" AND (archive.received_at, archive.number) < (?, ?)").bind(after.received_at.ms()).bind(after.number);
        }
        let statement = statement.push(" ORDER BY archive.received_at DESC, archive.number DESC LIMIT ?").bind(limit(most));
        let rows: Vec<Stored> = self.fetch(statement).await?;
        rows.into_iter().map(Stored::read).collect()
    }

    /// What the archive took up after that number, in that order.
    pub async fn archived_after(&self, filter: &EventFilter, number: i64, most: usize) -> Result<Vec<(i64, Archived)>, StoreError> {
        let statement = filtered(filter).push(" AND archive.number > ? ORDER BY archive.number LIMIT ?").bind(number).bind(limit(most));
        let rows: Vec<Stored> = self.fetch(statement).await?;
        rows.into_iter().map(|row| row.read().map(|(place, archived)| (place.number, archived))).collect()
    }

    /// The keys of the issues that these events are of: as the events had them, else as they are known from others of the issue. An event
    /// that is of none has none.
    pub async fn issue_keys(&self, events: &[EventId]) -> Result<HashMap<EventId, String>, StoreError> {
        const HEAD: &str = "SELECT event_id, COALESCE(issue_key, \
            (SELECT known.issue_key FROM archive AS known WHERE known.connection = archive.connection \
            AND known.issue_id = archive.issue_id AND known.issue_key IS NOT NULL ORDER BY known.number DESC LIMIT 1), \
            (SELECT tickets.key FROM tickets WHERE tickets.connection = archive.connection AND tickets.id = archive.issue_id)) \
            FROM archive WHERE event_id IN ";
        let ids: Vec<&str> = events.iter().map(EventId::as_str).collect();
        let mut keys = HashMap::new();
        for ids in set::lists(&ids) {
            let rows: Vec<(String, Option<String>)> = self.fetch(Statement::new(HEAD).list(ids)).await?;
            keys.extend(rows.into_iter().filter_map(|(event, key)| Some((EventId::known(&event), key?))));
        }
        Ok(keys)
    }

    /// The number of what it took up last.
    pub async fn archive_end(&self) -> Result<i64, StoreError> {
        let last: Option<(Option<i64>,)> = self.fetch_one(Statement::new("SELECT MAX(number) FROM archive")).await?;
        Ok(last.and_then(|(last,)| last).unwrap_or(0))
    }
}
