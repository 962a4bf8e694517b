//! What is ours on the broker: made where it is missing, refused where something else has its name.
//!
//! An empty queue whose maximum length is the number of lanes lets the broker itself compare that number among all processes.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ExchangeKind};

use super::connection::{BrokerConnection, Fault, answer};
use super::names::{Names, bindings};
use crate::event::{LaneCount, LaneId};
use crate::setting::SinkName;

/// No limit, in a way that every version means so: a message that comes back often is still the next of its lane. Without it RabbitMQ 4
/// drops what was shown 20 times; -1, which is its word for no limit, lets RabbitMQ 3 drop everything that comes back once.
const DELIVERY_LIMIT: i32 = 1_000_000_000;

pub(super) struct Topology {
    pub(super) names: Names,
    pub(super) lanes: LaneCount,
}

impl Topology {
    pub(super) fn new(name: &str, lanes: LaneCount) -> Self {
        Self { names: Names::new(name), lanes }
    }

    /// True: it was not there, so nothing is bound to it.
    pub(super) async fn make_exchange(&self, connection: &BrokerConnection) -> Result<bool, Fault> {
        let channel = connection.channel().await?;
        let was_missing = matches!(self.look_for_exchange(&channel).await, Err(Fault::Missing(_)));
        close(&channel).await;
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let channel = connection.channel().await?;
        let made =
            answer(channel.exchange_declare(self.names.exchange().into(), ExchangeKind::Topic, options, FieldTable::default())).await;
        close(&channel).await;
        made.map_err(|fault| not_ours(fault, "exchange", &self.names.exchange()))?;
        Ok(was_missing)
    }

    /// The channel is of no more use where it is missing.
    pub(super) async fn look_for_exchange(&self, channel: &Channel) -> Result<(), Fault> {
        let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
        answer(channel.exchange_declare(self.names.exchange().into(), ExchangeKind::Topic, options, FieldTable::default())).await
    }

    /// Refuses another number of lanes than the one that this road was made with.
    pub(super) async fn compare_lanes(&self, connection: &BrokerConnection) -> Result<(), Fault> {
        let queue = self.names.lanes();
        let length = ("x-max-length", AMQPValue::LongInt(self.lanes.get().into()));
        match self.make_queue(connection, &queue, vec![length]).await {
            Err(Fault::Permanent(why)) if why.contains("x-max-length") => {
                let known = why.rsplit('\'').find_map(|part| part.parse::<u16>().ok());
                let known = known.map_or_else(|| "another number of".to_owned(), |known| known.to_string());
                Err(Fault::Permanent(format!(
                    "`{}` was made with {known} lanes, and {} are configured; set `queue.lanes = {known}`, or take another `queue.name`",
                    self.names.exchange(),
                    self.lanes.get()
                )))
            }
            made => made,
        }
    }

    pub(super) async fn make_sinks(&self, connection: &BrokerConnection) -> Result<(), Fault> {
        self.make_queue(connection, &self.names.sinks(), Vec::new()).await
    }

    /// Its queue with its bindings. Idempotent.
    pub(super) async fn make_lane(&self, connection: &BrokerConnection, sink: &SinkName, lane: LaneId) -> Result<(), Fault> {
        let queue = self.names.queue(sink, lane);
        self.make_queue(connection, &queue, vec![("x-single-active-consumer", AMQPValue::Boolean(true))]).await?;
        let channel = connection.channel().await?;
        self.bind_lane(&channel, sink, lane).await?;
        close(&channel).await;
        Ok(())
    }

    /// Missing: the sink has no such queue.
    pub(super) async fn bind_lane(&self, channel: &Channel, sink: &SinkName, lane: LaneId) -> Result<(), Fault> {
        for key in bindings(sink, lane) {
            let queue = self.names.queue(sink, lane).into();
            let exchange = self.names.exchange().into();
            answer(channel.queue_bind(queue, exchange, key.into(), QueueBindOptions::default(), FieldTable::default())).await?;
        }
        Ok(())
    }

    pub(super) async fn delete_lane(&self, channel: &Channel, sink: &SinkName, lane: LaneId) -> Result<(), Fault> {
        // To delete what is not there is no fault in RabbitMQ.
        answer(channel.queue_delete(self.names.queue(sink, lane).into(), QueueDeleteOptions::default())).await.map(drop)
    }

    /// Messages that are ready, and consumers. The channel is of no more use where the queue is missing.
    pub(super) async fn count(&self, channel: &Channel, queue: &str) -> Result<(u64, u32), Fault> {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let queue = answer(channel.queue_declare(queue.into(), options, FieldTable::default())).await?;
        Ok((queue.message_count().into(), queue.consumer_count()))
    }

    async fn make_queue(&self, connection: &BrokerConnection, queue: &str, more: Vec<(&'static str, AMQPValue)>) -> Result<(), Fault> {
        declare(connection, queue, more).await.map_err(|fault| not_ours(fault, "queue", queue))
    }
}

/// On a channel of its own, because a refusal closes it.
async fn declare(
    connection: &BrokerConnection,
    queue: &str,
    more: impl IntoIterator<Item = (&'static str, AMQPValue)>,
) -> Result<(), Fault> {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(DELIVERY_LIMIT));
    for (name, value) in more {
        arguments.insert(name.into(), value);
    }
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    let channel = connection.channel().await?;
    answer(channel.queue_declare(queue.into(), options, arguments)).await?;
    close(&channel).await;
    Ok(())
}

pub(super) async fn close(channel: &Channel) {
    // An error only says that the channel is closed already.
    drop(answer(channel.close(200, "done".into())).await);
}

fn not_ours(fault: Fault, what: &str, name: &str) -> Fault {
    match fault {
        Fault::Permanent(why) => Fault::Permanent(format!(
            "the {what} `{name}` is not as it should be: {why}; take another `queue.name`, or remove what has this name"
        )),
        other => other,
    }
}
