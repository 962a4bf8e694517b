//! Sinks that change while they work: nothing is lost, repeated, cut off or overtaken.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ticketwire::deliver::{Change, PauseState};

use super::scripted::{Fault, Scripted, chat, file};
use super::world::{LIMIT, Running, World, by_place, envelope, name, rules_for, settings, until};

const ISSUES: u32 = 12;
const SOON: Duration = Duration::from_secs(20);

/// Events of several issues, in turn.
async fn publish(world: &World, numbers: std::ops::Range<u32>) {
    for number in numbers {
        world.publish(envelope(number, number % ISSUES, "a")).await;
    }
}

/// Every number once at every target, those of each issue in order.
fn assert_each_once(sink: &Scripted, numbers: std::ops::Range<u32>) {
    let places = by_place(&sink.seen().successes);
    let mut all: Vec<u32> = places.values().flatten().copied().collect();
    all.sort_unstable();
    assert_eq!(all, numbers.collect::<Vec<_>>(), "each once");
    let broken: BTreeMap<_, _> = places.iter().filter(|(_, numbers)| !numbers.is_sorted()).collect();
    assert!(broken.is_empty(), "out of order: {broken:?}");
    assert!(sink.seen().wrong.is_empty(), "{:?}", sink.seen().wrong);
}

/// The same sink with its rules made anew.
fn renewed(world: &World, sink: &Arc<Scripted>) -> Change {
    Change::Renew(world.route(sink))
}

async fn change(running: &Running, changes: Vec<Change>) {
    let reserved = running.supervisor.reserve(&running.delivery, &changes).await.expect("places");
    running.supervisor.change(&running.delivery, changes, reserved);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_in_a_row_under_load_lose_and_repeat_nothing() {
    let mut seed = 7_u64;
    let mut fault = move |_: &str, _| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        match seed >> 60 {
            0..2 => Fault::Limited(Some(Duration::from_millis(30))),
            2 => Fault::Down,
            3..6 => Fault::Slow(Duration::from_millis(40)),
            _ => Fault::None,
        }
    };
    let team =
        Arc::new(Scripted::new("team", chat(), move |target, number| if number < 300 { fault(target, number) } else { Fault::None }));
    let events = Arc::new(Scripted::new("events", file(), |_, _| Fault::Slow(Duration::from_millis(5))));
    let world = World::new(4, settings(16, 60), vec![team.clone(), events.clone()], rules_for("team", "a")).await;
    let running = world.start().await;
    for round in 0..20 {
        publish(&world, round * 20..(round + 1) * 20).await;
        tokio::time::sleep(Duration::from_millis(25)).await;
        change(&running, vec![renewed(&world, &team), renewed(&world, &events)]).await;
        if round % 3 == 0 {
            // Again at once, while the one before is still at it.
            change(&running, vec![renewed(&world, &team), Change::Keep(name("events"))]).await;
        }
        if round % 5 == 0 {
            // Gone, and back at once.
            change(&running, vec![Change::Keep(name("events"))]).await;
            change(&running, vec![Change::Keep(name("events")), renewed(&world, &team)]).await;
        }
    }
    world.finished(LIMIT).await.expect("it ends");
    assert_each_once(&team, 0..400);
    assert_each_once(&events, 0..400);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_hand_ends_as_it_began_and_the_rest_waits_for_it() {
    // Longer than a stop of the service would wait.
    let slow = |number: u32| if number == 0 { Fault::Slow(Duration::from_secs(5)) } else { Fault::None };
    let team = Arc::new(Scripted::new("team", chat(), move |_, number| slow(number)));
    let events = Arc::new(Scripted::new("events", file(), |_, _| Fault::None));
    let world = World::new(1, settings(1, 6), vec![team.clone(), events.clone()], rules_for("team", "a")).await;
    let running = world.start().await;
    publish(&world, 0..1).await;
    assert!(until(SOON, async || team.calls() == 1).await, "the first call");
    change(&running, vec![renewed(&world, &team), Change::Keep(name("events"))]).await;
    publish(&world, 1..3).await;
    assert!(until(Duration::from_secs(3), async || events.calls() == 3).await, "the other sink is held up");
    assert_eq!(team.calls(), 1, "the next begins before the one in hand ended");
    world.finished(LIMIT).await.expect("it ends");
    assert_each_once(&team, 0..3);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_sinks_begin_at_the_end_and_removed_ones_stop() {
    let events = Arc::new(Scripted::new("events", file(), |_, _| Fault::None));
    let late = Arc::new(Scripted::new("late", file(), |_, _| Fault::None));
    let world = World::new(2, settings(16, 6), vec![events.clone()], rules_for("team", "")).await;
    let running = world.start().await;
    publish(&world, 0..20).await;
    world.finished(LIMIT).await.expect("it ends");
    change(&running, vec![Change::Keep(name("events")), renewed(&world, &late)]).await;
    publish(&world, 20..40).await;
    world.finished(LIMIT).await.expect("it ends");
    assert_each_once(&late, 20..40);
    change(&running, vec![Change::Keep(name("late"))]).await;
    publish(&world, 40..60).await;
    assert!(until(SOON, async || late.seen().successes.len() == 40).await, "the one that stays works on");
    assert_each_once(&events, 0..40);
    // It comes back where it stood.
    change(&running, vec![renewed(&world, &events), Change::Keep(name("late"))]).await;
    world.finished(LIMIT).await.expect("it ends");
    assert_each_once(&events, 0..60);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_and_other_rules_outlive_a_change() {
    let team = Arc::new(Scripted::new("team", chat(), |_, number| if number == 0 { Fault::Revoked } else { Fault::None }));
    let mut world = World::new(1, settings(16, 6), vec![team.clone()], rules_for("team", "a")).await;
    let running = world.start().await;
    publish(&world, 0..1).await;
    let is_paused = || running.supervisor.states().iter().all(|(_, state)| matches!(state, PauseState::Paused(_)));
    assert!(until(SOON, async || is_paused()).await, "the sink refuses us");
    world.rule(rules_for("team", "b"));
    change(&running, vec![renewed(&world, &team)]).await;
    assert!(is_paused(), "a reload is no repair");
    publish(&world, 1..2).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(team.calls(), 1, "a paused sink is called");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_in_the_middle_of_a_change_ends_all() {
    let team = Arc::new(Scripted::new("team", chat(), |_, _| Fault::Slow(Duration::from_millis(700))));
    let world = World::new(2, settings(16, 6), vec![team.clone()], rules_for("team", "a")).await;
    let running = world.start().await;
    publish(&world, 0..4).await;
    assert!(until(SOON, async || team.calls() > 0).await, "the first call");
    change(&running, vec![renewed(&world, &team)]).await;
    change(&running, vec![renewed(&world, &team)]).await;
    running.stop().await;
    let calls = team.calls();
    let running = world.start().await;
    world.finished(LIMIT).await.expect("it ends");
    assert!(calls < 8, "{calls}");
    assert_each_once(&team, 0..4);
    running.stop().await;
}
