//! The spool: what the broker does not take goes to the local disk and follows in order as soon as it does.
//!
//! For sites that never repeat a webhook. While anything of a lane waits here, all of that lane goes behind it, and while an event is on
//! its way to the broker, later ones of its partition key wait, so order is kept; what was handed to the broker without an answer may come
//! there twice. Full is full: then the receiver says 503 as without a spool.

mod turns;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::turns::Turns;
use super::embedded::{self, Embedded};
use super::{Backlog, Lane, PublishError, Queue, QueueError, RetryingLane, Subscription};
use crate::backoff::Backoff;
use crate::event::{Envelope, LaneCount, LaneId, PartitionKey, Position};
use crate::setting::SinkName;
use crate::shutdown::Tasks;

/// How long the broker may take before the disk does; less than the receiver gives both.
const DIRECT_LIMIT: Duration = Duration::from_secs(3);
/// Who waited so long for earlier calls of its key goes to the disk at once.
const TURN_LIMIT: Duration = Duration::from_secs(1);
/// After a failure the broker is not asked again for so long.
const DOWN_FOR: Duration = Duration::from_secs(2);
/// How long it may take when it is the spool's turn.
const FOLLOW_LIMIT: Duration = Duration::from_secs(15);
const WINDOW: usize = 64;
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(5);

pub struct Spool {
    road: Arc<dyn Queue>,
    local: Embedded,
    place: SinkName,
    /// Per lane how many calls are about to spool: whoever comes later goes behind them.
    spooling: Vec<AtomicU64>,
    turns: Turns,
    down_until: Mutex<Option<Instant>>,
}

impl Spool {
    /// Opens the log in `dir`; what an earlier process left there follows at once.
    pub async fn open(road: Arc<dyn Queue>, settings: &embedded::Settings, dir: &Path, tasks: &Tasks) -> Result<Arc<Self>, QueueError> {
        let local = Embedded::open(&embedded::Settings { lanes: road.lanes(), ..settings.clone() }, dir, None)?;
        let place: SinkName = "spool".parse().expect("a name");
        let spooling = road.lanes().lanes().map(|_| AtomicU64::new(0)).collect();
        let subscription = local.subscribe(&place).await?;
        let spool = Arc::new(Self { road, local, place, spooling, turns: Turns::default(), down_until: Mutex::new(None) });
        tasks.spawn("spool", drain_all(Arc::clone(&spool.road), subscription, spool.place.clone(), tasks.clone()));
        Ok(spool)
    }

    /// Whether the lane's events must go to the disk because others wait there.
    fn is_behind(&self, lane: LaneId) -> bool {
        self.spooling(lane).load(Ordering::SeqCst) > 0 || self.local.waits(&self.place, lane)
    }

    fn spooling(&self, lane: LaneId) -> &AtomicU64 {
        self.spooling.get(usize::from(lane.0)).expect("a lane of this queue")
    }

    fn is_down(&self) -> bool {
        self.down_until.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|until| until > Instant::now())
    }

    /// True: the road has taken it.
    async fn direct(&self, batch: Vec<Arc<Envelope>>) -> bool {
        let why = match tokio::time::timeout(DIRECT_LIMIT, self.road.publish(batch)).await {
            Ok(Ok(())) => return true,
            Ok(Err(err)) => err.to_string(),
            Err(_) => "it did not answer".to_owned(),
        };
        let until = self.down_until.lock().unwrap_or_else(PoisonError::into_inner).replace(Instant::now() + DOWN_FOR);
        if until.is_none_or(|until| until + DOWN_FOR < Instant::now()) {
            tracing::warn!("events go to the spool, because the queue does not take them: {why}");
        }
        false
    }
}

/// Counts a call for as long as it lives, however it ends.
struct Spooling<'a>(&'a AtomicU64);

impl<'a> Spooling<'a> {
    fn begin(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Spooling<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Queue for Spool {
    fn lanes(&self) -> LaneCount {
        self.road.lanes()
    }

    fn identity(&self) -> Option<String> {
        self.road.identity()
    }

    async fn publish(&self, batch: Vec<Arc<Envelope>>) -> Result<(), PublishError> {
        let Some(first) = batch.first() else { return Ok(()) };
        // While the fate of an earlier call is open, a later one of the same key could overtake it.
        let came = Instant::now();
        let _turn = self.turns.take(&first.event.partition_key).await;
        let lane = first.event.partition_key.lane(self.lanes());
        let is_late = came.elapsed() >= TURN_LIMIT;
        if !is_late && !self.is_behind(lane) && !self.is_down() && self.direct(batch.clone()).await {
            return Ok(());
        }
        let _spooling = Spooling::begin(self.spooling(lane));
        self.local.publish(batch).await
    }

    async fn subscribe(&self, sink: &SinkName) -> Result<Box<dyn Subscription>, QueueError> {
        self.road.subscribe(sink).await
    }

    async fn reserve(&self, sink: &SinkName) -> Result<(), QueueError> {
        self.road.reserve(sink).await
    }

    async fn forget(&self, sink: &SinkName) -> Result<(), QueueError> {
        self.road.forget(sink).await
    }

    async fn orphans(&self, configured: &[SinkName]) -> Result<Vec<SinkName>, QueueError> {
        self.road.orphans(configured).await
    }

    /// What waits on the disk stands beside the sinks, under the name `spool`.
    async fn backlog(&self) -> Result<Vec<Backlog>, QueueError> {
        let mut backlog = self.road.backlog().await?;
        backlog.extend(self.local.backlog().await?);
        Ok(backlog)
    }

    async fn passed(&self, sink: &SinkName, lane: LaneId) -> Result<Option<Position>, QueueError> {
        self.road.passed(sink, lane).await
    }

    /// While the broker is away the disk takes what comes.
    async fn check(&self) -> Result<(), QueueError> {
        match self.road.check().await {
            Err(QueueError::Unavailable(_) | QueueError::Full(_)) => self.local.check().await,
            checked => checked,
        }
    }

    async fn close(&self, deadline: Duration) -> Result<(), QueueError> {
        let (local, road) = tokio::join!(self.local.close(deadline), self.road.close(deadline));
        local.and(road)
    }
}

/// Every lane on a task of its own, until the process stops.
async fn drain_all(road: Arc<dyn Queue>, mut subscription: Box<dyn Subscription>, place: SinkName, tasks: Tasks) {
    let stop = tasks.token().clone();
    loop {
        let lane = tokio::select! {
            () = stop.cancelled() => return,
            lane = subscription.next_lane() => lane,
        };
        match lane {
            Ok(lane) => tasks.spawn("spool lane", drain(Arc::clone(&road), RetryingLane::new(lane, &place), stop.clone())),
            Err(err) => return tracing::debug!("the spool is not drained any more: {err}"),
        }
    }
}

/// What waits in one lane follows: issues side by side, the events of each one after another.
async fn drain(road: Arc<dyn Queue>, mut lane: RetryingLane, stop: CancellationToken) {
    loop {
        let window = tokio::select! {
            () = stop.cancelled() => return,
            window = lane.window(WINDOW) => window,
        };
        let window = match window {
            Ok(window) => window,
            Err(err) => return tracing::warn!(lane = %lane.id(), "the spool lost lane {}: {err}", lane.id()),
        };
        let Some(last) = window.last().map(|seen| seen.position) else { continue };
        let mut chains: HashMap<PartitionKey, Vec<Arc<Envelope>>> = HashMap::new();
        for seen in window {
            chains.entry(seen.envelope.event.partition_key.clone()).or_default().push(seen.envelope);
        }
        tokio::select! {
            () = stop.cancelled() => return,
            _ = join_all(chains.into_values().map(|chain| follow(road.as_ref(), chain))) => {}
        }
        if lane.advance(last).await.is_err() {
            return;
        }
    }
}

/// Returns when the road has taken all of them.
async fn follow(road: &dyn Queue, chain: Vec<Arc<Envelope>>) {
    let backoff = Backoff::new(RETRY_FIRST, RETRY_MOST);
    for envelope in chain {
        let mut failures = 0;
        while !is_taken(road, &envelope).await {
            failures += 1;
            tokio::time::sleep(backoff.after(failures)).await;
        }
    }
}

async fn is_taken(road: &dyn Queue, envelope: &Arc<Envelope>) -> bool {
    // What it took without an answer comes there twice.
    match tokio::time::timeout(FOLLOW_LIMIT, road.publish(vec![Arc::clone(envelope)])).await {
        Ok(Ok(())) => true,
        Ok(Err(err)) => {
            tracing::debug!("the spool waits: {err}");
            false
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests;
