//! Which sinks have a place on the broker, which lists nothing: a queue that holds one message for each.
//!
//! It is read by taking it for oneself, having everything delivered, and closing the channel, which puts all back: so nothing is written,
//! which a broker short of memory would not allow. A name that stands there twice, or whose queues are gone, does no harm.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use lapin::BasicProperties;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::FieldTable;
use tokio::time::{Instant, sleep, timeout_at};

use super::connection::{BrokerConnection, Fault, answer};
use super::topology::{Topology, close};
use crate::backoff::jittered;
use crate::setting::SinkName;

/// Another process reads it for some milliseconds; one that was cut off keeps it until the broker notices.
const TURN_LIMIT: Duration = Duration::from_secs(10);
const TURN_EVERY: Duration = Duration::from_millis(100);

pub(super) async fn read(topology: &Topology, connection: &BrokerConnection) -> Result<BTreeSet<SinkName>, Fault> {
    visit(topology, connection, None).await
}

/// Returns when it would survive a crash.
pub(super) async fn add(topology: &Topology, connection: &BrokerConnection, sink: &SinkName) -> Result<(), Fault> {
    let channel = connection.channel().await?;
    answer(channel.confirm_select(ConfirmSelectOptions::default())).await?;
    let queue = topology.names.sinks();
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let properties = BasicProperties::default().with_delivery_mode(2);
    let text = sink.as_str().as_bytes();
    let publishing = async { channel.basic_publish("".into(), queue.as_str().into(), options, text, properties).await?.await };
    let confirmed = answer(publishing).await?;
    close(&channel).await;
    if confirmed.is_ack() && confirmed.take_message().is_none() {
        return Ok(());
    }
    Err(Fault::Transient(format!("`{queue}` did not take a message")))
}

pub(super) async fn remove(topology: &Topology, connection: &BrokerConnection, sink: &SinkName) -> Result<(), Fault> {
    visit(topology, connection, Some(sink)).await.map(drop)
}

async fn visit(topology: &Topology, connection: &BrokerConnection, remove: Option<&SinkName>) -> Result<BTreeSet<SinkName>, Fault> {
    let queue = &topology.names.sinks();
    let until = Instant::now() + TURN_LIMIT;
    loop {
        match timeout_at(until, walk(topology, connection, queue, remove)).await {
            Ok(Err(Fault::InUse(_))) => sleep(jittered(TURN_EVERY)).await,
            Ok(walked) => return walked,
            Err(_) => return Err(Fault::Transient(format!("`{queue}` could not be read within {TURN_LIMIT:?}"))),
        }
    }
}

async fn walk(
    topology: &Topology,
    connection: &BrokerConnection,
    queue: &str,
    remove: Option<&SinkName>,
) -> Result<BTreeSet<SinkName>, Fault> {
    let channel = connection.channel().await?;
    let options = BasicConsumeOptions { exclusive: true, ..BasicConsumeOptions::default() };
    let mut consumer = answer(channel.basic_consume(queue.into(), "".into(), options, FieldTable::default())).await?;
    let mut sinks = BTreeSet::new();
    let (mut shown, mut before) = (0_u32, None);
    loop {
        // What was sent before it was asked comes before the answer to the next question on the same channel.
        let (ready, _) = topology.count(&channel, queue).await?;
        while let Some(Some(delivery)) = consumer.next().now_or_never() {
            let delivery = delivery?;
            shown += 1;
            let sink = name(&String::from_utf8_lossy(&delivery.data)).filter(|sink| remove != Some(sink));
            if !sink.is_some_and(|sink| sinks.insert(sink)) {
                answer(channel.basic_ack(delivery.delivery_tag, BasicAckOptions::default())).await?;
            }
        }
        if ready == 0 && before == Some(shown) {
            break;
        }
        before = Some(shown);
    }
    // First the channel, then the consumer: what was shown goes back to its place.
    close(&channel).await;
    drop(consumer);
    Ok(sinks)
}

/// The archive's name is one that nobody can configure.
fn name(text: &str) -> Option<SinkName> {
    let archive = SinkName::archive();
    if text == archive.as_str() { Some(archive) } else { text.parse().ok() }
}
