//! The contract of `queue`, run against every queue.

#[cfg(feature = "amqp")]
mod broker;
#[cfg(feature = "kafka")]
mod cluster;
mod model;
#[cfg(feature = "amqp")]
mod only_amqp;
mod only_embedded;
#[cfg(feature = "kafka")]
mod only_kafka;
mod stage;

#[cfg(feature = "amqp")]
pub(crate) use self::broker::Broker;
#[cfg(feature = "kafka")]
pub(crate) use self::cluster::Cluster;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ticketwire::event::{LaneId, Position};
use ticketwire::queue::memory::Memory;
use ticketwire::queue::{PublishError, Queue, QueueError};

#[cfg(feature = "kafka")]
use self::cluster::{is_for_mock, is_there};
use self::model::it_behaves_like_the_model;
use self::stage::{Stage, Which, event, events, ids, ids_of, lane_count, lane_of, name, sized, take, window, window_of, within};

macro_rules! contract {
    ($($test:ident)*) => {
        mod memory { $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $test() { super::$test(super::stage::Which::Memory).await })* }
        mod embedded { $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $test() { super::$test(super::stage::Which::Embedded).await })* }
        mod cold { $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $test() { super::$test(super::stage::Which::Cold).await })* }
        #[cfg(feature = "amqp")]
        mod rabbitmq { $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $test() { super::on_rabbitmq(super::$test).await })* }
        #[cfg(feature = "kafka")]
        mod kafka { $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $test() { super::on_kafka(super::$test).await })* }
        #[cfg(feature = "kafka")]
        mod kafka_mock { $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $test() { super::on_mock(stringify!($test), super::$test).await })* }
    };
}

contract! {
    every_sink_sees_everything_until_it_passes_it
    a_window_is_the_same_until_advance
    order_holds_under_concurrent_publishers
    a_batch_stays_together
    the_lane_depends_on_the_key_only
    a_new_name_starts_at_the_end_and_a_known_one_where_it_stood
    a_reserved_place_keeps_what_comes_before_anybody_works
    a_lane_has_one_owner_and_is_handed_out_again
    waiting_can_be_given_up_at_any_time
    a_forgotten_sink_loses_its_lanes_and_its_place
    the_backlog_is_exact
    large_bodies_travel_whole
    what_is_closed_lets_go
    it_behaves_like_the_model
}

/// A real one, where somebody says where it is.
#[cfg(feature = "amqp")]
async fn on_rabbitmq(test: impl AsyncFnOnce(Which)) {
    if broker::url().is_some() {
        test(Which::Rabbitmq).await;
    }
}

#[cfg(feature = "kafka")]
async fn on_kafka(test: impl AsyncFnOnce(Which)) {
    if is_there() {
        test(Which::Kafka).await;
    }
}

/// Nothing is needed for it, but it cannot do everything.
#[cfg(feature = "kafka")]
async fn on_mock(name: &str, test: impl AsyncFnOnce(Which)) {
    if is_for_mock(name) {
        test(Which::KafkaMock).await;
    }
}

async fn every_sink_sees_everything_until_it_passes_it(which: Which) {
    let stage = Stage::new(which).await;
    drop((stage.subscribe("one").await, stage.subscribe("two").await));
    let sent = events(7, 0..50);
    stage.publish(&sent).await;
    for sink in ["one", "two"] {
        let mut lane = stage.lane_of(sink, &sent[0]).await;
        assert_eq!(ids(&window_of(&mut lane, 50).await), ids_of(&sent));
    }
    let stage = stage.reopen().await;
    for sink in ["one", "two"] {
        let mut lane = stage.lane_of(sink, &sent[0]).await;
        assert_eq!(ids(&take(&mut lane, 50).await), ids_of(&sent));
        assert!(stage.is_done(sink, &mut lane).await);
    }
}

async fn a_window_is_the_same_until_advance(which: Which) {
    let stage = Stage::new(which).await;
    let sent = events(7, 0..10);
    let mut lane = stage.lane_of("docs", &sent[0]).await;
    stage.publish(&sent).await;
    let first = window_of(&mut lane, 3).await;
    assert_eq!(ids(&first), ids_of(&sent[..3]));
    window_of(&mut lane, 10).await;
    assert_eq!(ids(&window(&mut lane, 3).await), ids_of(&sent[..3]));
    assert_eq!(ids(&window(&mut lane, 1).await), ids_of(&sent[..1]));
    assert_eq!(ids(&window(&mut lane, 5).await), ids_of(&sent[..5]));
    let second = first[1].position;
    for past in [second, second, first[0].position, Position(0)] {
        lane.advance(past).await.expect("advanced");
        assert_eq!(ids(&window(&mut lane, 2).await), ids_of(&sent[2..4]), "{past:?}");
    }
    lane.advance(Position(u64::MAX)).await.expect("advanced");
    stage.publish(&events(7, 10..11)).await;
    assert_eq!(ids(&window(&mut lane, 5).await), ids_of(&events(7, 10..11)), "passing more than there is passes what there is");
}

async fn order_holds_under_concurrent_publishers(which: Which) {
    const PUBLISHERS: u32 = 64;
    const EACH: u32 = 20;
    let stage = Stage::new(which).await;
    let lanes = stage.lanes("docs").await;
    let mut publishers = tokio::task::JoinSet::new();
    for issue in 0..PUBLISHERS {
        let queue = Arc::clone(&stage.queue);
        publishers.spawn(async move {
            for number in 0..EACH {
                queue.publish(vec![event(issue, number)]).await.expect("published");
            }
        });
    }
    let mut readers = tokio::task::JoinSet::new();
    for mut lane in lanes {
        let issues = (0..PUBLISHERS).filter(|issue| lane_of(&event(*issue, 0)) == lane.id()).count();
        readers.spawn(async move { take(&mut lane, issues * EACH as usize).await });
    }
    within(publishers.join_all()).await;
    let mut total = 0;
    for seen in within(readers.join_all()).await {
        let mut by_issue: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut before = Position(0);
        for (expected, seen) in (1..).zip(&seen) {
            assert!(!which.counts() || seen.position == Position(expected), "positions are dense: {:?}", seen.position);
            assert!(seen.position > std::mem::replace(&mut before, seen.position), "positions grow");
            by_issue.entry(seen.envelope.event.subject.clone()).or_default().push(seen.envelope.event.id.to_string());
        }
        for (subject, found) in by_issue {
            let issue = subject.strip_prefix("OPS-").and_then(|id| id.parse().ok()).expect("an issue");
            assert_eq!(found, ids_of(&events(issue, 0..EACH)), "{subject}");
        }
        total += seen.len();
    }
    assert_eq!(total, (PUBLISHERS * EACH) as usize);
}

async fn a_batch_stays_together(which: Which) {
    const BATCH: u32 = 40;
    let stage = Stage::new(which).await;
    let mut lane = stage.lane_of("docs", &event(7, 0)).await;
    let mut publishers = tokio::task::JoinSet::new();
    for batch in 0..10 {
        let queue = Arc::clone(&stage.queue);
        publishers.spawn(async move { queue.publish(events(7, batch * BATCH..(batch + 1) * BATCH)).await });
    }
    assert!(within(publishers.join_all()).await.into_iter().all(|published| published.is_ok()));
    stage.queue.publish(Vec::new()).await.expect("nothing is published");
    let seen = take(&mut lane, 10 * BATCH as usize).await;
    let mut batches = BTreeSet::new();
    for together in seen.chunks(BATCH as usize) {
        let first = (together[0].envelope.event.data.received_at.ms() - 1_765_441_200_000) as u32;
        assert_eq!(ids(together), ids_of(&events(7, first..first + BATCH)));
        batches.insert(first);
    }
    assert_eq!(batches.len(), 10);
}

async fn the_lane_depends_on_the_key_only(which: Which) {
    let stage = Stage::new(which).await;
    let mut lanes = stage.lanes("docs").await;
    let mut expected: BTreeMap<LaneId, Vec<String>> = BTreeMap::new();
    for issue in 0..40 {
        let sent = event(issue, 0);
        expected.entry(lane_of(&sent)).or_default().push(sent.event.id.to_string());
        stage.publish(&[sent]).await;
    }
    assert_eq!(expected.len(), lanes.len(), "every lane is used");
    for lane in &mut lanes {
        let expected = &expected[&lane.id()];
        assert_eq!(&ids(&take(lane, expected.len()).await), expected);
    }
}

async fn a_new_name_starts_at_the_end_and_a_known_one_where_it_stood(which: Which) {
    let stage = Stage::new(which).await;
    let sent = events(7, 0..20);
    let mut early = stage.lane_of("early", &sent[0]).await;
    stage.publish(&sent[..10]).await;
    let mut late = stage.lane_of("late", &sent[0]).await;
    assert!(stage.is_done("late", &mut late).await);
    stage.publish(&sent[10..]).await;
    take(&mut early, 4).await;
    take(&mut late, 3).await;
    drop((early, late));
    let stage = stage.reopen().await;
    let mut early = stage.lane_of("early", &sent[0]).await;
    let mut late = stage.lane_of("late", &sent[0]).await;
    assert_eq!(ids(&take(&mut early, 16).await), ids_of(&sent[4..]));
    assert_eq!(ids(&take(&mut late, 7).await), ids_of(&sent[13..]));
}

async fn a_reserved_place_keeps_what_comes_before_anybody_works(which: Which) {
    let stage = Stage::new(which).await;
    within(stage.queue.reserve(&name("docs"))).await.expect("reserved");
    let sent = events(7, 0..20);
    stage.publish(&sent).await;
    // A second time changes nothing.
    within(stage.queue.reserve(&name("docs"))).await.expect("reserved");
    let mut lane = stage.lane_of("docs", &sent[0]).await;
    assert_eq!(ids(&take(&mut lane, 20).await), ids_of(&sent));
}

async fn a_lane_has_one_owner_and_is_handed_out_again(which: Which) {
    let stage = Stage::new(which).await;
    let mut lanes = stage.lanes("docs").await;
    let handed: BTreeSet<LaneId> = lanes.iter().map(|lane| lane.id()).collect();
    assert_eq!(handed, lane_count().lanes().collect());
    let sent = events(7, 0..10);
    stage.publish(&sent).await;

    let mut other = stage.subscribe("docs").await;
    let mut next = Box::pin(other.next_lane());
    tokio::select! {
        biased;
        _ = &mut next => panic!("all lanes have an owner"),
        () = tokio::task::yield_now() => {}
    }
    let at = lanes.iter().position(|lane| lane.id() == lane_of(&sent[0])).expect("a lane");
    let mut given_up = lanes.swap_remove(at);
    take(&mut given_up, 4).await;
    window(&mut given_up, 3).await;
    drop(given_up);
    let mut again = within(next).await.expect("the lane that was given up");
    assert_eq!(again.id(), lane_of(&sent[0]));
    assert_eq!(ids(&take(&mut again, 6).await), ids_of(&sent[4..]));
}

async fn waiting_can_be_given_up_at_any_time(which: Which) {
    let stage = Stage::new(which).await;
    let sent = events(7, 0..30);
    let mut subscription = stage.subscribe("docs").await;
    let mut lanes = stage.lanes("docs").await;
    let at = lanes.iter().position(|lane| lane.id() == lane_of(&sent[0])).expect("a lane");
    let mut lane = lanes.swap_remove(at);
    for envelope in &sent {
        tokio::select! {
            biased;
            _ = lane.window(16) => {}
            _ = subscription.next_lane() => panic!("all lanes have an owner"),
            () = tokio::task::yield_now() => {}
        }
        stage.publish(std::slice::from_ref(envelope)).await;
        drop(tokio::time::timeout(Duration::ZERO, lane.window(16)).await);
    }
    assert_eq!(ids(&take(&mut lane, 30).await), ids_of(&sent));
    // One that waits is woken.
    let (seen, ()) = tokio::join!(window(&mut lane, 1), stage.publish(&sent[..1]));
    assert_eq!(ids(&seen), ids_of(&sent[..1]));
}

async fn a_forgotten_sink_loses_its_lanes_and_its_place(which: Which) {
    let stage = Stage::new(which).await;
    let sent = events(7, 0..10);
    let mut lane = stage.lane_of("docs", &sent[0]).await;
    stage.publish(&sent[..5]).await;
    window(&mut lane, 2).await;
    let taken = lane.taken();
    assert!(!taken.is_cancelled());
    stage.queue.forget(&name("docs")).await.expect("forgotten");
    stage.queue.forget(&name("nobody")).await.expect("nothing to forget");
    within(taken.cancelled()).await;
    assert_eq!(lane.window(1).await.expect_err("lost"), QueueError::Lost);
    assert_eq!(lane.advance(Position(2)).await, Err(QueueError::Lost));
    assert_eq!(stage.queue.passed(&name("docs"), LaneId(0)).await, Ok(None));
    let stage = stage.reopen().await;
    let mut lane = stage.lane_of("docs", &sent[0]).await;
    assert!(stage.is_done("docs", &mut lane).await);
    stage.publish(&sent[5..]).await;
    assert_eq!(ids(&take(&mut lane, 5).await), ids_of(&sent[5..]));
}

async fn the_backlog_is_exact(which: Which) {
    let stage = Stage::new(which).await;
    let sent = events(7, 0..10);
    let lane_id = lane_of(&sent[0]);
    let mut lane = stage.lane_of("docs", &sent[0]).await;
    stage.publish(&sent).await;
    window_of(&mut lane, 10).await;
    let mut last = None;
    for passed in 0..=10_u32 {
        let backlog = stage.queue.backlog().await.expect("counted");
        assert_eq!(backlog.len(), usize::from(lane_count().get()));
        for row in backlog {
            let is_ours = row.lane == lane_id;
            assert_eq!(row.waiting, if is_ours { u64::from(10 - passed) } else { 0 });
            let oldest = sent.get(passed as usize).map(|envelope| envelope.event.data.received_at);
            assert_eq!(row.oldest, oldest.filter(|_| is_ours));
        }
        let known = stage.queue.passed(&name("docs"), lane_id).await.expect("asked").expect("it has a place");
        if which.counts() {
            assert_eq!(known, Position(u64::from(passed)));
        } else if let Some(last) = last {
            assert_eq!(known, last);
        }
        if passed < 10 {
            let seen = take(&mut lane, 1).await;
            assert!(known < seen[0].position);
            last = Some(seen[0].position);
        }
    }
    assert_eq!(stage.queue.passed(&name("nobody"), lane_id).await, Ok(None));
}

async fn large_bodies_travel_whole(which: Which) {
    let stage = Stage::new(which).await;
    drop(stage.subscribe("docs").await);
    let sent = [sized(7, 0, 25 << 20), sized(7, 1, 0), sized(7, 2, 25 << 20)];
    stage.publish(&sent).await;
    let stage = stage.reopen().await;
    let mut lane = stage.lane_of("docs", &sent[0]).await;
    let seen = take(&mut lane, 3).await;
    for (seen, sent) in seen.iter().zip(&sent) {
        assert!(seen.envelope == *sent, "{}", sent.event.id);
    }
}

async fn what_is_closed_lets_go(which: Which) {
    let stage = Stage::new(which).await;
    let mut subscription = stage.subscribe("docs").await;
    let mut lane = within(subscription.next_lane()).await.expect("a lane");
    stage.queue.check().await.expect("it works");
    let taken = lane.taken();
    let (closed, waited) = tokio::join!(stage.queue.close(Duration::from_secs(10)), within(lane.window(1)));
    assert_eq!((closed, waited.expect_err("lost")), (Ok(()), QueueError::Lost));
    assert!(taken.is_cancelled());
    assert_eq!(lane.advance(Position(0)).await, Err(QueueError::Lost));
    assert!(matches!(within(subscription.next_lane()).await.map(|lane| lane.id()), Err(QueueError::Lost)));
    assert!(matches!(stage.queue.publish(vec![event(7, 0)]).await, Err(PublishError::Unavailable(_))));
    assert!(matches!(stage.queue.check().await, Err(QueueError::Unavailable(_))));
    assert_eq!(stage.queue.close(Duration::from_secs(1)).await, Ok(()));
}

#[tokio::test]
async fn a_full_memory_refuses_and_recovers() {
    let queue = Memory::new(lane_count(), 5);
    let mut subscription = queue.subscribe(&name("docs")).await.expect("subscribed");
    queue.publish(events(7, 0..5)).await.expect("published");
    assert!(matches!(queue.publish(events(7, 5..6)).await, Err(PublishError::Full(_))));
    for _ in lane_count().lanes() {
        let mut lane = subscription.next_lane().await.expect("a lane");
        lane.advance(Position(2)).await.expect("advanced");
        std::mem::forget(lane);
    }
    queue.publish(events(7, 5..7)).await.expect("published");
    assert!(matches!(queue.publish(events(7, 7..8)).await, Err(PublishError::Full(_))));
}
