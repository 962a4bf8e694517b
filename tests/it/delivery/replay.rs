//! Replays: what was never delivered comes once, in order, whatever happens meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ticketwire::clock::{Clock, Timestamp};
use ticketwire::deliver::paused_control;
use ticketwire::queue::Queue;
use ticketwire::store::{Replay, ReplayCounts, ReplayState};

use super::scripted::{Fault, Scripted, chat, file};
use super::world::{LIMIT, Running, World, envelope, name, rules_for, settings, until};

const ISSUES: u32 = 7;

fn sink(to: &str, script: impl FnMut(&str, u32) -> Fault + Send + 'static) -> Arc<Scripted> {
    Arc::new(Scripted::new(to, if to == "team" { chat() } else { file() }, script))
}

/// A world in which so many events came before the sink was there.
async fn late(lanes: u16, events: u32, late: &Arc<Scripted>, summary: &str) -> World {
    let mut world = World::new(lanes, settings(4, 6), vec![sink("first", |_, _| Fault::None)], rules_for("team", "a")).await;
    let running = world.start().await;
    for number in 0..events {
        world.publish(envelope(number, number % ISSUES, summary)).await;
    }
    world.finished(LIMIT).await.expect("all is in the archive");
    running.stop().await;
    // Nobody works for it any more.
    world.queue.forget(&name("first")).await.expect("it is open");
    world.sinks = vec![late.clone()];
    world
}

/// Gives an order about everything so far.
async fn order(world: &World, to: &str, again: bool, dry_run: bool) -> String {
    let now = Clock::system().now();
    let id = Replay::new_id();
    let replay = Replay { id: id.clone(), generation: 0, since: Timestamp::from_ms(0), until: now, rule: None, dry_run, ordered_at: now };
    world.store.order_replay(replay, again, vec![name(to)]).await.expect("it is written");
    id
}

/// What became of the events, if it came to its end.
async fn counts(world: &World, id: &str) -> Option<ReplayCounts> {
    let lanes = world.store.replay_lanes(id).await.expect("it can be read");
    let mut counts = ReplayCounts::default();
    for lane in &lanes {
        counts.seen += lane.counts.seen;
        counts.delivered += lane.counts.delivered;
        counts.filtered += lane.counts.filtered;
        counts.withheld += lane.counts.withheld;
        counts.dead += lane.counts.dead;
        counts.parked += lane.counts.parked;
        counts.known += lane.counts.known;
    }
    lanes.iter().all(|lane| lane.state == ReplayState::Done).then_some(counts)
}

async fn done(world: &World, id: &str) -> ReplayCounts {
    assert!(until(LIMIT, async || counts(world, id).await.is_some()).await, "the replay does not come to its end");
    counts(world, id).await.expect("it is done")
}

/// The numbers of each issue in the order in which they were taken, for one generation.
fn by_issue(sink: &Scripted, generation: u32) -> BTreeMap<u32, Vec<u32>> {
    let mut issues: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for success in sink.seen().successes.iter().filter(|success| success.generation == generation) {
        issues.entry(success.number % ISSUES).or_default().push(success.number);
    }
    issues
}

fn all_in_order(events: u32) -> BTreeMap<u32, Vec<u32>> {
    (0..ISSUES).map(|issue| (issue, (0..events).filter(|number| number % ISSUES == issue).collect())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_sink_gets_everything_once_and_again_when_told() {
    let sink = sink("late", |_, _| Fault::None);
    let world = late(3, 100, &sink, "a").await;
    let running = world.start().await;
    let id = order(&world, "late", false, true).await;
    let foreseen = done(&world, &id).await;
    assert_eq!((foreseen.seen, foreseen.delivered, sink.calls()), (100, 100, 0), "a dry run sends nothing");
    let id = order(&world, "late", false, false).await;
    assert_eq!(done(&world, &id).await.delivered, 100);
    assert_eq!(by_issue(&sink, 0), all_in_order(100));
    let id = order(&world, "late", false, false).await;
    let counts = done(&world, &id).await;
    assert_eq!((counts.known, counts.delivered, sink.calls()), (100, 0, 100));
    for generation in [1, 2] {
        let id = order(&world, "late", true, false).await;
        assert_eq!(done(&world, &id).await.delivered, 100);
        assert_eq!(by_issue(&sink, generation), all_in_order(100));
    }
    assert_eq!(sink.calls(), 300);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_in_the_middle_goes_on_where_it_was() {
    // The tenth and the thirtieth call never come to an answer.
    let mut calls = 0;
    let sink = sink("team", move |_, _| {
        calls += 1;
        if calls == 10 || calls == 30 { Fault::Slow(Duration::from_secs(3_600)) } else { Fault::None }
    });
    let world = late(2, 60, &sink, "a").await;
    let mut running = world.start().await;
    let id = order(&world, "team", false, false).await;
    for calls in [10, 30] {
        assert!(until(LIMIT, async || sink.calls() >= calls).await, "the call that hangs");
        running.crash();
        running = world.start().await;
    }
    let counts = done(&world, &id).await;
    let taken = by_issue(&sink, 0);
    let once: BTreeMap<u32, Vec<u32>> = taken
        .into_iter()
        .map(|(issue, mut numbers)| {
            // Nobody knows of what hung whether it was done, so it comes twice, and nothing else does.
            numbers.dedup();
            (issue, numbers)
        })
        .collect();
    assert_eq!(once, all_in_order(60));
    assert!(sink.calls() <= 64, "{} calls of 60 events and two crashes", sink.calls());
    assert_eq!(counts.seen, 60, "{counts:?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_overtakes_nothing_that_waits_or_comes() {
    // Issue 1 fails at first, so that what is replayed of it waits while new events of it come.
    let mut failures = 0;
    let sink = sink("late", move |_, number| {
        if number % ISSUES == 1 && failures < 1 {
            failures += 1;
            return Fault::Failed;
        }
        Fault::Slow(Duration::from_millis(1))
    });
    let world = late(1, 70, &sink, "a").await;
    let running = world.start().await;
    let id = order(&world, "late", false, false).await;
    for number in 70..140 {
        world.publish(envelope(number, number % ISSUES, "a")).await;
    }
    done(&world, &id).await;
    world.finished(LIMIT).await.expect("it drains");
    let mut all: Vec<u32> = by_issue(&sink, 0).into_values().flatten().collect();
    all.sort_unstable();
    assert_eq!(all, (0..140).collect::<Vec<_>>(), "everything once");
    for (issue, numbers) in by_issue(&sink, 0) {
        let (old, new): (Vec<u32>, Vec<u32>) = numbers.iter().partition(|number| **number < 70);
        assert!(old.is_sorted() && new.is_sorted(), "issue {issue}: {numbers:?}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_lane_has_not_passed_comes_by_itself_first() {
    let sink = sink("first", |_, _| Fault::Slow(Duration::from_millis(5)));
    let world = World::new(1, settings(4, 6), vec![sink.clone()], Vec::new()).await;
    let running = world.start().await;
    for number in 0..80 {
        world.publish(envelope(number, number % ISSUES, "a")).await;
    }
    assert!(until(LIMIT, async || world.store.archived_count().await == Ok(80)).await);
    let id = order(&world, "first", true, false).await;
    assert_eq!(done(&world, &id).await.delivered, 80);
    world.finished(LIMIT).await.expect("it drains");
    assert_eq!((by_issue(&sink, 0), by_issue(&sink, 1)), (all_in_order(80), all_in_order(80)));
    let mut seen = std::collections::HashSet::new();
    for success in &sink.seen().successes {
        assert!(success.generation == 0 || seen.contains(&success.number), "{} was replayed before it came", success.number);
        seen.insert(success.number);
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_filtered_is_decided_by_the_rules_of_today() {
    let sink = sink("team", |_, _| Fault::None);
    let mut world = late(2, 21, &sink, "b").await;
    let running: Running = world.start().await;
    let id = order(&world, "team", false, false).await;
    let counts = done(&world, &id).await;
    assert_eq!((counts.seen, counts.filtered, counts.delivered), (21, 21, 0));
    running.stop().await;
    world.rule(rules_for("team", "b"));
    let running = world.start().await;
    let id = order(&world, "team", false, false).await;
    assert_eq!(done(&world, &id).await.delivered, 21);
    assert_eq!(sink.taken("#b").len(), 21);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_sink_holds_its_replay_and_a_stopped_one_ends() {
    let sink = sink("late", |_, _| Fault::None);
    let world = late(2, 40, &sink, "a").await;
    let pause = async |reason: Option<&str>| {
        world.store.set_control(&paused_control(&name("late")), reason, Clock::system().now()).await.expect("it is written");
    };
    pause(Some("for the test")).await;
    let running = world.start().await;
    let (first, second) = (order(&world, "late", false, false).await, order(&world, "late", true, false).await);
    let id = order(&world, "late", false, true).await;
    assert_eq!(world.store.stop_replay(&second).await, Ok(2), "its two lanes");
    assert_eq!(world.store.stop_replay(&second).await, Ok(0));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!((sink.calls(), counts(&world, &first).await), (0, None));
    pause(None).await;
    assert_eq!(done(&world, &first).await.delivered, 40);
    assert_eq!(done(&world, &id).await.known, 40, "it came after the first");
    assert_eq!(sink.calls(), 40, "the second was stopped");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_already_does_not_wait_twice() {
    let mut refused = false;
    let sink =
        sink("team", move |_, number| if number == 0 && !std::mem::replace(&mut refused, true) { Fault::Failed } else { Fault::None });
    let world = World::new(1, settings(4, 6), vec![sink.clone()], rules_for("team", "a")).await;
    let running = world.start().await;
    for number in 0..14 {
        world.publish(envelope(number, number % ISSUES, "a")).await;
    }
    assert!(until(LIMIT, async || world.unfinished().await == (0, 2)).await, "two of issue 0 wait");
    let id = order(&world, "team", false, false).await;
    let counts = done(&world, &id).await;
    assert_eq!((counts.known, counts.parked, counts.delivered), (14, 0, 0), "{counts:?}");
    world.finished(LIMIT).await.expect("it drains");
    assert_eq!(by_issue(&sink, 0), all_in_order(14));
    running.stop().await;
}
