//! What only RabbitMQ promises: names and messages that others may rely on, what happens when the wire or the broker breaks, and lanes that
//! several processes share.
#![expect(clippy::print_stdout, reason = "what is skipped is said aloud, and what is measured")]

mod broken;
mod measured;
mod published;
mod shared;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ticketwire::event::Envelope;
use ticketwire::queue::amqp::Amqp;
use ticketwire::queue::{Lane, PublishError, Queue};

use super::broker::Broker;
use super::stage::{event, events, ids, ids_of, lane_count, lane_of, name, take, window_of, within};

/// All lanes of a sink, by number.
async fn lanes(queue: &Amqp, sink: &str) -> Vec<Box<dyn Lane>> {
    let mut subscription = queue.subscribe(&name(sink)).await.expect("subscribed");
    let mut lanes = Vec::new();
    for _ in queue.lanes().lanes() {
        lanes.push(within(subscription.next_lane()).await.expect("a lane"));
    }
    lanes.sort_by_key(|lane| lane.id());
    lanes
}

async fn lane(queue: &Amqp, sink: &str, envelope: &Envelope) -> Box<dyn Lane> {
    lanes(queue, sink).await.swap_remove(usize::from(lane_of(envelope).0))
}

async fn publish(queue: &Amqp, envelopes: &[Arc<Envelope>]) {
    for envelope in envelopes {
        queue.publish(vec![Arc::clone(envelope)]).await.expect("published");
    }
}

/// Tries again as a sender does, until it is taken.
async fn publish_at_last(queue: &Amqp, envelope: &Arc<Envelope>) {
    within(async {
        while let Err(refused) = queue.publish(vec![Arc::clone(envelope)]).await {
            assert!(!matches!(refused, PublishError::Full(_)), "{refused}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let looked = tokio::time::timeout(Duration::from_secs(40), async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    looked.await.unwrap_or_else(|_| panic!("not in time: {what}"));
}
