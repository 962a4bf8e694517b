//! Publishing: one idempotent producer, which numbers what it sends, so that nothing is stored twice or in another order. What
//! is refused and sent again by its sender may come after what was sent in between.
//!
//! What is published together is handed over together, one publication of a lane after the other. A producer that has met an error it
//! cannot go on from is replaced.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::future_producer::{DeliveryFuture, OwnedDeliveryResult};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _, PurgeConfig};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::clients::{Clients, dispose};
use super::context::Context;
use super::fault::Fault;
use super::message::Record;
use crate::event::{LaneCount, LaneId};
use crate::queue::PublishError;

/// Shorter than the sender's own patience, and longer than a record may take.
const PUBLISH_LIMIT: Duration = Duration::from_secs(8);
/// How long a publication waits for room among what waits for the broker.
const ROOM_WITHIN: Duration = Duration::from_secs(2);
const ROOM_EVERY: Duration = Duration::from_millis(10);
/// A new producer gets its number in its first half second, and the first event would wait for that.
const NUMBERED_AFTER: Duration = Duration::from_millis(650);

const CLOSED: &str = "it is closed";
const UNPROVEN: &str = "the broker does not say where it is stored";

type Producer = FutureProducer<Context>;

pub(super) struct Publisher {
    clients: Clients,
    topic: String,
    /// None: it is closed.
    producer: Mutex<Option<Producer>>,
    made_at: Instant,
    lanes: Vec<tokio::sync::Mutex<()>>,
    body_max: AtomicUsize,
}

#[derive(Debug)]
pub(super) enum Refusal {
    /// The topic takes less than it did.
    TooLarge,
    /// Too much waits for the broker already.
    Full,
    Fault(Fault),
}

impl From<Refusal> for PublishError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::TooLarge => Self::Unavailable("the topic takes no event of this length".to_owned()),
            Refusal::Full => Self::Full("too much waits for the broker already".to_owned()),
            Refusal::Fault(fault) => Self::Unavailable(format!("the broker did not store it: {fault}")),
        }
    }
}

impl Publisher {
    pub(super) fn new(clients: &Clients, topic: &str, lanes: LaneCount) -> Result<Self, Fault> {
        Ok(Self {
            clients: clients.clone(),
            topic: topic.to_owned(),
            producer: Mutex::new(Some(clients.producer()?)),
            made_at: Instant::now(),
            lanes: lanes.lanes().map(|_| tokio::sync::Mutex::default()).collect(),
            body_max: AtomicUsize::new(0),
        })
    }

    pub(super) fn body_max(&self) -> usize {
        self.body_max.load(Ordering::Relaxed)
    }

    pub(super) fn set_body_max(&self, body_max: usize) {
        self.body_max.store(body_max, Ordering::Relaxed);
    }

    /// False: it was as low before.
    pub(super) fn lower_body_max(&self, body_max: usize) -> bool {
        self.body_max.fetch_min(body_max, Ordering::Relaxed) > body_max
    }

    /// Meets the broker, and waits until the first event would not wait.
    pub(super) async fn warm_up(&self, limit: Duration) -> Result<(), Fault> {
        let (producer, topic) = (self.slot().clone().ok_or_else(|| Fault::Transient(CLOSED.to_owned()))?, self.topic.clone());
        let met = tokio::task::spawn_blocking(move || producer.client().fetch_metadata(Some(&topic), limit).map(drop));
        met.await.unwrap_or(Err(KafkaError::Canceled))?;
        sleep_until(self.made_at + NUMBERED_AFTER).await;
        Ok(())
    }

    /// Returns when all of them are stored.
    pub(super) async fn publish(&self, lane: LaneId, records: &[Record]) -> Result<(), Refusal> {
        with_timeout(async {
            let mut under_way = Vec::with_capacity(records.len());
            let producer = self.producer()?;
            let lock = self.lanes.get(usize::from(lane.0)).expect("a lane of this queue");
            let together = lock.lock().await;
            for record in records {
                under_way.push(self.enqueue(&producer, Some(lane), record).await?);
            }
            drop(together);
            join_all(under_way).await.into_iter().try_for_each(|report| self.stored(&producer, report))
        })
        .await
    }

    /// On the partition that the client's rule gives to its key.
    pub(super) async fn publish_by_key(&self, record: &Record) -> Result<(), Refusal> {
        with_timeout(async {
            let producer = self.producer()?;
            let under_way = self.enqueue(&producer, None, record).await?;
            self.stored(&producer, under_way.await)
        })
        .await
    }

    pub(super) fn close(&self) {
        if let Some(producer) = self.slot().take() {
            // Whoever still waits hears so at once.
            producer.purge(PurgeConfig::default().queue().inflight().non_blocking());
            dispose(producer);
        }
    }

    async fn enqueue(&self, producer: &Producer, lane: Option<LaneId>, record: &Record) -> Result<DeliveryFuture, Refusal> {
        let until = Instant::now() + ROOM_WITHIN;
        loop {
            let mut handed = FutureRecord::to(&self.topic).key(&record.key).payload(&record.body).headers(record.headers());
            handed.partition = lane.map(|lane| lane.0.into());
            match producer.send_result(handed) {
                Ok(report) => return Ok(report),
                Err((err, _)) if err.rdkafka_error_code() == Some(Code::QueueFull) => {
                    if Instant::now() >= until {
                        return Err(Refusal::Full);
                    }
                    sleep(ROOM_EVERY).await;
                }
                Err((err, _)) => return Err(self.refuse(producer, &err)),
            }
        }
    }

    /// Err of the outer result: the producer is gone.
    ///
    /// Only an offset proves that a record is stored. The client reports success without one for a record that the broker refused, if it
    /// has taken a later one of the same partition: it holds that a broker takes a producer's records in order or not at all, which does
    /// not apply to the first ones in a partition that just comes up.
    fn stored<E>(&self, producer: &Producer, report: Result<OwnedDeliveryResult, E>) -> Result<(), Refusal> {
        match report {
            Ok(Ok(delivery)) if delivery.offset < 0 => Err(Refusal::Fault(Fault::Transient(UNPROVEN.to_owned()))),
            Ok(Ok(_)) => Ok(()),
            Ok(Err((err, _))) => Err(self.refuse(producer, &err)),
            Err(_) => Err(Refusal::Fault(Fault::Transient(CLOSED.to_owned()))),
        }
    }

    fn refuse(&self, producer: &Producer, err: &KafkaError) -> Refusal {
        if let Some((code, why)) = producer.client().fatal_error() {
            self.replace(producer, &format!("{code}: {why}"));
        }
        match err.rdkafka_error_code() {
            Some(Code::MessageSizeTooLarge | Code::MessageBatchTooLarge) => Refusal::TooLarge,
            _ => Refusal::Fault(err.clone().into()),
        }
    }

    fn replace(&self, producer: &Producer, why: &str) {
        let mut slot = self.slot();
        // Another publication may have done it before this one.
        let is_current = slot.as_ref().is_some_and(|current| current.client().native_ptr() == producer.client().native_ptr());
        if !is_current {
            return;
        }
        tracing::error!("publishing begins anew, because the broker no longer accepts what we send: {why}");
        match self.clients.producer() {
            Ok(new) => dispose(slot.replace(new)),
            Err(fault) => tracing::error!("no new producer can be made: {fault}"),
        }
    }

    fn producer(&self) -> Result<Producer, Refusal> {
        self.slot().clone().ok_or_else(|| Refusal::Fault(Fault::Transient(CLOSED.to_owned())))
    }

    fn slot(&self) -> MutexGuard<'_, Option<Producer>> {
        self.producer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.close();
    }
}

async fn with_timeout(sent: impl Future<Output = Result<(), Refusal>>) -> Result<(), Refusal> {
    let late = || Refusal::Fault(Fault::Transient(format!("no answer within {PUBLISH_LIMIT:?}")));
    timeout(PUBLISH_LIMIT, sent).await.unwrap_or_else(|_| Err(late()))
}
