//! What stands on the topic, and which topics are refused.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::admin::{AlterConfig, ResourceSpecifier};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;
use ticketwire::event::LaneCount;
use ticketwire::queue::kafka::{Compression, Settings};
use ticketwire::queue::{Queue, QueueError};

use super::super::cluster::options;
use super::*;

/// Everything on the topic, as another service reads it.
pub(super) fn read_all(cluster: &Cluster, expected: usize) -> Vec<(i32, String, BTreeMap<String, String>, Value)> {
    let consumer: BaseConsumer = cluster.stranger().set("group.id", "nobody").create().expect("a client");
    let mut list = TopicPartitionList::new();
    for lane in lane_count().lanes() {
        list.add_partition_offset(&cluster.topic(), lane.0.into(), Offset::Beginning).expect("an offset");
    }
    consumer.assign(&list).expect("assigned");
    let mut found = Vec::new();
    for _ in 0..200 {
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            found.push(parts(&message.expect("a message")));
        }
        if found.len() >= expected {
            break;
        }
    }
    found
}

fn parts(message: &BorrowedMessage<'_>) -> (i32, String, BTreeMap<String, String>, Value) {
    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec()).expect("text");
    let headers = message.headers().map(|headers| headers.iter().map(|header| (header.key.to_owned(), text(header.value))).collect());
    let value = serde_json::from_slice(message.payload().unwrap_or_default()).expect("JSON");
    (message.partition(), text(message.key()), headers.unwrap_or_default(), value)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_cloud_events_in_binary_mode() {
    let Some(cluster) = Cluster::found() else { return };
    let queue = cluster.open().await.expect("opened");
    let mut sent = (*event(7, 0)).clone();
    sent.raw = bytes::Bytes::from_static(b"{\"x\": 1}");
    queue.publish(vec![Arc::new(sent.clone())]).await.expect("published");
    let [(partition, key, headers, value)] = &read_all(&cluster, 1)[..] else { panic!("one record") };
    assert_eq!((*partition, key.as_str()), (lane_of(&sent).0.into(), "acme/issue/7"));
    for (name, expected) in [
        ("ce_specversion", "1.0"),
        ("ce_id", "acme:issue:7:change:0"),
        ("ce_source", "https://acme.example"),
        ("ce_type", "dev.ticketwire.issue.updated.v1"),
        ("ce_partitionkey", "acme/issue/7"),
        ("ce_twconnection", "acme"),
        ("content-type", "application/json"),
    ] {
        assert_eq!(headers.get(name).map(String::as_str), Some(expected), "{name}");
    }
    let members = value.as_object().expect("an object");
    assert_eq!(members.iter().next_back().map(|(name, value)| (name.as_str(), value["x"].as_i64())), Some(("raw", Some(1))));
    close(queue).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_that_cannot_carry_us_are_refused_by_name() {
    let Some(cluster) = Cluster::found() else { return };
    let refused = |opened: Result<Kafka, QueueError>| match opened.map(drop) {
        Err(QueueError::Unusable(why)) => why,
        other => panic!("not refused: {other:?}"),
    };
    cluster.make_topic(3, &[]).await;
    let why = refused(cluster.open().await);
    assert!(why.contains("has 3 partitions, and 4 lanes are configured; set `queue.lanes = 3`"), "{why}");
    let three = LaneCount::new(3).expect("a number of lanes");
    close(cluster.open_with(&cluster.settings, three).await.expect("the right number")).await;

    let cluster = Cluster::found().expect("it was there");
    cluster.make_topic(4, &[("cleanup.policy", "compact"), ("max.message.bytes", "1000")]).await;
    let why = refused(cluster.open().await);
    assert!(why.contains("`cleanup.policy` is `compact`") && why.contains("`max.message.bytes` is 1000"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_above_the_limit_of_the_topic_travels_without_raw() {
    let Some(cluster) = Cluster::found() else { return };
    cluster.make_topic(4, &[]).await;
    let queue = cluster.open().await.expect("opened");
    let mut first = lane(&queue, "docs", &event(7, 0)).await;
    let sent = [sized(7, 0, 2 << 20), sized(7, 1, 100), sized(7, 2, 900_000)];
    publish(&queue, &sent).await;
    let seen = take(&mut first, 3).await;
    assert_eq!(ids(&seen), ids_of(&sent));
    let lengths: Vec<_> = seen.iter().map(|seen| seen.envelope.raw.len()).collect();
    // Base64 makes the last one longer than the topic takes.
    assert_eq!(lengths, [0, 100, 0]);
    close(queue).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_is_lowered_while_we_run_is_learned() {
    let Some(cluster) = Cluster::found() else { return };
    let queue = cluster.open().await.expect("opened");
    let mut first = lane(&queue, "docs", &event(7, 0)).await;
    let topic = cluster.topic();
    let lowered = AlterConfig::new(ResourceSpecifier::Topic(&topic)).set("max.message.bytes", "1100000");
    let altered = cluster.admin().alter_configs([&lowered], &options()).await.expect("asked");
    assert!(altered.iter().all(Result::is_ok), "{altered:?}");
    let sent = [sized(7, 0, 3 << 20), sized(7, 1, 100)];
    publish(&queue, &sent).await;
    let seen = take(&mut first, 2).await;
    assert_eq!(ids(&seen), ids_of(&sent));
    assert!(seen[0].envelope.raw.is_empty());
    close(queue).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_nothing_of_ours_is_passed_over() {
    let Some(cluster) = Cluster::found() else { return };
    let queue = cluster.open().await.expect("opened");
    let mut first = lane(&queue, "docs", &event(7, 0)).await;
    let foreign: FutureProducer = cluster.stranger().create().expect("a client");
    let (topic, partition) = (cluster.topic(), i32::from(first.id().0));
    for number in 0..3 {
        let record = FutureRecord::to(&topic).partition(partition).key("x").payload("not ours");
        foreign.send(record, Duration::from_secs(10)).await.expect("stored");
        publish(&queue, &[event(7, number)]).await;
    }
    let seen = window_of(&mut first, 3).await;
    assert_eq!(ids(&seen), ids_of(&events(7, 0..3)));
    first.advance(seen[2].position).await.expect("advanced");
    assert_eq!(queue.passed(&name("docs"), first.id()).await, Ok(Some(seen[2].position)));
    assert!(queue.backlog().await.expect("counted").iter().all(|row| row.waiting == 0));
    close(queue).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compressed_events_arrive_whole() {
    let Some(cluster) = Cluster::found() else { return };
    let settings = Settings { compression: Compression::Zstd, ..cluster.settings.clone() };
    let queue = cluster.open_with(&settings, lane_count()).await.expect("opened");
    let mut first = lane(&queue, "docs", &event(7, 0)).await;
    let sent = [sized(7, 0, 5 << 20), sized(7, 1, 10)];
    publish(&queue, &sent).await;
    for (seen, sent) in take(&mut first, 2).await.iter().zip(&sent) {
        assert!(seen.envelope == *sent);
    }
    close(queue).await;
}
