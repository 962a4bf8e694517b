//! What all parts of the queue know: the sinks of this process, those of others, and how far each has come.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::clients::{Clients, KafkaConsumer, dispose};
use super::cluster::{Cluster, blocking};
use super::context::Context;
use super::fault::Fault;
use super::feed::{Feed, position};
use super::member::Member;
use super::names::Names;
use super::offsets::{self, LaneOffsets, Span};
use crate::event::{LaneCount, LaneId, Position};
use crate::queue::Backlog;
use crate::queue::owners::Owners;
use crate::setting::SinkName;

/// Groups are listed by every broker, so not with every look at the backlog.
const GROUPS_FOR: Duration = Duration::from_secs(30);

pub(super) struct Shared {
    pub(super) cluster: Cluster,
    pub(super) clients: Clients,
    pub(super) names: Names,
    pub(super) lanes: LaneCount,
    /// Fires when the queue closes.
    pub(super) closing: CancellationToken,
    places: Mutex<BTreeMap<SinkName, Arc<Place>>>,
    /// Only one place is made at a time.
    making: tokio::sync::Mutex<()>,
    known: Mutex<Known>,
    /// For groups that this process does not belong to.
    foreign_consumers: Mutex<BTreeMap<SinkName, Arc<KafkaConsumer>>>,
}

/// A sink of this process.
pub(super) struct Place {
    pub(super) sink: SinkName,
    pub(super) owners: Arc<Owners>,
    /// Fires when its membership has ended.
    pub(super) ended: CancellationToken,
    feeds: Vec<Arc<Feed>>,
    consumer: Mutex<Weak<KafkaConsumer>>,
    is_unsaved: AtomicBool,
}

#[derive(Default)]
struct Known {
    sinks: BTreeSet<SinkName>,
    read_at: Option<Instant>,
}

impl Place {
    fn new(sink: &SinkName, lanes: LaneCount, taken: CancellationToken) -> Arc<Self> {
        let owners = Owners::new(lanes, taken);
        owners.share(&crate::queue::Share::Lanes(BTreeSet::new()));
        let feeds = lanes.lanes().map(|_| Feed::new(sink)).collect();
        let (ended, consumer) = (CancellationToken::new(), Mutex::default());
        Arc::new(Self { sink: sink.clone(), owners, ended, feeds, consumer, is_unsaved: AtomicBool::new(false) })
    }

    pub(super) fn feed(&self, lane: LaneId) -> &Arc<Feed> {
        self.feeds.get(usize::from(lane.0)).expect("a lane of this queue")
    }

    pub(super) fn set_consumer(&self, consumer: Option<&Arc<KafkaConsumer>>) {
        *lock(&self.consumer) = consumer.map(Arc::downgrade).unwrap_or_default();
    }

    /// What was passed could not be committed at the end.
    pub(super) fn note_unsaved(&self) {
        self.is_unsaved.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_saved(&self) -> bool {
        !self.is_unsaved.load(Ordering::Relaxed)
    }
}

impl Shared {
    pub(super) fn new(cluster: Cluster, clients: Clients, names: Names, lanes: LaneCount) -> Self {
        Self {
            cluster,
            clients,
            names,
            lanes,
            closing: CancellationToken::new(),
            places: Mutex::default(),
            making: tokio::sync::Mutex::default(),
            known: Mutex::default(),
            foreign_consumers: Mutex::default(),
        }
    }

    /// The place of a sink in this process, made if there is none. Returns when it is stored.
    pub(super) async fn place(&self, sink: &SinkName) -> Result<Arc<Place>, Fault> {
        let _alone = self.making.lock().await;
        if let Some(place) = self.known_place(sink) {
            return Ok(place);
        }
        let first = self.init_group(sink).await?;
        let place = Place::new(sink, self.lanes, self.closing.child_token());
        let member = Member::new(&place, &self.clients, self.names.topic(), self.lanes, self.cluster.limit());
        let thread = std::thread::Builder::new().name(format!("queue {sink}"));
        thread.spawn(move || member.run(first)).map_err(|err| Fault::Transient(format!("no thread can be started: {err}")))?;
        lock(&self.places).insert(sink.clone(), Arc::clone(&place));
        lock(&self.known).sinks.insert(sink.clone());
        if let Some(foreign_consumer) = lock(&self.foreign_consumers).remove(sink) {
            dispose(foreign_consumer);
        }
        Ok(place)
    }

    /// Stores a place for a sink that has none; the client that did it is in no group yet.
    pub(super) async fn init_group(&self, sink: &SinkName) -> Result<(Arc<KafkaConsumer>, Context), Fault> {
        let (clients, of, topic, lanes, limit) =
            (self.clients.clone(), sink.clone(), self.names.topic().to_owned(), self.lanes, self.cluster.limit());
        let initialized = blocking(move || {
            let first = clients.member(&of)?;
            offsets::init_offsets(&first.0, &topic, lanes, limit)?;
            Ok(first)
        });
        // The client waits for the answer to a commit as long as it takes, even for ever; one that arrives late does no harm.
        let late = |_| Err(Fault::Transient("its offsets could not be stored in time".to_owned()));
        let initialized = timeout(limit * 3, initialized).await.unwrap_or_else(late);
        initialized.map_err(|fault| fault.about(&format!("the group `{}`", self.names.group(sink))))
    }

    pub(super) fn known_place(&self, sink: &SinkName) -> Option<Arc<Place>> {
        lock(&self.places).get(sink).cloned()
    }

    pub(super) fn all_places(&self) -> Vec<Arc<Place>> {
        lock(&self.places).values().cloned().collect()
    }

    pub(super) fn remove_place(&self, sink: &SinkName) -> Option<Arc<Place>> {
        lock(&self.known).sinks.remove(sink);
        if let Some(foreign_consumer) = lock(&self.foreign_consumers).remove(sink) {
            dispose(foreign_consumer);
        }
        lock(&self.places).remove(sink)
    }

    /// Of every sink that has a place: one that has none in any lane is only a name.
    pub(super) async fn backlog(&self) -> Result<Vec<Backlog>, Fault> {
        let mut places = Vec::new();
        for sink in self.sinks().await {
            let committed = self.committed(&sink).await?;
            if committed.iter().any(Option::is_some) {
                places.push((sink, committed));
            }
        }
        let (topic, lanes) = (self.names.topic().to_owned(), self.lanes);
        // After the places, so that none is beyond its end.
        let spans = self.cluster.ask(move |consumer, limit| offsets::spans(consumer, &topic, lanes, limit)).await?;
        let mut rows = Vec::new();
        for (sink, committed) in places {
            let place = self.known_place(&sink);
            for ((lane, committed), span) in lanes.lanes().zip(committed).zip(&spans) {
                let feed = place.as_ref().map(|place| place.feed(lane));
                let waiting = waiting(feed.and_then(|feed| feed.passed()).or(committed), *span);
                let oldest = feed.filter(|_| waiting > 0).and_then(|feed| feed.oldest());
                rows.push(Backlog { sink: sink.clone(), lane, waiting, oldest });
            }
        }
        Ok(rows)
    }

    pub(super) async fn passed(&self, sink: &SinkName, lane: LaneId) -> Result<Option<Position>, Fault> {
        if let Some(passed) = self.known_place(sink).and_then(|place| place.feed(lane).passed()) {
            return Ok(Some(position(passed)));
        }
        let is_known = self.known_place(sink).is_some() || self.sinks().await.contains(sink);
        if !is_known {
            return Ok(None);
        }
        let committed = self.committed(sink).await?;
        Ok(committed.get(usize::from(lane.0)).copied().flatten().map(position))
    }

    /// What the group of a sink has committed.
    async fn committed(&self, sink: &SinkName) -> Result<LaneOffsets, Fault> {
        let own = self.known_place(sink).and_then(|place| lock(&place.consumer).upgrade());
        let consumer = match own {
            Some(consumer) => consumer,
            None => self.foreign_consumer(sink)?,
        };
        let (topic, lanes, limit) = (self.names.topic().to_owned(), self.lanes, self.cluster.limit());
        blocking(move || offsets::committed(&consumer, &topic, lanes, limit)).await
    }

    fn foreign_consumer(&self, sink: &SinkName) -> Result<Arc<KafkaConsumer>, Fault> {
        let mut foreign_consumers = lock(&self.foreign_consumers);
        if let Some(known) = foreign_consumers.get(sink) {
            return Ok(Arc::clone(known));
        }
        let consumer = Arc::new(self.clients.group_consumer(sink)?);
        foreign_consumers.insert(sink.clone(), Arc::clone(&consumer));
        Ok(consumer)
    }

    /// Those of this process, and those that have a group.
    pub(super) async fn sinks(&self) -> BTreeSet<SinkName> {
        let is_fresh = |known: &Known| known.read_at.is_some_and(|at| at.elapsed() < GROUPS_FOR);
        if !is_fresh(&lock(&self.known)) {
            match self.cluster.groups().await {
                Ok(groups) => {
                    let mut sinks: BTreeSet<_> = groups.iter().filter_map(|group| self.names.sink(group)).collect();
                    sinks.extend(lock(&self.places).keys().cloned());
                    *lock(&self.known) = Known { sinks, read_at: Some(Instant::now()) };
                }
                Err(fault) => tracing::debug!("the groups of other processes are not known: {fault}"),
            }
        }
        lock(&self.known).sinks.clone()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let foreign_consumers = std::mem::take(&mut *lock(&self.foreign_consumers));
        if !foreign_consumers.is_empty() {
            dispose(foreign_consumers);
        }
    }
}

/// A place before the first that is still there waits for what is there.
fn waiting(passed: Option<i64>, span: Span) -> u64 {
    let from = passed.unwrap_or(span.low).max(span.low);
    u64::try_from(span.high - from).unwrap_or_default()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_lies_between_the_place_and_the_end() {
        let span = Span { low: 10, high: 20 };
        for (passed, expected) in [(Some(12), 8), (Some(20), 0), (Some(25), 0), (Some(3), 10), (None, 10)] {
            assert_eq!(waiting(passed, span), expected, "{passed:?}");
        }
    }
}
