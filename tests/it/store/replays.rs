//! Orders to deliver from the archive: what a lane is given to read, and what several owners of a lane write down.

#![expect(clippy::unwrap_used, reason = "each function here is the body of a test")]

use ticketwire::event::{LaneId, Position};
use ticketwire::store::{Replay, ReplayCounts, ReplayLane, ReplayPlace, ReplayState, ReplayStep, Store, Write};

use super::fixtures::{Opened, Place, archive_row, at, on_each_database, sink};

on_each_database!(
    a_lane_reads_its_own_in_order,
    an_event_that_cannot_be_read_stands_in_its_place,
    a_step_that_was_overtaken_changes_nothing,
    every_order_to_deliver_again_has_a_generation_of_its_own,
);

fn replay(id: &str, since: i64, until: i64) -> Replay {
    let (since, until, ordered_at) = (at(since), at(until), at(until));
    Replay { id: id.into(), generation: 0, since, until, rule: None, dry_run: false, ordered_at }
}

async fn lane_of(store: &Store, number: u16) -> ReplayLane {
    store.open_replays(&sink("team"), LaneId(number)).await.unwrap().remove(0)
}

async fn a_lane_reads_its_own_in_order(place: Place) {
    let opened = Opened::new(&place).await;
    // Events are received at the second that their number gives; two have the same position, as after a change of queues.
    let rows = [(5, 0, 4), (1, 0, 1), (2, 1, 1), (3, 0, 3), (4, 0, 3), (9, 0, 9), (8, 2, 1)];
    let archive = rows.iter().map(|&(number, lane, position)| archive_row(number, "500", None, lane, position)).collect();
    opened.write(Write { archive, ..Write::default() }).await;
    let store = &opened.store;
    let received = |number: u32| archive_row(number, "500", None, 0, 1).envelope.event.data.received_at;
    let order = Replay { since: received(2), until: received(8), ..replay("r1", 0, 0) };
    store.order_replay(order, false, vec![sink("team"), sink("events")]).await.unwrap();
    let lanes = store.replay_lanes("r1").await.unwrap();
    let told: Vec<_> = lanes.iter().map(|lane| (lane.sink.as_str(), lane.lane.0, lane.events, lane.last.0)).collect();
    let expected = [("events", 0, 3, 4), ("events", 1, 1, 1), ("events", 2, 1, 1), ("team", 0, 3, 4), ("team", 1, 1, 1), ("team", 2, 1, 1)];
    assert_eq!(told, expected);
    let mut lane = lane_of(store, 0).await;
    let mut read = Vec::new();
    loop {
        let next = store.replayed(&lane, 1).await.unwrap();
        let Some((place, archived)) = next.into_iter().next() else { break };
        lane.after = place;
        read.push(archived.expect("it can be read").envelope.event.data.received_at);
    }
    // Which of the two comes first is not promised.
    read[..2].sort_unstable();
    assert_eq!(read, [received(3), received(4), received(5)]);
    assert!(store.open_replays(&sink("nobody"), LaneId(0)).await.unwrap().is_empty());
}

async fn an_event_that_cannot_be_read_stands_in_its_place(place: Place) {
    let opened = Opened::new(&place).await;
    let archive = (1..=3).map(|number| archive_row(number, "500", None, 0, number.into())).collect();
    opened.write(Write { archive, ..Write::default() }).await;
    opened.lines("UPDATE archive SET envelope = substr(envelope, 1, 2) WHERE position = 2").await;
    let store = &opened.store;
    store.order_replay(replay("r1", 0, i64::from(u32::MAX)), false, vec![sink("team")]).await.unwrap();
    let read = store.replayed(&lane_of(store, 0).await, 9).await.unwrap();
    let told: Vec<(u64, bool)> = read.iter().map(|(place, archived)| (place.position.0, archived.is_ok())).collect();
    assert_eq!(told, [(1, true), (2, false), (3, true)]);
}

async fn a_step_that_was_overtaken_changes_nothing(place: Place) {
    let opened = Opened::new(&place).await;
    let archive = (1..=4).map(|number| archive_row(number, "500", None, 0, number.into())).collect();
    opened.write(Write { archive, ..Write::default() }).await;
    let store = &opened.store;
    let order = replay("r1", 0, i64::from(u32::MAX));
    store.order_replay(order, false, vec![sink("team")]).await.unwrap();
    let step = async |position: u64, seen: u64, is_done: bool| {
        let counts = ReplayCounts { seen, delivered: seen, ..ReplayCounts::default() };
        let after = ReplayPlace { position: Position(position), number: 0 };
        let step = ReplayStep { replay: "r1".into(), sink: sink("team"), lane: LaneId(0), after, counts, is_done };
        opened.write(Write { replay: Some(step), ..Write::default() }).await;
        let lane = store.replay_lanes("r1").await.unwrap().remove(0);
        (lane.after.position.0, lane.counts.seen, lane.counts.delivered, lane.state)
    };
    assert_eq!(step(2, 2, false).await, (2, 2, 2, ReplayState::Open));
    assert_eq!(step(2, 2, false).await, (2, 2, 2, ReplayState::Open), "the same again, by who owned the lane before");
    assert_eq!(step(1, 1, false).await, (2, 2, 2, ReplayState::Open));
    assert_eq!(step(4, 2, false).await, (4, 4, 4, ReplayState::Open));
    assert_eq!(step(4, 0, true).await, (4, 4, 4, ReplayState::Done));
    assert_eq!(store.stop_replay("r1").await, Ok(0), "what is done is not stopped");
    assert!(store.open_replays(&sink("team"), LaneId(0)).await.unwrap().is_empty());
}

async fn every_order_to_deliver_again_has_a_generation_of_its_own(place: Place) {
    let opened = Opened::new(&place).await;
    let store = &opened.store;
    let mut orders = store.orders();
    let generation = async |id: &str, again: bool, ordered: i64| {
        store.order_replay(replay(id, 0, ordered), again, vec![sink("team")]).await.unwrap();
        store.replay(id).await.unwrap().expect("it is there").generation
    };
    let day = 86_400_000;
    assert_eq!(generation("r1", false, 1).await, 0);
    assert!(orders.has_changed().unwrap());
    orders.mark_unchanged();
    assert_eq!(generation("r2", true, 2).await, 1);
    assert_eq!(generation("r3", true, 3).await, 2);
    assert_eq!(generation("r4", false, 4).await, 0);
    store.expire(at(91 * day)).await.unwrap();
    let left: Vec<String> = store.replays(9).await.unwrap().into_iter().map(|replay| replay.id).collect();
    assert_eq!(left, ["r3"], "the newest generation stays, or the next would be one that the journal knows");
    assert_eq!(generation("r5", true, 91 * day).await, 3);
    assert!(store.replay("r1").await.unwrap().is_none());
}
