//! The queue itself: a publisher for each lane, a place for each sink, and tasks that look after both.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::timeout;

use super::connection::{BrokerConnection, Fault};
use super::lane::AmqpSubscription;
use super::message::Message;
use super::publisher::{Publication, Publisher};
use super::settings::Broker;
use super::shared::Shared;
use super::topology::close;
use super::{sinks, watch as watching};
use crate::event::{Envelope, LaneCount, LaneId, Position};
use crate::queue::{Backlog, PublishError, Queue, QueueError, Share, Subscription};
use crate::setting::SinkName;

/// What may wait for the broker, in KiB: as much as the receiver lets in at a time.
const WAITING_KIB: u32 = 64 << 10;
/// The least a publication counts, so that the channels have room for all that may wait.
const PUBLICATION_KIB: u32 = 64;
const PUBLICATIONS_MAX: usize = (WAITING_KIB / PUBLICATION_KIB) as usize;
/// Shorter than the sender's own patience, so that it hears why.
const PUBLISH_LIMIT: Duration = Duration::from_secs(8);
const CHECK_LIMIT: Duration = Duration::from_secs(5);
/// Each lane of each sink is asked for.
const LOOK_LIMIT: Duration = Duration::from_secs(10);
/// Queues of one sink that are made at a time.
const MADE_AT_A_TIME: usize = 4;

const CLOSED: &str = "it is closed";

pub struct Amqp {
    shared: Arc<Shared>,
    publishers: Vec<mpsc::Sender<Publication>>,
    waiting: Arc<Semaphore>,
}

impl Amqp {
    /// Connects, and makes what is missing on the broker. `share`: the lanes that this process may own, now and later.
    pub async fn open(broker: &Broker, name: &str, lanes: LaneCount, share: watch::Receiver<Share>) -> Result<Self, QueueError> {
        let shared = Arc::new(Shared::new(broker, name, lanes, share.clone())?);
        let Shared { topology, control, .. } = &*shared;
        topology.compare_lanes(control).await?;
        topology.make_sinks(control).await?;
        let is_new = topology.make_exchange(control).await?;
        if let Err(fault) = shared.read_sinks().await {
            tracing::warn!("which sinks have a place on the broker is not known yet: {fault}");
        }
        if is_new {
            // Somebody may have removed it while we were away, and what was bound to it went with it.
            shared.bind_all().await?;
        }
        shared.publishing.get_or_connect().await?;

        let mut publishers = Vec::new();
        for _ in lanes.lanes() {
            let (requests, asked) = mpsc::channel(PUBLICATIONS_MAX);
            shared.tasks.spawn("queue publisher", Publisher::new(Arc::clone(&shared), asked).run());
            publishers.push(requests);
        }
        shared.tasks.spawn("queue watch", watching::run(Arc::clone(&shared), share));
        let waiting = Arc::new(Semaphore::new(WAITING_KIB as usize));
        Ok(Self { shared, publishers, waiting })
    }

    async fn send(&self, lane: LaneId, messages: Vec<Message>) -> Result<(), PublishError> {
        let bytes: usize = messages.iter().map(|message| message.body.len()).sum();
        let kib = u32::try_from(bytes >> 10).unwrap_or(WAITING_KIB).clamp(PUBLICATION_KIB, WAITING_KIB);
        let permit = Arc::clone(&self.waiting).acquire_many_owned(kib).await.map_err(|_| closed())?;
        let (answer, answered) = oneshot::channel();
        let publisher = self.publishers.get(usize::from(lane.0)).expect("a lane of this queue");
        publisher.try_send(Publication { messages, answer, permit }).map_err(|_| closed())?;
        answered.await.unwrap_or_else(|_| Err(closed()))
    }

    fn ensure_open(&self) -> Result<(), QueueError> {
        if self.shared.tasks.token().is_cancelled() { Err(QueueError::Unavailable(CLOSED.to_owned())) } else { Ok(()) }
    }

    fn unbound(&self) -> String {
        format!("`{}` has lost what was bound to it, which is being bound again", self.shared.topology.names.exchange())
    }

    /// Whether the exchange answers, on the connection that publishes.
    async fn look(&self) -> Result<(), Fault> {
        let channel = self.shared.publishing.channel().await?;
        self.shared.topology.look_for_exchange(&channel).await?;
        close(&channel).await;
        Ok(())
    }
}

#[async_trait]
impl Queue for Amqp {
    fn lanes(&self) -> LaneCount {
        self.shared.topology.lanes
    }

    async fn publish(&self, batch: Vec<Arc<Envelope>>) -> Result<(), PublishError> {
        let Some(first) = batch.first() else { return Ok(()) };
        let lane = first.event.partition_key.lane(self.lanes());
        debug_assert!(batch.iter().all(|envelope| envelope.event.partition_key == first.event.partition_key), "one partition key");
        if self.shared.tasks.token().is_cancelled() {
            return Err(closed());
        }
        if let Some(why) = self.shared.full() {
            return Err(PublishError::Full(why));
        }
        if let Some(why) = self.shared.publishing.blocked_reason() {
            return Err(PublishError::Unavailable(why));
        }
        if self.shared.is_unbound() {
            return Err(PublishError::Unavailable(self.unbound()));
        }
        let body_max = self.shared.body_max.load(Ordering::Relaxed);
        let message = |envelope: &Arc<Envelope>| Message::new(envelope, lane, body_max);
        let messages = batch.iter().map(message).collect::<Result<_, _>>().map_err(PublishError::Unavailable)?;
        let late = |_| PublishError::Unavailable(format!("the broker did not confirm it within {PUBLISH_LIMIT:?}"));
        timeout(PUBLISH_LIMIT, self.send(lane, messages)).await.map_err(late)?
    }

    async fn subscribe(&self, sink: &SinkName) -> Result<Box<dyn Subscription>, QueueError> {
        self.ensure_open()?;
        let shared = &self.shared;
        shared.add_sink(sink).await?;
        let made = stream::iter(shared.topology.lanes.lanes()).map(|lane| shared.topology.make_lane(&shared.control, sink, lane));
        made.buffer_unordered(MADE_AT_A_TIME).try_collect::<()>().await?;
        Ok(Box::new(AmqpSubscription { shared: Arc::clone(shared), place: shared.place(sink) }))
    }

    async fn forget(&self, sink: &SinkName) -> Result<(), QueueError> {
        self.ensure_open()?;
        let Shared { topology, control, .. } = &*self.shared;
        let place = self.shared.remove_place(sink);
        if let Some(place) = &place {
            place.owners.taken().cancel();
        }
        let channel = control.channel().await?;
        for lane in topology.lanes.lanes() {
            topology.delete_lane(&channel, sink, lane).await?;
        }
        close(&channel).await;
        sinks::remove(topology, control, sink).await?;
        Ok(())
    }

    async fn backlog(&self) -> Result<Vec<Backlog>, QueueError> {
        self.ensure_open()?;
        Ok(timeout(LOOK_LIMIT, self.shared.backlog()).await.map_err(|_| slow(LOOK_LIMIT))??)
    }

    async fn passed(&self, sink: &SinkName, lane: LaneId) -> Result<Option<Position>, QueueError> {
        if lane.0 >= self.lanes().get() {
            return Ok(None);
        }
        Ok(timeout(LOOK_LIMIT, self.shared.passed(sink, lane)).await.map_err(|_| slow(LOOK_LIMIT))??)
    }

    async fn check(&self) -> Result<(), QueueError> {
        self.ensure_open()?;
        if let Some(why) = self.shared.publishing.blocked_reason() {
            return Err(QueueError::Unavailable(why));
        }
        if self.shared.is_unbound() {
            return Err(QueueError::Unavailable(self.unbound()));
        }
        if let Some(why) = self.shared.full() {
            return Err(QueueError::Full(why));
        }
        Ok(timeout(CHECK_LIMIT, self.look()).await.map_err(|_| slow(CHECK_LIMIT))??)
    }

    async fn close(&self, deadline: Duration) -> Result<(), QueueError> {
        if !self.shared.tasks.stop(deadline).await {
            let late = format!("it did not close within {deadline:?}, so some events will be shown again");
            return Err(QueueError::Unavailable(late));
        }
        let places = self.shared.all_places();
        let connections = places.iter().map(|place| &place.connection).chain([&self.shared.publishing, &self.shared.control]);
        join_all(connections.map(BrokerConnection::close)).await;
        Ok(())
    }
}

impl Drop for Amqp {
    /// For whoever did not close: the tasks end, and the connections with them.
    fn drop(&mut self) {
        self.shared.tasks.token().cancel();
    }
}

fn slow(limit: Duration) -> QueueError {
    QueueError::Unavailable(format!("the broker did not answer within {limit:?}"))
}

fn closed() -> PublishError {
    PublishError::Unavailable(CLOSED.to_owned())
}
