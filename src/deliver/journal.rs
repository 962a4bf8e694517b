//! Writing down what happened: with patience, because what was done must be known, and never by doing it again.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::event::EventId;
use crate::store::{Store, StoreError, Write};

const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
/// How long a stopping process still tries to write down what it did.
const LAST_TRIES: u32 = 5;
/// Events that one line of the log names.
const NAMED_MAX: usize = 3;

/// The process stops and the store does not take it: what was done may be done again.
#[derive(Debug)]
pub(crate) struct NotWritten;

/// Writes until the store takes it. While it does not, the lane holds and the queue absorbs. What the store rejects of one event keeps
/// nothing from being written of the others.
pub(crate) async fn persist(store: &Store, write: Write, stop: &CancellationToken) -> Result<(), NotWritten> {
    if write.is_empty() {
        return Ok(());
    }
    let mut tries = 0;
    loop {
        match store.write(write.clone()).await {
            Ok(()) => return Ok(()),
            Err(StoreError::Rejected(_)) => break,
            Err(err) => pause(&mut tries, &err, &[], stop).await?,
        }
    }
    let (parts, rest) = by_event(write);
    persist_singly(store, parts.into_iter().collect(), stop).await?;
    let mut tries = 0;
    while let Err(err) = store.write(rest.clone()).await {
        pause(&mut tries, &err, &[], stop).await?;
    }
    Ok(())
}

/// Until the last of them is taken.
async fn persist_singly(store: &Store, mut parts: Vec<(EventId, Write)>, stop: &CancellationToken) -> Result<(), NotWritten> {
    let mut tries = 0;
    loop {
        let written = join_all(parts.iter().map(|(_, part)| store.write(part.clone()))).await;
        let mut last = None;
        let mut left = Vec::new();
        for (part, written) in parts.into_iter().zip(written) {
            if let Err(err) = written {
                left.push(part);
                last = Some(err);
            }
        }
        let Some(err) = last else { return Ok(()) };
        parts = left;
        let events: Vec<&EventId> = parts.iter().map(|(event, _)| event).collect();
        pause(&mut tries, &err, &events, stop).await?;
    }
}

/// `events`: those alone of which it does not take what was done, if that is known.
async fn pause(tries: &mut u32, err: &StoreError, events: &[&EventId], stop: &CancellationToken) -> Result<(), NotWritten> {
    *tries += 1;
    if *tries == 1 || tries.is_multiple_of(20) {
        match events {
            [] => tracing::warn!(tries = *tries, "the store does not take what was done: {err}"),
            events => tracing::error!(tries = *tries, "the store does not take what was done with {}: {err}", named(events)),
        }
    }
    if stop.is_cancelled() && *tries >= LAST_TRIES {
        return Err(NotWritten);
    }
    tokio::time::sleep(BACKOFF.after(*tries)).await;
    Ok(())
}

/// The first few, and how many more there are.
fn named(events: &[&EventId]) -> String {
    let names: Vec<String> = events.iter().take(NAMED_MAX).map(|event| format!("`{event}`")).collect();
    match events.len().saturating_sub(NAMED_MAX) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

/// What concerns one event alone, and the rest: it may be written only behind all of that.
fn by_event(write: Write) -> (BTreeMap<EventId, Write>, Write) {
    let Write { archive, journal, park, tried, unpark, postpone, shadows, threads, tickets, replay } = write;
    let mut parts: BTreeMap<EventId, Write> = BTreeMap::new();
    for row in archive {
        parts.entry(row.envelope.event.id.clone()).or_default().archive.push(row);
    }
    for row in journal {
        parts.entry(row.key.event_id.clone()).or_default().journal.push(row);
    }
    for row in park {
        parts.entry(row.key.event_id.clone()).or_default().park.push(row);
    }
    for row in tried {
        parts.entry(row.key.event_id.clone()).or_default().tried.push(row);
    }
    (parts, Write { unpark, postpone, shadows, threads, tickets, replay, ..Write::default() })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::store::{DeliveryKey, Ended, JournalRow, ParkedRow, ParkedState, Progress, Settings};

    fn journal(number: u32) -> JournalRow {
        let event_id = EventId::new(&"acme".parse().expect("a name"), &["issue", "1", "change", &number.to_string()]);
        JournalRow {
            key: DeliveryKey { sink: "team".parse().expect("a name"), event_id, target: "#a".into(), generation: 0 },
            rule: None,
            progress: Progress::Ended(Ended::Delivered),
            reason: None,
            at: crate::clock::Timestamp::from_ms(1),
            attempts: 1,
            unclean_runs: 0,
        }
    }

    /// That delivery, waiting. The archive does not hold its event, so the store will never take it.
    pub(in crate::deliver) fn parked(of: &JournalRow) -> ParkedRow {
        ParkedRow {
            id: ParkedRow::new_id(),
            key: of.key.clone(),
            rule: of.rule.clone(),
            lane: crate::event::LaneId(0),
            position: crate::event::Position(1),
            partition_key: crate::event::PartitionKey::known("acme/issue/1"),
            state: ParkedState::Waiting,
            not_before: of.at,
            attempts: 1,
            first_at: of.at,
            last_at: of.at,
            reason: "it waits".into(),
        }
    }

    #[test]
    fn a_line_names_a_few_events() {
        let rows: Vec<JournalRow> = (1..=5).map(journal).collect();
        let ids: Vec<&EventId> = rows.iter().map(|row| &row.key.event_id).collect();
        let told = |count: usize| named(ids.get(..count).expect("so many"));
        assert_eq!(told(1), "`acme:issue:1:change:1`");
        assert_eq!(told(3).matches('`').count(), 6);
        assert!(!told(3).contains("more"));
        assert!(told(5).ends_with("`acme:issue:1:change:3` and 2 more"), "{}", told(5));
    }

    #[tokio::test]
    async fn what_the_store_will_never_take_holds_nothing_else_back() {
        let (dir, tasks) = (tempfile::tempdir().expect("a folder"), crate::shutdown::Tasks::new());
        let store = Store::open(&Settings::default(), dir.path(), &tasks).await.expect("it opens");
        let rows = [journal(1), journal(2), journal(3)];
        let write = Write { journal: rows.to_vec(), park: vec![parked(&rows[1])], ..Write::default() };
        let stop = CancellationToken::new();
        let writing = persist(&store, write, &stop);
        let ids: Vec<&EventId> = rows.iter().map(|row| &row.key.event_id).collect();
        let sink = rows[0].key.sink.clone();
        let both_others = async {
            loop {
                let known = store.journal(&sink, &ids).await.expect("it can be read");
                if known.len() == 2 {
                    return known;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            _ = writing => panic!("the second cannot be written"),
            known = both_others => assert!(known.iter().all(|row| row.key != rows[1].key)),
            () = tokio::time::sleep(Duration::from_secs(20)) => panic!("the others were not written"),
        }
    }
}
