//! Lanes that come and go: shares of several processes, order across owners, sinks that nobody configures.

use ticketwire::event::{LaneId, Position};
use ticketwire::queue::{QueueError, Share};
use ticketwire::setting::SinkName;
use tokio::sync::watch;

use super::*;

fn share(lanes: impl IntoIterator<Item = u16>) -> Share {
    Share::Lanes(lanes.into_iter().map(LaneId).collect())
}

/// A consumer that is cancelled before its channel is closed makes the broker show 1 2 0 3 to the next owner.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_in_hand_is_shown_again_in_order() {
    let Some(broker) = Broker::found().await else { return };
    let queue = broker.open().await.expect("opened");
    let sent = events(7, 0..40);
    let mut subscription = queue.subscribe(&name("docs")).await.expect("subscribed");
    publish(&queue, &sent).await;
    let mut passed = 0;
    let mut positions: Vec<Position> = Vec::new();
    for round in 0..12 {
        let mut ours = None;
        let mut others = Vec::new();
        while ours.is_none() {
            let lane = within(subscription.next_lane()).await.expect("a lane");
            if lane.id() == lane_of(&sent[0]) { ours = Some(lane) } else { others.push(lane) }
        }
        let mut lane = ours.expect("it was found");
        let seen = window_of(&mut lane, 40 - passed).await;
        assert_eq!(ids(&seen), ids_of(&sent[passed..]), "round {round}");
        let now: Vec<Position> = seen.iter().map(|seen| seen.position).collect();
        assert!(now.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(positions.is_empty() || now == positions[positions.len() - now.len()..], "each stands where it stood");
        positions = now;
        // Some are let go with everything in hand, some with a part passed.
        let take = round % 4;
        if take > 0 {
            lane.advance(seen[take - 1].position).await.expect("advanced");
            passed += take;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_that_leaves_the_share_goes_on_in_another_process() {
    let Some(broker) = Broker::found().await else { return };
    let (to_first, of_first) = watch::channel(Share::All);
    let (to_second, of_second) = watch::channel(share([]));
    let first = broker.open_with(&broker.settings, lane_count(), of_first).await.expect("opened");
    let second = broker.open_with(&broker.settings, lane_count(), of_second).await.expect("opened");
    let sent = events(7, 0..30);
    let at = lane_of(&sent[0]);
    let mut here = lane(&first, "docs", &sent[0]).await;
    let mut there = second.subscribe(&name("docs")).await.expect("subscribed");
    publish(&first, &sent[..10]).await;
    publish(&second, &sent[10..20]).await;
    assert_eq!(ids(&take(&mut here, 4).await), ids_of(&sent[..4]));
    let in_hand = window_of(&mut here, 3).await;

    to_first.send_replace(share((0..4).filter(|lane| *lane != at.0)));
    to_second.send_replace(share([at.0]));
    within(here.taken().cancelled()).await;
    assert!(matches!(here.window(1).await, Err(QueueError::Lost)));
    // What was in hand may still be passed, and is not shown to the next owner.
    here.advance(in_hand[2].position).await.expect("advanced");
    drop(here);
    let mut here = within(there.next_lane()).await.expect("a lane");
    assert_eq!(here.id(), at);
    assert_eq!(ids(&take(&mut here, 13).await), ids_of(&sent[7..20]));

    // And back, while it is in use.
    publish(&first, &sent[20..]).await;
    take(&mut here, 2).await;
    to_second.send_replace(share([]));
    within(here.taken().cancelled()).await;
    drop(here);
    to_first.send_replace(Share::All);
    let mut here = lane(&first, "docs", &sent[0]).await;
    assert_eq!(ids(&take(&mut here, 8).await), ids_of(&sent[22..]));
}

#[tokio::test]
async fn a_second_process_waits_for_lanes_of_the_first() {
    let Some(broker) = Broker::found().await else { return };
    let (first, second) = (broker.open().await.expect("opened"), broker.open().await.expect("opened"));
    let sent = events(7, 0..6);
    let mut here = lane(&first, "docs", &sent[0]).await;
    let mut there = lane(&second, "docs", &sent[0]).await;
    publish(&second, &sent).await;
    assert_eq!(ids(&take(&mut here, 2).await), ids_of(&sent[..2]));
    // The broker gives a lane to one of them only. When that one goes, without a word, the other has it.
    drop((here, first));
    assert_eq!(ids(&take(&mut there, 4).await), ids_of(&sent[2..]));
}

#[tokio::test]
async fn places_that_nobody_configures_are_told() {
    let Some(broker) = Broker::found().await else { return };
    let queue = broker.open().await.expect("opened");
    for sink in [name("docs"), name("old"), SinkName::archive()] {
        drop(queue.subscribe(&sink).await.expect("subscribed"));
    }
    queue.close(Duration::from_secs(10)).await.expect("closed");
    // By a process that never subscribed.
    let queue = broker.open().await.expect("opened");
    publish(&queue, &events(7, 0..3)).await;
    assert_eq!(queue.orphans(&[name("docs")]).await, Ok(vec![name("old")]));
    let waiting: u64 = queue.backlog().await.expect("counted").iter().map(|row| row.waiting).sum();
    assert_eq!(waiting, 9);
    queue.forget(&name("old")).await.expect("forgotten");
    assert_eq!(queue.orphans(&[name("docs")]).await, Ok(Vec::new()));
    let sinks: BTreeSet<SinkName> = queue.backlog().await.expect("counted").into_iter().map(|row| row.sink).collect();
    assert_eq!(sinks, [name("docs"), SinkName::archive()].into());
}

#[tokio::test]
async fn how_far_a_sink_has_come_is_known_without_its_events() {
    let Some(broker) = Broker::found().await else { return };
    let queue = broker.open().await.expect("opened");
    let sent = events(7, 0..3);
    let at = lane_of(&sent[0]);
    let docs = name("docs");
    let mut here = lane(&queue, "docs", &sent[0]).await;
    publish(&queue, &sent).await;
    let seen = take(&mut here, 3).await;
    assert_eq!(queue.passed(&docs, at).await, Ok(Some(seen[2].position)));
    queue.close(Duration::from_secs(10)).await.expect("closed");
    drop(here);
    // Who starts on an empty lane knows that everything before was passed.
    let queue = broker.open().await.expect("opened");
    let _here = lane(&queue, "docs", &sent[0]).await;
    assert!(queue.passed(&docs, at).await.expect("asked").is_some_and(|passed| passed > seen[2].position));
    assert_eq!(queue.passed(&docs, LaneId(99)).await, Ok(None));
}
