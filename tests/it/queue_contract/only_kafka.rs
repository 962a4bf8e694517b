//! What only Kafka promises: records that others may rely on, topics that are refused, what happens when a broker breaks or forgets, and
//! lanes that move from process to process.
#![expect(clippy::print_stdout, reason = "what is skipped is said aloud, and what is measured")]

mod broken;
mod measured;
mod published;
mod shared;

use std::sync::Arc;
use std::time::Duration;

use ticketwire::event::Envelope;
use ticketwire::queue::kafka::Kafka;
use ticketwire::queue::{Lane, Queue};

use super::cluster::Cluster;
use super::stage::{event, events, ids, ids_of, lane_count, lane_of, name, sized, take, window_of, within};

/// All lanes of a sink, by number.
async fn lanes(queue: &Kafka, sink: &str) -> Vec<Box<dyn Lane>> {
    let mut subscription = queue.subscribe(&name(sink)).await.expect("subscribed");
    let mut lanes = Vec::new();
    for _ in queue.lanes().lanes() {
        lanes.push(within(subscription.next_lane()).await.expect("a lane"));
    }
    lanes.sort_by_key(|lane| lane.id());
    lanes
}

async fn lane(queue: &Kafka, sink: &str, envelope: &Envelope) -> Box<dyn Lane> {
    lanes(queue, sink).await.swap_remove(usize::from(lane_of(envelope).0))
}

async fn publish(queue: &Kafka, envelopes: &[Arc<Envelope>]) {
    for envelope in envelopes {
        queue.publish(vec![Arc::clone(envelope)]).await.expect("published");
    }
}

/// Tries again as a sender does, until it is taken. How often it was refused.
async fn publish_at_last(queue: &Kafka, envelope: &Arc<Envelope>) -> u32 {
    let mut refused = 0;
    within(async {
        while queue.publish(vec![Arc::clone(envelope)]).await.is_err() {
            refused += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    refused
}

async fn close(queue: Kafka) {
    queue.close(Duration::from_secs(20)).await.expect("closed");
}

/// In order, each the first time that it is there.
fn without_repeats(ids: &[String]) -> Vec<String> {
    let mut seen = std::collections::BTreeSet::new();
    ids.iter().filter(|id| seen.insert((*id).clone())).cloned().collect()
}
