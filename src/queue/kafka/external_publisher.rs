//! Publishes to a topic of somebody else's: keyed by the partition key, on the partition that Java's clients would choose for it.
//!
//! Idempotent, and stored by all replicas in sync before it is answered.

use async_trait::async_trait;

use super::clients::{Clients, RECORD_OVERHEAD};
use super::cluster::Cluster;
use super::fault::Fault;
use super::message::Record;
use super::names::Names;
use super::publisher::{Publisher, Refusal};
use super::settings::Broker;
use crate::event::{Envelope, LaneCount};
use crate::queue::{ExternalPublishError, ExternalPublisher};

/// `name` is how the cluster's own lists show us. Nothing is asked of the broker yet. Err: a certificate cannot be read.
pub fn external_publisher(broker: &Broker, name: &str, topic: &str) -> Result<Box<dyn ExternalPublisher>, ExternalPublishError> {
    let clients = Clients::new(broker, &Names::new(name));
    let publisher = Publisher::new(&clients, topic, LaneCount::default())?;
    // Here the limit is the topic's own, so that key and headers count too.
    publisher.set_body_max(broker.max_message.length().saturating_sub(RECORD_OVERHEAD));
    Ok(Box::new(TopicPublisher { clients, publisher, topic: topic.to_owned() }))
}

struct TopicPublisher {
    clients: Clients,
    publisher: Publisher,
    topic: String,
}

#[async_trait]
impl ExternalPublisher for TopicPublisher {
    async fn publish(&self, envelope: &Envelope) -> Result<(), ExternalPublishError> {
        let record = Record::outward(envelope, self.publisher.body_max()).map_err(ExternalPublishError::EventRejected)?;
        let mut stored = self.publisher.publish_by_key(&record).await;
        if matches!(stored, Err(Refusal::Fault(Fault::Missing(_)))) && self.check().await.is_ok() {
            // It was made since the producer last looked, which it does seldom.
            self.publisher.warm_up(self.clients.broker().request_timeout.0).await?;
            stored = self.publisher.publish_by_key(&record).await;
        }
        stored.map_err(|refusal| match refusal {
            Refusal::TooLarge => {
                ExternalPublishError::EventRejected(format!("`{}` takes no event of this length: lower `max_message`", self.topic))
            }
            Refusal::Full => ExternalPublishError::Unavailable("too much waits for the broker already".to_owned()),
            Refusal::Fault(fault) => self.map_fault(fault),
        })
    }

    async fn check(&self) -> Result<(), ExternalPublishError> {
        let view = Cluster::new(&self.clients)?.look(&self.topic).await?;
        if view.partitions.is_some() { Ok(()) } else { Err(self.map_fault(Fault::Missing(String::new()))) }
    }
}

impl TopicPublisher {
    fn map_fault(&self, fault: Fault) -> ExternalPublishError {
        match fault {
            Fault::Missing(_) => ExternalPublishError::Misconfigured(format!("the topic `{}` is not there: make it", self.topic)),
            fault => fault.into(),
        }
    }
}

impl From<Fault> for ExternalPublishError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Permanent(why) | Fault::Missing(why) => Self::Misconfigured(why),
            Fault::Transient(why) => Self::Unavailable(why),
        }
    }
}
