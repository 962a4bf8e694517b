//! One fault at a time, where the random campaign would have to be lucky.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ticketwire::clock::{Clock, Timestamp};
use ticketwire::deliver::{Jiras, OnUnknown, PauseState, Settings, paused_control};
use ticketwire::event::{LaneId, Position};
use ticketwire::jira::{Auth, Flavour, Jira};
use ticketwire::setting::{Secret, Span};
use ticketwire::sink::Sink;
use ticketwire::store::{ArchiveRow, DeadFilter, DeadSelection, DeliveryKey, Ended, ParkedRow, ParkedState, Progress, Write};
use tokio::time::Instant;

use super::scripted::{Fault, Scripted, chat, file};
use super::world::{LIMIT, World, acme, envelope, event_id, name, rules_for, settings, until};

const SOON: Duration = Duration::from_secs(20);

fn chat_sink(script: impl FnMut(&str, u32) -> Fault + Send + 'static) -> Arc<Scripted> {
    Arc::new(Scripted::new("team", chat(), script))
}

/// Whether the first event has failed twice, and waits as long as it should after that.
async fn waits_after_two_failures(world: &World) -> bool {
    let rows = world.store.parked_of_events(&[event_id(1)]).await.expect("it can be read");
    rows.iter().any(|row| row.attempts == 2 && row.not_before.since(row.last_at) >= Duration::from_secs(7))
}

/// Faults for the first calls, then none.
fn first(mut faults: Vec<Fault>) -> impl FnMut(&str, u32) -> Fault {
    move |_, _| if faults.is_empty() { Fault::None } else { faults.remove(0) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_behind_a_failure_does_not_shorten_its_wait() {
    let sink = chat_sink(first(vec![Fault::Failed, Fault::Failed]));
    let world = World::new(1, settings(16, 6), vec![sink.clone()], rules_for("team", "a")).await;
    let running = world.start().await;
    for number in 1..=4 {
        world.publish(envelope(number, 1, "a")).await;
    }
    assert!(until(SOON, async || waits_after_two_failures(&world).await).await, "the second try: {:?}", sink.seen().calls);
    world.publish(envelope(5, 2, "a")).await;
    assert!(until(SOON, async || sink.taken("#a") == [5]).await, "the lane goes on: {:?}", sink.seen().calls);
    let calls = sink.calls_of(1);
    let waited = calls[1].at - calls[0].at;
    assert!(waited >= Duration::from_millis(700), "the second try came after {waited:?}");
    assert_eq!((calls.len(), sink.calls()), (2, 3), "the third try comes ten seconds after the second: {:?}", sink.seen().calls);
    assert!(waits_after_two_failures(&world).await, "its time was changed");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_process_parked_before_it_let_go_is_not_overtaken() {
    let sink = chat_sink(|_, _| Fault::None);
    let world = World::new(1, settings(16, 6), vec![sink.clone()], rules_for("team", "a")).await;
    let running = world.start().await;
    // Its lanes are taken, and nothing waited; now the other parks its last.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let (parked, now) = (Arc::new(envelope(1, 1, "a")), Clock::system().now());
    let row = ParkedRow {
        id: ParkedRow::new_id(),
        key: DeliveryKey { sink: name("team"), event_id: event_id(1), target: "#a".into(), generation: 0 },
        rule: Some("to a".into()),
        lane: LaneId(0),
        position: Position(0),
        partition_key: parked.event.partition_key.clone(),
        state: ParkedState::Waiting,
        not_before: now.plus(Duration::from_secs(1)),
        attempts: 0,
        first_at: now,
        last_at: now,
        reason: "the service stopped".into(),
    };
    let archive = vec![ArchiveRow { envelope: parked, lane: LaneId(0), position: Position(0) }];
    world.store.write(Write { archive, park: vec![row], ..Write::default() }).await.expect("written");
    world.publish(envelope(2, 1, "a")).await;
    assert!(until(SOON, async || sink.taken("#a").len() == 2).await, "{:?}", sink.seen().calls);
    assert_eq!(sink.taken("#a"), [1, 2]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_does_not_call_a_failure_earlier() {
    // Issue 1 fails twice and waits ten seconds; then issue 2 meets a limit of a moment.
    let sink = chat_sink({
        let mut failures = 0;
        let mut limited = false;
        move |_, number| {
            if number == 1 && failures < 2 {
                failures += 1;
                return Fault::Failed;
            }
            if number == 2 && !std::mem::replace(&mut limited, true) {
                return Fault::Limited(Some(Duration::from_millis(50)));
            }
            Fault::None
        }
    });
    let world = World::new(1, settings(16, 6), vec![sink.clone()], rules_for("team", "a")).await;
    let running = world.start().await;
    world.publish(envelope(1, 1, "a")).await;
    assert!(until(SOON, async || waits_after_two_failures(&world).await).await, "{:?}", sink.seen().calls);
    world.publish(envelope(2, 2, "a")).await;
    assert!(until(SOON, async || sink.taken("#a") == [2]).await, "{:?}", sink.seen().calls);
    world.publish(envelope(3, 3, "a")).await;
    assert!(until(SOON, async || sink.taken("#a") == [2, 3]).await, "the lane goes on: {:?}", sink.seen().calls);
    assert_eq!(sink.calls_of(1).len(), 2, "{:?}", sink.seen().calls);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limited_target_waits_alone_and_then_drains_in_order() {
    let until_then = Instant::now() + Duration::from_secs(2);
    let sink = chat_sink(move |target, _| {
        let left = until_then.saturating_duration_since(Instant::now());
        if target == "#a" && !left.is_zero() { Fault::Limited(Some(left)) } else { Fault::None }
    });
    let world = World::new(2, settings(4, 6), vec![sink.clone()], rules_for("team", "ab")).await;
    let running = world.start().await;
    for number in 0..24 {
        world.publish(envelope(number, number % 3, if number % 2 == 0 { "ab" } else { "a" })).await;
    }
    assert!(until(SOON, async || sink.taken("#b").len() == 12).await);
    assert!(Instant::now() < until_then, "the other target waited too");
    assert!(sink.taken("#a").is_empty());
    world.finished(SOON).await.expect("it drains");
    assert_eq!(sink.seen().wrong, Vec::<String>::new());
    let taken = sink.taken("#a");
    assert_eq!(taken.len(), 24);
    for issue in 0..3 {
        assert!(taken.iter().filter(|number| **number % 3 == issue).is_sorted(), "{taken:?}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_is_left_alone_from_the_answer_on_and_not_from_the_end_of_the_window() {
    // Issue 1 is slow at #b before it comes to #a, which meanwhile asked issue 2 for patience.
    let sink = chat_sink({
        let mut limited = false;
        move |target, number| match (target, number) {
            ("#a", 2) if !std::mem::replace(&mut limited, true) => Fault::Limited(Some(Duration::from_secs(2))),
            ("#b", 1) => Fault::Slow(Duration::from_millis(800)),
            _ => Fault::None,
        }
    });
    let mut rules = rules_for("team", "ab");
    rules.reverse();
    let world = World::new(1, settings(16, 6), vec![sink.clone()], rules).await;
    world.store.set_control(&paused_control(&name("team")), Some("for the test"), Clock::system().now()).await.expect("it is written");
    let running = world.start().await;
    world.publish(envelope(1, 1, "ab")).await;
    world.publish(envelope(2, 2, "a")).await;
    assert!(until(SOON, async || world.unfinished().await == (0, 3)).await);
    world.store.set_control(&paused_control(&name("team")), None, Clock::system().now()).await.expect("it is written");
    world.finished(SOON).await.expect("all is delivered once the target takes it");
    assert_eq!((sink.taken("#b"), sink.taken("#a").len()), (vec![1], 2));
    assert_eq!(sink.seen().wrong, Vec::<String>::new(), "{:?}", sink.seen().calls);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_is_not_starved_by_what_comes() {
    let sink = chat_sink(first(vec![Fault::Limited(Some(Duration::from_millis(200)))]));
    let world = World::new(1, settings(4, 6), vec![sink.clone()], rules_for("team", "a")).await;
    let running = world.start().await;
    world.publish(envelope(0, 1, "a")).await;
    assert!(until(SOON, async || world.unfinished().await == (0, 1)).await);
    // A backlog that takes longer than the limit: new windows are always there.
    for number in 1..2_000 {
        world.publish(envelope(number, 2 + number % 5, "a")).await;
    }
    assert!(until(SOON, async || sink.taken("#a").contains(&0)).await);
    assert!(world.unfinished().await.0 > 0, "it had to wait until the backlog was gone");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_is_retried_although_new_windows_are_always_there() {
    let sink = chat_sink(first(vec![Fault::Refused]));
    let world = World::new(1, settings(4, 6), vec![sink.clone()], rules_for("team", "a")).await;
    let running = world.start().await;
    world.publish(envelope(0, 1, "a")).await;
    assert!(until(SOON, async || world.store.dead_letters(&DeadFilter::default(), None, 9).await.is_ok_and(|dead| dead.len() == 1)).await);
    for number in 1..2_000 {
        world.publish(envelope(number, 2 + number % 5, "a")).await;
    }
    assert_eq!(world.store.retry_dead(DeadSelection::Matching(DeadFilter::default()), Clock::system().now()).await, Ok(1));
    assert!(until(SOON, async || sink.taken("#a").contains(&0)).await);
    assert!(world.unfinished().await.0 > 0, "it had to wait until the backlog was gone");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_in_which_one_panics_keeps_its_order() {
    // Delivery 1 panics in company, and fails alone.
    let sink = Arc::new(Scripted::new("events", file(), {
        let mut tries = 0;
        move |_, number| {
            tries += u32::from(number == 1);
            match (number, tries) {
                (1, 1) => Fault::Panic,
                (1, 2) => Fault::Failed,
                _ => Fault::None,
            }
        }
    }));
    let world = World::new(1, settings(8, 6), vec![sink.clone()], Vec::new()).await;
    for number in 1..=4 {
        subscribe_then_publish(&world, number).await;
    }
    let running = world.start().await;
    world.finished(SOON).await.expect("it goes on");
    assert_eq!(sink.taken("events"), [1, 2, 3, 4]);
    running.stop().await;
}

/// So that several envelopes are there when the first window is looked at.
async fn subscribe_then_publish(world: &World, number: u32) {
    use ticketwire::queue::Queue;
    drop(world.queue.subscribe(&name("events")).await.expect("it is open"));
    world.publish(envelope(number, 1, "a")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_never_larger_than_the_sink_takes() {
    let sink = Arc::new(Scripted::new("events", file(), |_, _| Fault::None));
    let world = World::new(1, settings(64, 6), vec![sink.clone()], Vec::new()).await;
    for number in 0..50 {
        subscribe_then_publish(&world, number).await;
    }
    let running = world.start().await;
    world.finished(SOON).await.expect("it goes on");
    assert_eq!(sink.taken("events"), (0..50).collect::<Vec<_>>());
    assert!(sink.seen().largest <= file().batch, "{}", sink.seen().largest);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn careful_mode_buries_nothing_that_only_waits() {
    // A sink that may be repeated, one at a time.
    let mut traits = file();
    traits.batch = 1;
    let limit = || Fault::Limited(Some(Duration::from_millis(30)));
    let sink = Arc::new(Scripted::new("events", traits, first(vec![limit(), limit(), limit(), limit(), limit()])));
    let world = World::new(1, settings(8, 6), vec![sink.clone()], Vec::new()).await;
    world.store.set_control("process/campaign/unclean_starts", Some("5"), Clock::system().now()).await.expect("it is written");
    let running = world.start().await;
    world.publish(envelope(1, 1, "a")).await;
    world.finished(SOON).await.expect("it goes on");
    assert_eq!(sink.taken("events"), [1], "{:?}", world.store.dead_letters(&DeadFilter::default(), None, 9).await);
    running.stop().await;
}

/// Somebody sets the system's clock while a delivery waits: it neither comes early nor waits for that time to come again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_neither_hurries_nor_delays_who_waits() {
    const HOUR_MS: i64 = 3_600_000;
    for jump in [-30 * 24 * HOUR_MS, -HOUR_MS, HOUR_MS, 30 * 24 * HOUR_MS] {
        let sink = chat_sink(first(vec![Fault::Limited(Some(Duration::from_millis(900)))]));
        let mut world = World::new(1, settings(16, 2), vec![sink.clone()], rules_for("team", "a")).await;
        let now = Clock::system().now();
        world.clock = Clock::at(now);
        let running = world.start().await;
        let begun = Instant::now();
        world.publish(envelope(1, 1, "a")).await;
        assert!(until(SOON, async || world.unfinished().await.1 == 1).await, "{jump}: it waits");
        world.clock.set(Timestamp::from_ms(now.ms() + jump));
        world.publish(envelope(2, 1, "a")).await;
        assert!(until(SOON, async || sink.taken("#a") == [1, 2]).await, "{jump}: {:?}", sink.seen().calls);
        assert!(begun.elapsed() >= Duration::from_millis(900), "{jump}: it came after {:?}", begun.elapsed());
        world.finished(SOON).await.expect("nothing is left");
        assert_eq!(sink.seen().wrong, Vec::<String>::new(), "{jump}");
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn care_ends_when_what_was_in_hand_went_well() {
    let sink = Arc::new(Scripted::new("events", file(), |_, _| Fault::None));
    let world = World::new(4, settings(8, 6), vec![sink.clone()], Vec::new()).await;
    let unclean = async || world.store.control("process/campaign/unclean_starts").await.expect("it can be read");
    world.store.set_control("process/campaign/unclean_starts", Some("2"), Clock::system().now()).await.expect("it is written");
    // A start that finds nothing to do counts neither way.
    world.start().await.crash();
    assert_eq!(unclean().await.as_deref(), Some("2"));
    for number in 0..600 {
        world.publish(envelope(number, number % 40, "a")).await;
    }
    let running = world.start().await;
    world.finished(LIMIT).await.expect("it goes on");
    assert_eq!(sink.taken("events").len(), 600);
    assert!(sink.seen().largest > 1, "one at a time to the end");
    assert!(until(SOON, async || unclean().await.is_none()).await);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_sink_gets_nothing_and_then_all_in_order() {
    let revoked = Arc::new(AtomicBool::new(true));
    let asked = revoked.clone();
    let sink = chat_sink(move |_, _| if asked.load(Ordering::SeqCst) { Fault::Revoked } else { Fault::None });
    let other = Arc::new(Scripted::new("events", file(), |_, _| Fault::None));
    let world = World::new(2, settings(4, 6), vec![sink.clone(), other.clone()], rules_for("team", "a")).await;
    let running = world.start().await;
    world.publish(envelope(0, 1, "a")).await;
    let paused = || running.supervisor.states().iter().any(|(of, state)| of == sink.name() && matches!(state, PauseState::Paused(_)));
    assert!(until(SOON, async || paused()).await);
    let before = sink.calls();
    for number in 1..40 {
        world.publish(envelope(number, number % 3, "a")).await;
    }
    assert!(until(SOON, async || world.unfinished().await == (0, 40)).await, "{:?}", world.unfinished().await);
    assert_eq!((sink.calls(), other.taken("events").len()), (before, 40));
    revoked.store(false, Ordering::SeqCst);
    world.store.set_control(&paused_control(sink.name()), None, Clock::system().now()).await.expect("it is written");
    world.finished(LIMIT).await.expect("it drains");
    let taken = sink.taken("#a");
    assert_eq!(taken.len(), 40);
    for issue in 0..3 {
        assert!(taken.iter().filter(|number| **number > 0 && **number % 3 == issue).is_sorted(), "{taken:?}");
    }
    assert!(world.store.dead_letters(&DeadFilter::default(), None, 9).await.is_ok_and(|dead| dead.is_empty()));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_moment_without_an_answer_costs_a_moment() {
    // Sixteen issues at once meet one short silence.
    let silent = Instant::now() + Duration::from_millis(400);
    let sink = chat_sink(move |_, _| if Instant::now() < silent { Fault::Down } else { Fault::None });
    let mut settings = settings(16, 6);
    settings.hold_in_lane = Span::seconds(30);
    let world = World::new(1, settings, vec![sink.clone()], rules_for("team", "a")).await;
    let running = world.start().await;
    for number in 0..16 {
        world.publish(envelope(number, number, "a")).await;
    }
    world.finished(SOON).await.expect("it goes on");
    let late = silent.elapsed();
    assert!(late < Duration::from_secs(3), "everything came {late:?} after the sink was back");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_overtakes_an_event_that_cannot_be_decided_yet() {
    let sink = chat_sink(|_, _| Fault::None);
    let mut world = World::new(1, settings(16, 6), vec![sink.clone()], rules_for("team", "a")).await;
    // Nobody listens on the port for discarded bytes.
    let auth = Auth::Basic { username: "fred".into(), password: Secret::new("not a password") };
    let url = "http://127.0.0.1:9".parse().expect("it is well formed");
    let jira = Jira::new(acme(), url, auth, Some(Flavour::Datacenter), ticketwire::render::to_markdown).expect("a client");
    world.jiras = Arc::new(Jiras::from([(acme(), Arc::new(jira))]));
    let running = world.start().await;
    let mut reduced = envelope(1, 1, "a");
    if let Some(issue) = reduced.event.data.issue.as_mut() {
        (issue.partial, issue.summary) = (true, None);
    }
    world.publish(reduced).await;
    for (number, issue) in [(2, 1), (3, 2), (4, 1)] {
        world.publish(envelope(number, issue, "a")).await;
    }
    assert!(until(SOON, async || world.unfinished().await == (0, 3)).await, "{:?}", world.unfinished().await);
    world.publish(envelope(5, 2, "a")).await;
    assert!(until(SOON, async || sink.taken("#a") == [3, 5]).await, "the lane goes on: {:?}", sink.seen().calls);
    assert!(until(SOON, async || world.unfinished().await == (0, 3)).await, "{:?}", world.unfinished().await);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_folded_ends_together_also_over_a_crash() {
    // The first message is taken, and its answer never comes.
    let sink = chat_sink(first(vec![Fault::Slow(Duration::from_secs(60))]));
    let mut rules = rules_for("team", "ab");
    rules.iter_mut().for_each(|(_, rule)| rule.send[0].settle = Some(Span(Duration::from_millis(300))));
    let world = World::new(1, settings(16, 6), vec![sink.clone()], rules).await;
    let running = world.start().await;
    for number in 1..=3 {
        world.publish(envelope(number, 1, "a")).await;
    }
    world.publish(envelope(4, 2, "b")).await;
    assert!(until(SOON, async || sink.taken("#a") == [1] && sink.taken("#b") == [4]).await, "{:?}", sink.seen().calls);
    running.crash();
    let running = world.start().await;
    world.finished(SOON).await.expect("all ends");
    assert_eq!(sink.taken("#a"), [1, 1], "one message again, not three");
    assert_eq!(sink.taken("#b"), [4]);
    let ids = [1, 2, 3].map(event_id);
    let rows = world.store.journal(&name("team"), &ids.iter().collect::<Vec<_>>()).await.expect("the journal");
    assert!(rows.iter().all(|row| row.progress == Progress::Ended(Ended::Delivered)), "{rows:?}");
    let folded = format!("folded into {}", ids[0]);
    let reasons: Vec<Option<&str>> = rows.iter().map(|row| row.reason.as_deref()).collect();
    assert_eq!(reasons[1..], [Some(folded.as_str()), Some(folded.as_str())]);
    assert!(reasons[0].is_some_and(|reason| reason.starts_with("repeated")), "{reasons:?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_had_no_answer_is_repeated_once_and_never_more() {
    let outage = || {
        let silent = Instant::now() + Duration::from_millis(900);
        let mut first = true;
        move |_: &str, _: u32| match std::mem::take(&mut first) {
            false if Instant::now() < silent => Fault::Down,
            _ => Fault::Unanswered,
        }
    };
    let run = async |sink: Arc<Scripted>, on_unknown: OnUnknown| {
        let world = World::new(1, Settings { on_unknown, ..settings(16, 6) }, vec![sink.clone()], rules_for("team", "a")).await;
        let running = world.start().await;
        world.publish(envelope(1, 1, "a")).await;
        world.finished(SOON).await.expect("it ends");
        running.stop().await;
        let rows = world.store.journal(&name("team"), &[&event_id(1)]).await.expect("the journal");
        let [row] = &rows[..] else { panic!("{rows:?}") };
        (sink.taken("#a").len(), row.progress, row.reason.clone().unwrap_or_default())
    };
    let (taken, progress, remark) = run(chat_sink(first(vec![Fault::Unanswered])), OnUnknown::Repeat).await;
    assert_eq!((taken, progress), (2, Progress::Ended(Ended::Delivered)));
    assert!(remark.starts_with("repeated"), "{remark}");
    let (taken, progress, reason) = run(chat_sink(|_, _| Fault::Unanswered), OnUnknown::Repeat).await;
    assert_eq!((taken, progress), (2, Progress::Ended(Ended::Dead)), "{reason}");
    assert!(reason.starts_with("unknown"), "{reason}");
    let (taken, progress, reason) = run(chat_sink(outage()), OnUnknown::Repeat).await;
    assert_eq!((taken, progress), (2, Progress::Ended(Ended::Dead)), "an outage between the two: {reason}");
    let (taken, progress, reason) = run(chat_sink(|_, _| Fault::Unanswered), OnUnknown::Dead).await;
    assert_eq!((taken, progress), (1, Progress::Ended(Ended::Dead)), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_puts_nothing_in_doubt_twice() {
    let sink = chat_sink(first(vec![Fault::Unanswered, Fault::None]));
    sink.silence_checks(3);
    let world = World::new(1, settings(16, 6), vec![sink.clone()], rules_for("team", "a")).await;
    let running = world.start().await;
    world.publish(envelope(1, 1, "a")).await;
    world.publish(envelope(2, 1, "a")).await;
    world.finished(SOON).await.expect("it ends");
    running.stop().await;
    assert_eq!(sink.silent_checks(), 0, "it was asked until it answered");
    assert_eq!(sink.taken("#a"), [1, 1, 2], "nothing was sent before that");
    assert!(world.store.dead_letters(&DeadFilter::default(), None, 9).await.expect("they can be read").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_rule_that_is_gone_is_a_dead_letter_until_it_is_back() {
    let sink = chat_sink(first(vec![Fault::Limited(Some(Duration::from_millis(200)))]));
    let mut world = World::new(1, settings(16, 6), vec![sink.clone()], rules_for("team", "a")).await;
    let running = world.start().await;
    world.publish(envelope(1, 1, "a")).await;
    assert!(until(SOON, async || world.unfinished().await == (0, 1)).await, "it waits");
    running.stop().await;
    world.rule(rules_for("team", "b"));
    let running = world.start().await;
    world.finished(SOON).await.expect("it ends");
    running.stop().await;
    let dead = world.store.dead_letters(&DeadFilter::default(), None, 9).await.expect("they can be read");
    let reasons: Vec<&str> = dead.iter().map(|row| row.reason.as_str()).collect();
    assert_eq!(reasons, ["its rule is no longer in the configuration"]);
    let rows = world.store.journal(&name("team"), &[&event_id(1)]).await.expect("the journal");
    assert_eq!(rows.iter().map(|row| row.progress).collect::<Vec<_>>(), [Progress::Ended(Ended::Dead)]);
    world.rule(rules_for("team", "a"));
    let running = world.start().await;
    assert_eq!(world.store.retry_dead(DeadSelection::Matching(DeadFilter::default()), Clock::system().now()).await, Ok(1));
    world.finished(SOON).await.expect("it ends");
    assert_eq!(sink.taken("#a"), [1]);
    running.stop().await;
}
