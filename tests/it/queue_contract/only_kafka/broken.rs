//! A broker that goes away, comes back, or has forgotten.

use std::path::{Path, PathBuf};
use std::process::Command;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{Offset, TopicPartitionList};
use ticketwire::queue::{PublishError, Queue, QueueError};

use super::super::cluster::options;
use super::published::read_all;
use super::*;

const ISSUES: u32 = 8;
const EACH: u32 = 40;

/// Publishes many issues side by side while something is done to the broker; what was acknowledged must be there, in order.
async fn nothing_acknowledged_is_lost(cluster: &Cluster, breaks: impl AsyncFnOnce()) {
    let queue = Arc::new(cluster.open().await.expect("opened"));
    let held = lanes(&queue, "docs").await;
    let mut publishers = tokio::task::JoinSet::new();
    for issue in 0..ISSUES {
        let queue = Arc::clone(&queue);
        publishers.spawn(async move {
            let mut refused = 0;
            for number in 0..EACH {
                refused += publish_at_last(&queue, &event(issue, number)).await;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            refused
        });
    }
    tokio::join!(breaks(), async {
        within(async { while publishers.join_next().await.is_some() {} }).await;
    });
    // A lane that was lost with the broker ends, and is opened again.
    drop(held);
    for mut lane in lanes(&queue, "docs").await {
        let issues: Vec<u32> = (0..ISSUES).filter(|issue| lane_of(&event(*issue, 0)) == lane.id()).collect();
        let mut seen = Vec::new();
        while without_repeats(&seen).len() < issues.len() * EACH as usize {
            seen.extend(ids(&take(&mut lane, 1).await));
        }
        for issue in issues {
            let of_issue: Vec<_> = seen.iter().filter(|id| id.starts_with(&format!("acme:issue:{issue}:"))).cloned().collect();
            assert_eq!(without_repeats(&of_issue), ids_of(&events(issue, 0..EACH)));
        }
    }
    queue.close(Duration::from_secs(20)).await.expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acknowledged_survives_a_broker_that_comes_and_goes() {
    let cluster = Cluster::mock();
    let mock = cluster.mock.as_ref().expect("it is one");
    nothing_acknowledged_is_lost(&cluster, async || {
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(60)).await;
            mock.broker_down(-1).expect("down");
            tokio::time::sleep(Duration::from_millis(300)).await;
            mock.broker_up(-1).expect("up");
        }
    })
    .await;
}

/// The broker refuses the first record of a partition that just comes up, and takes the next, which is under way by then: the client
/// reports success for both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_record_is_not_taken_for_stored_because_the_next_is() {
    let cluster = Cluster::mock();
    let mock = cluster.mock.as_ref().expect("the imitation");
    let queue = cluster.open().await.expect("opened");
    mock.broker_round_trip_time(-1, Duration::from_millis(300)).expect("a slow broker");
    mock.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART]);
    let next = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        queue.publish(vec![event(7, 1)]).await
    };
    let (first, second) = tokio::join!(queue.publish(vec![event(7, 0)]), next);
    assert!(matches!(&first, Err(PublishError::Unavailable(why)) if why.contains("does not say where")), "{first:?}");
    second.expect("published");
    mock.broker_round_trip_time(-1, Duration::ZERO).expect("a fast broker");
    queue.publish(vec![event(7, 2)]).await.expect("published");
    let stored: Vec<_> = read_all(&cluster, 2).into_iter().map(|(_, _, headers, _)| headers["ce_id"].clone()).collect();
    assert_eq!(stored, ids_of(&[event(7, 1), event(7, 2)]));
    close(queue).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_away_is_said_so_in_time_and_found_again() {
    let cluster = Cluster::mock();
    let mock = cluster.mock.as_ref().expect("it is one");
    let queue = cluster.open().await.expect("opened");
    drop(lanes(&queue, "docs").await);
    mock.broker_down(-1).expect("down");
    let refused = within(queue.publish(events(7, 0..1))).await;
    assert!(matches!(refused, Err(PublishError::Unavailable(_))), "{refused:?}");
    assert!(matches!(within(queue.check()).await, Err(QueueError::Unavailable(_))));
    mock.broker_up(-1).expect("up");
    publish_at_last(&queue, &event(7, 1)).await;
    within(async { while queue.check().await.is_err() {} }).await;
    let mut held = lane(&queue, "docs", &event(7, 0)).await;
    // What was refused may have been stored all the same.
    let mut seen = Vec::new();
    while !seen.contains(&event(7, 1).event.id.to_string()) {
        seen.extend(ids(&take(&mut held, 1).await));
    }
    close(queue).await;
}

/// A Kafka of this test's own.
struct Own {
    home: tempfile::TempDir,
}

impl Own {
    fn script(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/services").join(name)
    }

    /// None: none can be started here, and it was said.
    fn start() -> Option<(Self, String)> {
        if !super::super::cluster::is_there() {
            return None;
        }
        let own = Self { home: tempfile::tempdir().expect("a directory") };
        let said = Command::new(Self::script("start")).arg(own.home.path()).arg("kafka").output().expect("a script");
        let text = std::fs::read_to_string(own.home.path().join("env")).unwrap_or_default();
        let servers = text.lines().find_map(|line| line.strip_prefix("TICKETWIRE_TEST_KAFKA=")).map(str::to_owned);
        if servers.is_none() {
            println!("skipped: {}", String::from_utf8_lossy(&said.stdout));
        }
        Some((own, servers?))
    }

    async fn control(&self, action: &'static str) {
        let home = self.home.path().to_owned();
        let done = tokio::task::spawn_blocking(move || Command::new(Self::script("control")).arg(home).args(["kafka", action]).status());
        assert!(done.await.expect("no panic").expect("a script").success(), "{action}");
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let stopped = Command::new(Self::script("stop")).arg(self.home.path()).status();
        assert!(stopped.is_ok_and(|status| status.success()) || std::thread::panicking(), "it runs on");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acknowledged_survives_a_broker_that_is_killed() {
    let Some((own, servers)) = Own::start() else { return };
    let cluster = Cluster::at(&servers);
    nothing_acknowledged_is_lost(&cluster, async || {
        for end in ["kill", "stop"] {
            tokio::time::sleep(Duration::from_millis(100)).await;
            own.control(end).await;
            own.control("start").await;
        }
    })
    .await;
    drop(cluster);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_broker_has_removed_is_passed_over() {
    let Some(cluster) = Cluster::found() else { return };
    let queue = cluster.open().await.expect("opened");
    let mut held = lane(&queue, "docs", &event(7, 0)).await;
    publish(&queue, &events(7, 0..10)).await;
    take(&mut held, 2).await;
    let partition = i32::from(held.id().0);
    close(queue).await;
    let mut until = TopicPartitionList::new();
    until.add_partition_offset(&cluster.topic(), partition, Offset::Offset(6)).expect("an offset");
    cluster.admin().delete_records(&until, &options()).await.expect("removed");

    let queue = cluster.open().await.expect("opened");
    let waiting: u64 = queue.backlog().await.expect("counted").iter().map(|row| row.waiting).sum();
    assert_eq!(waiting, 4, "what is gone does not wait");
    let mut held = lane(&queue, "docs", &event(7, 0)).await;
    publish(&queue, &events(7, 10..12)).await;
    assert_eq!(ids(&take(&mut held, 6).await), ids_of(&events(7, 6..12)));
    close(queue).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_without_a_place_begins_with_the_oldest() {
    let Some(cluster) = Cluster::found() else { return };
    let queue = cluster.open().await.expect("opened");
    publish(&queue, &events(7, 0..3)).await;
    close(queue).await;
    let group: BaseConsumer = cluster.stranger().set("group.id", format!("{}.docs", cluster.name)).create().expect("a client");
    let mut places = TopicPartitionList::new();
    for lane in lane_count().lanes().filter(|lane| *lane != lane_of(&event(7, 0))) {
        places.add_partition_offset(&cluster.topic(), lane.0.into(), Offset::Offset(0)).expect("an offset");
    }
    group.commit(&places, CommitMode::Sync).expect("committed");
    drop(group);
    let queue = cluster.open().await.expect("opened");
    let mut held = lane(&queue, "docs", &event(7, 0)).await;
    assert_eq!(ids(&take(&mut held, 3).await), ids_of(&events(7, 0..3)));
    close(queue).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_is_not_there_is_named() {
    let mut cluster = Cluster::mock();
    cluster.servers = "127.0.0.1:1".to_owned();
    cluster.settings.request_timeout = ticketwire::setting::Span::seconds(1);
    let Err(QueueError::Unavailable(why)) = cluster.open().await.map(drop) else { panic!("it is there") };
    assert!(why.contains("`127.0.0.1:1`"), "{why}");
}
