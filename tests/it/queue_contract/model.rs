//! Whatever is done to a queue, it shows what two maps would show.

use std::collections::BTreeMap;

use proptest::prelude::*;
use ticketwire::event::Position;

use super::stage::{Stage, Which, events, ids, ids_of, is_waiting, lane_count, lane_of, name, window_of};

#[derive(Debug, Clone)]
enum Action {
    Publish { issue: u32, events: u32 },
    Window { sink: usize, lane: u16, limit: usize },
    Advance { sink: usize, lane: u16, by: u64 },
    Forget { sink: usize },
    Reopen,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let lane = 0..lane_count().get();
    let action = prop_oneof![
        6 => (0..8_u32, 1..5_u32).prop_map(|(issue, events)| Action::Publish { issue, events }),
        6 => (0..2_usize, lane.clone(), 1..20_usize).prop_map(|(sink, lane, limit)| Action::Window { sink, lane, limit }),
        5 => (0..2_usize, lane, 0..6_u64).prop_map(|(sink, lane, by)| Action::Advance { sink, lane, by }),
        1 => (0..2_usize).prop_map(|sink| Action::Forget { sink }),
        1 => Just(Action::Reopen),
    ];
    proptest::collection::vec(action, 1..60)
}

const SINKS: [&str; 2] = ["one", "two"];

/// The whole of a queue in two maps: what was published, and where every sink stands.
#[derive(Default)]
struct Model {
    lanes: BTreeMap<u16, Vec<String>>,
    passed: BTreeMap<(usize, u16), u64>,
}

pub(super) async fn it_behaves_like_the_model(which: Which) {
    // A broker makes and removes queues in tens of milliseconds.
    let cases = if which.counts() { 24 } else { 4 };
    let mut runner =
        proptest::test_runner::TestRunner::new(ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() });
    let runtime = tokio::runtime::Handle::current();
    tokio::task::block_in_place(|| {
        runner.run(&actions(), |actions| {
            runtime.block_on(follow(which, actions));
            Ok(())
        })
    })
    .expect("the queue behaves like the model");
}

async fn follow(which: Which, actions: Vec<Action>) {
    let mut stage = Stage::new(which).await;
    let mut model = Model::default();
    let mut lanes = [stage.lanes(SINKS[0]).await, stage.lanes(SINKS[1]).await];
    let mut number = 0;
    for action in actions {
        match action {
            Action::Publish { issue, events: count } => {
                let sent = events(issue, number..number + count);
                number += count;
                model.lanes.entry(lane_of(&sent[0]).0).or_default().extend(ids_of(&sent));
                stage.queue.publish(sent).await.expect("published");
            }
            Action::Window { sink, lane, limit } => {
                let passed = model.passed.get(&(sink, lane)).copied().unwrap_or_default();
                let all = model.lanes.get(&lane).map(Vec::as_slice).unwrap_or_default();
                let expected: Vec<&String> = all.iter().skip(passed as usize).take(limit).collect();
                let lane = &mut lanes[sink][usize::from(lane)];
                if expected.is_empty() {
                    assert!(is_waiting(lane).await);
                } else {
                    let seen = window_of(lane, expected.len()).await;
                    assert_eq!(ids(&seen).iter().collect::<Vec<_>>(), expected);
                    assert!(!which.counts() || seen[0].position == Position(passed + 1));
                }
            }
            Action::Advance { sink, lane, by } => {
                let end = model.lanes.get(&lane).map_or(0, Vec::len) as u64;
                let passed = model.passed.entry((sink, lane)).or_default();
                let there = by.min(end - *passed);
                let lane = &mut lanes[sink][usize::from(lane)];
                let past = if which.counts() {
                    Position(*passed + by)
                } else if there > 0 {
                    window_of(lane, there as usize).await[there as usize - 1].position
                } else {
                    Position(0)
                };
                lane.advance(past).await.expect("advanced");
                *passed += there;
            }
            Action::Forget { sink } => {
                stage.queue.forget(&name(SINKS[sink])).await.expect("forgotten");
                for lane in 0..lane_count().get() {
                    model.passed.insert((sink, lane), model.lanes.get(&lane).map_or(0, Vec::len) as u64);
                }
                lanes[sink] = stage.lanes(SINKS[sink]).await;
            }
            Action::Reopen => {
                lanes.iter_mut().for_each(Vec::clear);
                stage = stage.reopen().await;
                lanes = [stage.lanes(SINKS[0]).await, stage.lanes(SINKS[1]).await];
            }
        }
        let waiting: u64 = (0..2).flat_map(|sink| (0..lane_count().get()).map(move |lane| (sink, lane))).fold(0, |sum, (sink, lane)| {
            sum + model.lanes.get(&lane).map_or(0, Vec::len) as u64 - model.passed.get(&(sink, lane)).copied().unwrap_or_default()
        });
        assert_eq!(stage.waiting(SINKS[0]).await + stage.waiting(SINKS[1]).await, waiting);
    }
}
