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

/// The process stops and the store does not take it: what was done may be done again.
#[derive(Debug)]
pub(crate) struct NotWritten;

/// Writes until the store takes it. While it does not, the lane holds and the queue absorbs. What the store will never take of one event
/// keeps nothing from being written of the others.
pub(crate) async fn persist(store: &Store, write: Write, stop: &CancellationToken) -> Result<(), NotWritten> {
    if write.is_empty() {
        return Ok(());
    }
    let mut tries = 0;
    loop {
        match store.write(write.clone()).await {
            Ok(()) => return Ok(()),
            Err(StoreError::Unusable(_)) => break,
            Err(err) => pause(&mut tries, &err, None, stop).await?,
        }
    }
    let (parts, rest) = by_event(write);
    let written = join_all(parts.into_iter().map(|(event, part)| insist(store, part, Some(event), stop))).await;
    written.into_iter().collect::<Result<(), NotWritten>>()?;
    insist(store, rest, None, stop).await
}

async fn insist(store: &Store, write: Write, of: Option<EventId>, stop: &CancellationToken) -> Result<(), NotWritten> {
    let mut tries = 0;
    while let Err(err) = store.write(write.clone()).await {
        pause(&mut tries, &err, of.as_ref(), stop).await?;
    }
    Ok(())
}

async fn pause(tries: &mut u32, err: &StoreError, of: Option<&EventId>, stop: &CancellationToken) -> Result<(), NotWritten> {
    *tries += 1;
    if *tries == 1 || tries.is_multiple_of(20) {
        match of {
            Some(event) => {
                tracing::error!(event.id = %event, tries = *tries, "the store does not take what was done with this event: {err}")
            }
            None => tracing::warn!(tries = *tries, "the store does not take what was done: {err}"),
        }
    }
    if stop.is_cancelled() && *tries >= LAST_TRIES {
        return Err(NotWritten);
    }
    tokio::time::sleep(BACKOFF.after(*tries)).await;
    Ok(())
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
mod tests {
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

    /// The archive does not hold its event, so the store will never take it.
    fn parked(of: &JournalRow) -> ParkedRow {
        ParkedRow {
            id: ParkedRow::new_id(),
            key: of.key.clone(),
            rule: None,
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
