//! Which queue it is: the URL alone decides.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::roles::Roles;
use crate::clock::Timestamp;
use crate::config::Config;
use crate::event::{Came, Delivered, Event};
use crate::jira::{Headers, Received, normalize};
use crate::queue::embedded::{self, Embedded};
use crate::queue::spool::Spool;
use crate::queue::{Queue, QueueError, Share, amqp, kafka};
use crate::render;
use crate::setting::SinkName;
use crate::shutdown::Tasks;
use crate::store::{Store, StoreError};

/// A broker that is just coming up gets so long.
const RESERVED_WITHIN: Duration = Duration::from_secs(20);
const RESERVED_EVERY: Duration = Duration::from_secs(1);

/// The queue alone.
pub(super) async fn connect(config: &Config, share: watch::Receiver<Share>) -> Result<Arc<dyn Queue>, QueueError> {
    Ok(match (&config.queue.amqp, &config.queue.kafka) {
        (Some(broker), _) => rabbitmq(broker, config, share).await?,
        (None, Some(broker)) => kafka(broker, config).await?,
        (None, None) => Arc::new(Embedded::open(&config.queue.embedded, &config.data_dir.join("queue"), Some(renew))?),
    })
}

/// The events of a webhook as the receiver made them.
pub fn renew(came: &Came<'_>, body: &[u8]) -> Vec<Event> {
    let Delivered { identifier, retry, flow, .. } = came.delivered;
    normalize(&Received {
        connection: came.connection,
        base_url: came.source,
        body,
        headers: &Headers { identifier: identifier.clone(), retry: *retry, flow: flow.clone() },
        received_at: came.received_at,
        to_markdown: render::to_markdown,
    })
}

/// With what belongs to the roles of this process.
pub(super) async fn open(
    config: &Config,
    roles: Roles,
    share: watch::Receiver<Share>,
    tasks: &Tasks,
) -> Result<Arc<dyn Queue>, QueueError> {
    let queue = connect(config, share).await?;
    tell_orphans(queue.as_ref(), config).await;
    if roles.receiver && !roles.worker {
        reserve_all(queue.as_ref(), config).await?;
    }
    if config.receiver.spool && roles.receiver && config.queue.is_broker() {
        return Ok(Spool::open(queue, &embedded::Settings::default(), &config.data_dir.join("spool"), tasks).await?);
    }
    Ok(queue)
}

#[cfg(feature = "amqp")]
async fn rabbitmq(broker: &amqp::Broker, config: &Config, share: watch::Receiver<Share>) -> Result<Arc<dyn Queue>, QueueError> {
    Ok(Arc::new(amqp::Amqp::open(broker, &config.queue.name, config.queue.lanes, share).await?))
}

#[cfg(not(feature = "amqp"))]
async fn rabbitmq(_: &amqp::Broker, _: &Config, _: watch::Receiver<Share>) -> Result<Arc<dyn Queue>, QueueError> {
    Err(QueueError::Unusable("this build has no RabbitMQ".to_owned()))
}

/// Its groups divide the lanes among the processes.
#[cfg(feature = "kafka")]
async fn kafka(broker: &kafka::Broker, config: &Config) -> Result<Arc<dyn Queue>, QueueError> {
    Ok(Arc::new(kafka::Kafka::open(broker, &config.queue.name, config.queue.lanes).await?))
}

#[cfg(not(feature = "kafka"))]
async fn kafka(_: &kafka::Broker, _: &Config) -> Result<Arc<dyn Queue>, QueueError> {
    Err(QueueError::Unusable("this build has no Kafka".to_owned()))
}

/// What is accepted before the first worker ever starts must find a place, or nobody would get it.
pub(super) async fn reserve_all(queue: &dyn Queue, config: &Config) -> Result<(), QueueError> {
    let until = Instant::now() + RESERVED_WITHIN;
    for sink in config.sinks.iter().map(|sink| sink.name.clone()).chain([SinkName::archive()]) {
        while let Err(err) = queue.reserve(&sink).await {
            if !matches!(err, QueueError::Unavailable(_)) || Instant::now() >= until {
                return Err(err);
            }
            tracing::warn!(%sink, "`{sink}` has no place on the queue yet: {err}");
            tokio::time::sleep(RESERVED_EVERY).await;
        }
    }
    Ok(())
}

/// What waits in the store goes on in the lanes of this queue, also where it waited in those of another.
pub(super) async fn enter(config: &Config, queue: &dyn Queue, store: &Store, now: Timestamp) -> Result<(), StoreError> {
    let moved = store.enter_road(&name(config, queue), queue.lanes(), now).await?;
    if moved > 0 {
        tracing::warn!(
            moved,
            "the queue is another one, or has other lanes: {moved} parked deliveries go on in it; replays must be ordered again"
        );
    }
    Ok(())
}

/// What tells roads apart. Brokers have names for theirs; a directory is known by what lies in it.
fn name(config: &Config, queue: &dyn Queue) -> String {
    let (called, lanes) = (&config.queue.name, queue.lanes().get());
    match (&config.queue.amqp, &config.queue.kafka) {
        (Some(_), _) => format!("amqp/{called}/{lanes}"),
        (None, Some(_)) => format!("kafka/{called}/{lanes}"),
        (None, None) => format!("embedded/{}/{lanes}", queue.identity().unwrap_or_default()),
    }
}

/// What waits for a sink that nobody configures is held for nobody.
async fn tell_orphans(queue: &dyn Queue, config: &Config) {
    let configured: Vec<SinkName> = config.sinks.iter().map(|sink| sink.name.clone()).collect();
    for sink in queue.orphans(&configured).await.unwrap_or_default() {
        tracing::warn!(%sink, "the queue holds a place for `{sink}`, which is not configured any more");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setting::ByteSize;

    #[tokio::test]
    async fn a_directory_that_was_made_anew_is_another_road_and_its_name_says_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let place = dir.path().join("queue");
        let settings = embedded::Settings { reserve: ByteSize(0), ..embedded::Settings::default() };
        let mut config = Config::draft(None, []).config;
        let called = |config: &Config| name(config, &Embedded::open(&settings, &place, None).expect("opened"));
        let first = called(&config);
        config.queue.name = "another".to_owned();
        assert_eq!(called(&config), first, "its name is of brokers only");
        std::fs::remove_dir_all(&place).expect("removed");
        assert_ne!(called(&config), first);
    }
}
