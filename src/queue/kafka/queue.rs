//! The queue itself: a topic, a publisher, and a place for each sink.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::clients::Clients;
use super::cluster::{Cluster, blocking};
use super::fault::Fault;
use super::lane::KafkaSubscription;
use super::message::Record;
use super::names::Names;
use super::publisher::{Publisher, Refusal};
use super::settings::Broker;
use super::shared::Shared;
use super::topic;
use crate::event::{Envelope, LaneCount, LaneId, Position};
use crate::queue::{Backlog, PublishError, Queue, QueueError, Subscription};
use crate::setting::SinkName;

const CHECK_LIMIT: Duration = Duration::from_secs(5);
/// Beyond this a membership is not ending any more.
const LEFT_WITHIN: Duration = Duration::from_secs(10);
const DELETE_EVERY: Duration = Duration::from_millis(200);

const CLOSED: &str = "it is closed";

pub struct Kafka {
    shared: Arc<Shared>,
    publisher: Publisher,
}

impl Kafka {
    /// Connects, makes the topic if it is missing, and is ready to publish at once.
    pub async fn open(broker: &Broker, name: &str, lanes: LaneCount) -> Result<Self, QueueError> {
        let names = Names::new(name);
        let clients = Clients::new(broker, &names);
        let cluster = Cluster::new(&clients)?;
        // It gets ready while the topic is prepared.
        let publisher = Publisher::new(&clients, names.topic(), lanes)?;
        publisher.set_body_max(topic::prepare(&cluster, names.topic(), lanes, broker).await?);
        publisher.warm_up(cluster.limit()).await?;
        Ok(Self { shared: Arc::new(Shared::new(cluster, clients, names, lanes)), publisher })
    }

    async fn send(&self, lane: LaneId, batch: &[Arc<Envelope>]) -> Result<(), Refusal> {
        let body_max = self.publisher.body_max();
        let records = batch.iter().map(|envelope| Record::new(envelope, body_max)).collect::<Result<Vec<_>, _>>();
        let records = records.map_err(|why| Refusal::Fault(Fault::Transient(why)))?;
        self.publisher.publish(lane, &records).await
    }

    /// Somebody has lowered the topic's limit while we run.
    async fn learn_limit(&self) -> Result<(), Fault> {
        let Shared { cluster, clients, names, .. } = &*self.shared;
        let before = self.publisher.body_max();
        let body_max = topic::limit(cluster, names.topic(), clients.broker()).await?;
        // Where it cannot be read, or says the same as before, half of it is tried; a topic that takes less than a MiB is refused anyway.
        let body_max = if body_max < before { body_max } else { (before / 2).max(1 << 20) };
        if self.publisher.lower_body_max(body_max) {
            tracing::warn!("`{}` takes less than before: longer events travel without Jira's own body", names.topic());
        }
        Ok(())
    }

    fn ensure_open(&self) -> Result<(), QueueError> {
        if self.shared.closing.is_cancelled() { Err(QueueError::Unavailable(CLOSED.to_owned())) } else { Ok(()) }
    }
}

#[async_trait]
impl Queue for Kafka {
    fn lanes(&self) -> LaneCount {
        self.shared.lanes
    }

    async fn publish(&self, batch: Vec<Arc<Envelope>>) -> Result<(), PublishError> {
        let Some(first) = batch.first() else { return Ok(()) };
        let lane = first.event.partition_key.lane(self.lanes());
        debug_assert!(batch.iter().all(|envelope| envelope.event.partition_key == first.event.partition_key), "one partition key");
        if self.shared.closing.is_cancelled() {
            return Err(PublishError::Unavailable(CLOSED.to_owned()));
        }
        let sent = match self.send(lane, &batch).await {
            Err(Refusal::TooLarge) => {
                self.learn_limit().await.map_err(|fault| PublishError::Unavailable(fault.to_string()))?;
                self.send(lane, &batch).await
            }
            sent => sent,
        };
        sent.map_err(PublishError::from)
    }

    async fn subscribe(&self, sink: &SinkName) -> Result<Box<dyn Subscription>, QueueError> {
        self.ensure_open()?;
        let place = self.shared.place(sink).await?;
        Ok(Box::new(KafkaSubscription { place }))
    }

    /// Without joining the group: those who work in it would have to share out the lanes anew.
    async fn reserve(&self, sink: &SinkName) -> Result<(), QueueError> {
        self.ensure_open()?;
        let first = self.shared.init_group(sink).await?;
        Ok(blocking(move || {
            // A client takes its time to end.
            drop(first);
            Ok(())
        })
        .await?)
    }

    /// The group can only be deleted when no process is in it; one with a name of its own is in it until its session has ended.
    async fn forget(&self, sink: &SinkName) -> Result<(), QueueError> {
        self.ensure_open()?;
        let Shared { cluster, clients, names, .. } = &*self.shared;
        if let Some(place) = self.shared.remove_place(sink) {
            place.owners.taken().cancel();
            let late = |_| QueueError::Unavailable(format!("the group of `{sink}` was not left within {LEFT_WITHIN:?}"));
            timeout(LEFT_WITHIN, place.ended.cancelled()).await.map_err(late)?;
        }
        let broker = clients.broker();
        let session = if broker.instance.is_some() { broker.session_timeout.0 } else { Duration::ZERO };
        let until = Instant::now() + session + CHECK_LIMIT;
        loop {
            match cluster.delete_group(&names.group(sink)).await {
                Ok(()) => return Ok(()),
                Err(Some(fault @ Fault::Permanent(_))) => return Err(fault.into()),
                Err(Some(fault)) if Instant::now() >= until => return Err(fault.into()),
                Err(None) if Instant::now() >= until => {
                    return Err(QueueError::Unavailable(format!("another process still delivers for `{sink}`; stop it first")));
                }
                Err(_) => sleep(DELETE_EVERY).await,
            }
        }
    }

    async fn backlog(&self) -> Result<Vec<Backlog>, QueueError> {
        self.ensure_open()?;
        Ok(self.shared.backlog().await?)
    }

    /// The names alone are enough: the offsets are not asked for.
    async fn orphans(&self, configured: &[SinkName]) -> Result<Vec<SinkName>, QueueError> {
        self.ensure_open()?;
        let is_orphan = |sink: &SinkName| *sink != SinkName::archive() && !configured.contains(sink);
        Ok(self.shared.sinks().await.into_iter().filter(is_orphan).collect())
    }

    async fn passed(&self, sink: &SinkName, lane: LaneId) -> Result<Option<Position>, QueueError> {
        if lane.0 >= self.lanes().get() {
            return Ok(None);
        }
        Ok(self.shared.passed(sink, lane).await?)
    }

    async fn check(&self) -> Result<(), QueueError> {
        self.ensure_open()?;
        let late = |_| QueueError::Unavailable(format!("the broker did not answer within {CHECK_LIMIT:?}"));
        let trouble = topic::trouble(&self.shared.cluster, self.shared.names.topic());
        match timeout(CHECK_LIMIT, trouble).await.map_err(late)?? {
            None => Ok(()),
            Some(why) => Err(QueueError::Unavailable(why)),
        }
    }

    async fn close(&self, deadline: Duration) -> Result<(), QueueError> {
        let until = Instant::now() + deadline;
        self.shared.closing.cancel();
        self.publisher.close();
        let places = self.shared.all_places();
        let late = || QueueError::Unavailable(format!("it did not close within {deadline:?}, so some events will be shown again"));
        for place in &places {
            timeout_at(until, place.ended.cancelled()).await.map_err(|_| late())?;
        }
        if places.iter().all(|place| place.is_saved()) { Ok(()) } else { Err(late()) }
    }
}

impl Drop for Kafka {
    /// For whoever did not close: the members leave their groups by themselves.
    fn drop(&mut self) {
        self.shared.closing.cancel();
    }
}
