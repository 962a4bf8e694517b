//! The reference queue: all in one lock, simple and obviously right. For tests: nothing outlives the process.
//!
//! Holds at most `capacity` envelopes that some sink has not passed; what every sink has passed is let go.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::owners::{Owned, Owners};
use super::{Backlog, Lane, PublishError, Queue, QueueError, Seen, Subscription};
use crate::event::{Envelope, LaneCount, LaneId, Position};
use crate::setting::SinkName;

pub struct Memory {
    shared: Arc<Shared>,
}

impl Memory {
    pub fn new(lanes: LaneCount, capacity: usize) -> Self {
        let state = State { roads: vec![Road::default(); usize::from(lanes.get())], places: BTreeMap::new() };
        Self {
            shared: Arc::new(Shared {
                lanes,
                capacity,
                state: Mutex::new(state),
                published: Notify::new(),
                closed: CancellationToken::new(),
            }),
        }
    }
}

#[async_trait]
impl Queue for Memory {
    fn lanes(&self) -> LaneCount {
        self.shared.lanes
    }

    async fn publish(&self, batch: Vec<Arc<Envelope>>) -> Result<(), PublishError> {
        let Some(first) = batch.first() else { return Ok(()) };
        if self.shared.closed.is_cancelled() {
            return Err(PublishError::Unavailable("it is closed".to_owned()));
        }
        let lane = first.event.partition_key.lane(self.shared.lanes);
        let mut state = self.shared.state();
        let held: usize = state.roads.iter().map(|road| road.held.len()).sum();
        if held + batch.len() > self.shared.capacity {
            return Err(PublishError::Full(format!("it holds {held} of {} events", self.shared.capacity)));
        }
        state.road(lane).held.extend(batch);
        state.trim(lane);
        drop(state);
        self.shared.published.notify_waiters();
        Ok(())
    }

    async fn subscribe(&self, sink: &SinkName) -> Result<Box<dyn Subscription>, QueueError> {
        self.shared.open()?;
        let mut state = self.shared.state();
        let ends: Vec<u64> = state.roads.iter().map(Road::last).collect();
        let place = state
            .places
            .entry(sink.clone())
            .or_insert_with(|| Place { cursors: ends, owners: Owners::new(self.shared.lanes, self.shared.closed.child_token()) });
        let owners = Arc::clone(&place.owners);
        Ok(Box::new(MemorySubscription { shared: Arc::clone(&self.shared), sink: sink.clone(), owners }))
    }

    async fn forget(&self, sink: &SinkName) -> Result<(), QueueError> {
        self.shared.open()?;
        let mut state = self.shared.state();
        if let Some(place) = state.places.remove(sink) {
            place.owners.taken().cancel();
        }
        for lane in self.shared.lanes.lanes() {
            state.trim(lane);
        }
        Ok(())
    }

    async fn backlog(&self) -> Result<Vec<Backlog>, QueueError> {
        self.shared.open()?;
        let state = self.shared.state();
        let mut backlog = Vec::new();
        for (sink, place) in &state.places {
            for ((lane, road), cursor) in self.shared.lanes.lanes().zip(&state.roads).zip(&place.cursors) {
                let oldest = road.after(*cursor, 1).first().map(|seen| seen.envelope.event.data.received_at);
                backlog.push(Backlog { sink: sink.clone(), lane, waiting: road.last() - cursor, oldest });
            }
        }
        Ok(backlog)
    }

    async fn passed(&self, sink: &SinkName, lane: LaneId) -> Result<Option<Position>, QueueError> {
        let state = self.shared.state();
        Ok(state.places.get(sink).and_then(|place| place.cursors.get(usize::from(lane.0))).copied().map(Position))
    }

    async fn check(&self) -> Result<(), QueueError> {
        self.shared.open()
    }

    async fn close(&self, _: Duration) -> Result<(), QueueError> {
        self.shared.closed.cancel();
        Ok(())
    }
}

struct Shared {
    lanes: LaneCount,
    capacity: usize,
    state: Mutex<State>,
    published: Notify,
    closed: CancellationToken,
}

struct State {
    roads: Vec<Road>,
    places: BTreeMap<SinkName, Place>,
}

/// One lane: what is held stands at the positions after `let_go`.
#[derive(Clone, Default)]
struct Road {
    held: VecDeque<Arc<Envelope>>,
    let_go: u64,
}

struct Place {
    cursors: Vec<u64>,
    owners: Arc<Owners>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> Result<(), QueueError> {
        if self.closed.is_cancelled() { Err(QueueError::Unavailable("it is closed".to_owned())) } else { Ok(()) }
    }
}

impl State {
    fn road(&mut self, lane: LaneId) -> &mut Road {
        self.roads.get_mut(usize::from(lane.0)).expect("a lane of this queue")
    }

    /// Lets go of what every sink has passed.
    fn trim(&mut self, lane: LaneId) {
        let lowest = self.places.values().filter_map(|place| place.cursors.get(usize::from(lane.0))).min().copied();
        let road = self.road(lane);
        let keep_after = lowest.unwrap_or_else(|| road.last());
        while road.let_go < keep_after && road.held.pop_front().is_some() {
            road.let_go += 1;
        }
    }
}

impl Road {
    fn last(&self) -> u64 {
        self.let_go + self.held.len() as u64
    }

    fn after(&self, cursor: u64, limit: usize) -> Vec<Seen> {
        let numbered = (self.let_go + 1..).zip(&self.held);
        let waiting = numbered.filter(|(position, _)| *position > cursor);
        waiting.take(limit).map(|(position, envelope)| Seen { position: Position(position), envelope: Arc::clone(envelope) }).collect()
    }
}

struct MemorySubscription {
    shared: Arc<Shared>,
    sink: SinkName,
    owners: Arc<Owners>,
}

#[async_trait]
impl Subscription for MemorySubscription {
    async fn next_lane(&mut self) -> Result<Box<dyn Lane>, QueueError> {
        let owned = self.owners.take().await?;
        Ok(Box::new(MemoryLane { shared: Arc::clone(&self.shared), sink: self.sink.clone(), owned }))
    }
}

struct MemoryLane {
    shared: Arc<Shared>,
    sink: SinkName,
    owned: Owned,
}

#[async_trait]
impl Lane for MemoryLane {
    fn id(&self) -> LaneId {
        self.owned.lane()
    }

    fn taken(&self) -> CancellationToken {
        self.owned.taken().clone()
    }

    async fn window(&mut self, limit: usize) -> Result<Vec<Seen>, QueueError> {
        loop {
            let published = self.shared.published.notified();
            tokio::pin!(published);
            published.as_mut().enable();
            let seen = self.waiting(limit.max(1))?;
            if !seen.is_empty() {
                return Ok(seen);
            }
            tokio::select! {
                () = published => {}
                () = self.owned.taken().cancelled() => return Err(QueueError::Lost),
            }
        }
    }

    async fn advance(&mut self, past: Position) -> Result<(), QueueError> {
        let lane = self.owned.lane();
        let mut state = self.shared.state();
        // Asked under the lock: a place of the same name that was made since belongs to somebody else.
        if self.owned.taken().is_cancelled() {
            return Err(QueueError::Lost);
        }
        let last = state.road(lane).last();
        let place = state.places.get_mut(&self.sink).ok_or(QueueError::Lost)?;
        let cursor = place.cursors.get_mut(usize::from(lane.0)).ok_or(QueueError::Lost)?;
        *cursor = past.0.min(last).max(*cursor);
        state.trim(lane);
        Ok(())
    }
}

impl MemoryLane {
    fn waiting(&self, limit: usize) -> Result<Vec<Seen>, QueueError> {
        let lane = usize::from(self.owned.lane().0);
        let state = self.shared.state();
        if self.owned.taken().is_cancelled() {
            return Err(QueueError::Lost);
        }
        let cursor = state.places.get(&self.sink).and_then(|place| place.cursors.get(lane)).ok_or(QueueError::Lost)?;
        Ok(state.roads.get(lane).ok_or(QueueError::Lost)?.after(*cursor, limit))
    }
}
