//! Publishes to an exchange of somebody else's: persistent, and confirmed by the broker.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Confirmation, ExchangeKind};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::Destination;
use super::connection::{BrokerConnection, Connector, Fault, answer};
use super::message::Message;
use super::names::subject;
use super::settings::Broker;
use crate::event::{Envelope, LaneCount};
use crate::queue::{ExternalPublishError, ExternalPublisher};

const CONFIRM_LIMIT: Duration = Duration::from_secs(10);

/// `name` is how the broker's own lists show us. Nothing is connected yet. Err: a certificate cannot be read.
pub fn external_publisher(
    broker: &Broker,
    name: &str,
    destination: &Destination,
) -> Result<Box<dyn ExternalPublisher>, ExternalPublishError> {
    let connector = Arc::new(Connector::new(broker)?);
    Ok(Box::new(ExchangePublisher {
        connection: BrokerConnection::new(&connector, format!("ticketwire {name}")),
        destination: destination.clone(),
        body_max: broker.max_message.length(),
        channels: LaneCount::default().lanes().map(|_| Mutex::default()).collect(),
    }))
}

struct ExchangePublisher {
    connection: BrokerConnection,
    destination: Destination,
    body_max: usize,
    /// One event at a time on each, so that a message that comes back belongs to the confirm that follows it.
    channels: Vec<Mutex<Option<Channel>>>,
}

#[async_trait]
impl ExternalPublisher for ExchangePublisher {
    async fn publish(&self, envelope: &Envelope) -> Result<(), ExternalPublishError> {
        let routing_key = self.destination.routing_key.clone().unwrap_or_else(|| subject(&envelope.event));
        let message = Message::outward(envelope, routing_key.clone(), self.body_max).map_err(ExternalPublishError::EventRejected)?;
        let lane = usize::from(envelope.event.partition_key.lane(LaneCount::default()).0);
        let mut slot = self.channels.get(lane).expect("a channel for each lane").lock().await;
        // Taken out, so that a publication that is given up leaves no channel behind that still owes an answer.
        let channel = match slot.take().filter(|channel| channel.status().connected()) {
            Some(channel) => channel,
            None => self.open().await?,
        };
        let confirmed = timeout(CONFIRM_LIMIT, self.confirmed(&channel, message)).await;
        let confirmed = confirmed.unwrap_or_else(|_| Err(Fault::Transient(format!("no confirmation within {CONFIRM_LIMIT:?}"))));
        let confirmed = confirmed.map_err(|fault| self.map_fault(fault))?;
        *slot = Some(channel);
        match confirmed {
            Confirmation::Ack(None) => Ok(()),
            Confirmation::Ack(Some(_)) => {
                let exchange = &self.destination.exchange;
                let why = format!("no queue is bound to `{exchange}` for `{routing_key}`: bind one, or set `mandatory = false`");
                Err(ExternalPublishError::EventRejected(why))
            }
            Confirmation::Nack(_) | Confirmation::NotRequested => {
                Err(ExternalPublishError::Unavailable("the broker could not store it".to_owned()))
            }
        }
    }

    async fn check(&self) -> Result<(), ExternalPublishError> {
        let channel = self.open().await?;
        let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
        let exchange: ShortString = self.destination.exchange.as_str().into();
        let asked = channel.exchange_declare(exchange, ExchangeKind::Topic, options, FieldTable::default());
        answer(asked).await.map_err(|fault| self.map_fault(fault))
    }
}

impl ExchangePublisher {
    async fn open(&self) -> Result<Channel, ExternalPublishError> {
        let channel = self.connection.channel().await?;
        answer(channel.confirm_select(ConfirmSelectOptions::default())).await?;
        Ok(channel)
    }

    async fn confirmed(&self, channel: &Channel, message: Message) -> Result<Confirmation, Fault> {
        let options = BasicPublishOptions { mandatory: self.destination.mandatory, ..BasicPublishOptions::default() };
        let Message { routing_key, body, headers, properties } = message;
        let exchange: ShortString = self.destination.exchange.as_str().into();
        Ok(channel.basic_publish(exchange, routing_key, options, &body, properties.with_headers(headers)).await?.await?)
    }

    fn map_fault(&self, fault: Fault) -> ExternalPublishError {
        match fault {
            Fault::Missing(_) => {
                ExternalPublishError::Misconfigured(format!("the exchange `{}` is not there: declare it", self.destination.exchange))
            }
            Fault::Permanent(why) if why.contains("max size") => {
                ExternalPublishError::EventRejected(format!("the broker takes no event of this length ({why}): lower `max_message`"))
            }
            fault => fault.into(),
        }
    }
}

impl From<Fault> for ExternalPublishError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Permanent(why) | Fault::Missing(why) => Self::Misconfigured(why),
            Fault::Transient(why) | Fault::InUse(why) => Self::Unavailable(why),
        }
    }
}
