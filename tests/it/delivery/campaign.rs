//! Random events, faults, stops and crashes: whatever happens, nothing is lost, doubled or overtaken. `TICKETWIRE_CAMPAIGN=long` runs thousands.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use ticketwire::clock::Clock;
use ticketwire::deliver::{PauseState, paused_control};
use ticketwire::store::{Ended, ParkedState, Progress};

use super::scripted::{Fault, Scripted, chat, file};
use super::world::{LIMIT, Running, World, by_place, envelope, event_id, number_of, rules_for, settings, until};

/// How a run is disturbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Disturbance {
    Nothing,
    Stops,
    Crashes,
}

#[derive(Debug, Default)]
struct Counts {
    seeds: u64,
    events: u64,
    tries: u64,
    parked: u64,
    dead: u64,
    crashes: u64,
    repeats: u64,
}

#[derive(Clone)]
struct Sent {
    number: u32,
    issue: u32,
    summary: String,
}

#[expect(clippy::print_stdout, reason = "figures are for whoever runs the tests")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_doubled_or_overtaken() {
    let long = std::env::var("TICKETWIRE_CAMPAIGN").is_ok_and(|value| value == "long");
    let first: u64 = std::env::var("TICKETWIRE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let seeds = if std::env::var("TICKETWIRE_SEED").is_ok() {
        1
    } else if long {
        3_000
    } else {
        36
    };
    let runs = stream::iter(first..first + seeds).map(|seed| async move { (seed, run(seed).await) }).buffer_unordered(12);
    let (mut total, mut wrong) = (Counts::default(), Vec::new());
    for (seed, run) in runs.collect::<Vec<_>>().await {
        match run {
            Ok(counts) => total.add(&counts),
            Err(why) => wrong.push(format!("seed {seed}: {why}")),
        }
    }
    println!("delivery campaign: {total:?}");
    assert!(wrong.is_empty(), "{} of {seeds} seeds went wrong (repeat one with TICKETWIRE_SEED):\n{}", wrong.len(), wrong.join("\n"));
    assert!(seeds == 1 || (total.parked > 0 && total.dead > 0 && total.crashes > 0), "the campaign tried too little: {total:?}");
}

async fn run(seed: u64) -> Result<Counts, String> {
    let mut random = StdRng::seed_from_u64(seed);
    let disturbance = [Disturbance::Nothing, Disturbance::Stops, Disturbance::Crashes][random.random_range(0..3)];
    let sinks = vec![
        Arc::new(Scripted::new("team", chat(), script(random.random(), 12, true))),
        Arc::new(Scripted::new("events", file(), script(random.random(), 5, false))),
    ];
    let (lanes, window) = (random.random_range(1..=4), random.random_range(1..=16));
    let world = World::new(lanes, settings(window, 2), sinks, rules_for("team", "abc")).await;
    let mut running = world.start().await;
    let mut sent: Vec<Sent> = Vec::new();
    let mut counts = Counts { seeds: 1, ..Counts::default() };
    for burst in 0..random.random_range(2..6) {
        for _ in 0..random.random_range(1..25) {
            let again = !sent.is_empty() && random.random_bool(0.1);
            let one = if again { sent[random.random_range(0..sent.len())].clone() } else { new_event(sent.len(), &mut random) };
            world.publish(envelope(one.number, one.issue, &one.summary)).await;
            if !again {
                sent.push(one);
            }
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..200))).await;
        if burst > 0 && random.random_bool(0.6) {
            running = disturb(&world, running, disturbance, &mut counts).await;
        }
    }
    let result = tend(&world, &running).await;
    running.stop().await;
    result?;
    check(&world, &sent, disturbance, window * usize::from(lanes), &mut counts).await?;
    Ok(counts)
}

fn new_event(count: usize, random: &mut StdRng) -> Sent {
    let summary = "abc".chars().filter(|_| random.random_bool(0.6)).collect();
    Sent { number: u32::try_from(count).expect("few"), issue: random.random_range(1..8), summary }
}

/// So many faults of all kinds, then none.
fn script(seed: u64, mut faults: u32, rich: bool) -> impl FnMut(&str, u32) -> Fault {
    let mut random = StdRng::seed_from_u64(seed);
    let mut odd: BTreeSet<u32> = BTreeSet::new();
    move |_, number| {
        if odd.contains(&number) && random.random_bool(0.5) {
            return Fault::Failed;
        }
        if faults == 0 || random.random_bool(0.6) {
            let slow = random.random_bool(0.2);
            return if slow { Fault::Slow(Duration::from_millis(random.random_range(1..60))) } else { Fault::None };
        }
        faults -= 1;
        match random.random_range(0..if rich { 12 } else { 5 }) {
            0 | 1 => Fault::Down,
            2 => Fault::Revoked,
            3 => Fault::Panic,
            4 => Fault::Slow(Duration::from_millis(80)),
            5 => Fault::Limited(None),
            6 | 7 => Fault::Limited(Some(Duration::from_millis(random.random_range(1..900)))),
            8 | 9 => Fault::Refused,
            _ => {
                odd.insert(number);
                Fault::Failed
            }
        }
    }
}

async fn disturb(world: &World, running: Running, disturbance: Disturbance, counts: &mut Counts) -> Running {
    match disturbance {
        Disturbance::Nothing => running,
        Disturbance::Stops => {
            running.stop().await;
            world.sinks.iter().for_each(|sink| sink.forget_limits());
            world.start().await
        }
        Disturbance::Crashes => {
            counts.crashes += 1;
            running.crash();
            // A thread that is in the middle of something may still reach a sink, and the next process would not know of a limit it met.
            let late = world.sinks.iter().map(|sink| sink.late()).max().unwrap_or_default();
            tokio::time::sleep(Duration::from_millis(250) + late).await;
            world.sinks.iter().for_each(|sink| sink.forget_limits());
            world.start().await
        }
    }
}

/// What was on its way when the sink refused may still arrive, on a busy machine after a while.
async fn falls_silent(sink: &Scripted) -> bool {
    for _ in 0..10 {
        let before = sink.calls();
        tokio::time::sleep(Duration::from_millis(700)).await;
        if sink.calls() == before {
            return true;
        }
    }
    false
}

/// Resumes what is paused, after it was seen that nothing goes there, until all is done.
async fn tend(world: &World, running: &Running) -> Result<(), String> {
    let tending = async {
        loop {
            for (name, state) in &running.supervisor.states() {
                let PauseState::Paused(reason) = state else { continue };
                let sink = world.sinks.iter().find(|sink| *ticketwire::sink::Sink::name(&***sink) == *name).expect("one of ours");
                if !falls_silent(sink).await {
                    return Err(format!("{name} is called on and on, though it is paused: {reason}"));
                }
                world.store.set_control(&paused_control(name), None, Clock::system().now()).await.expect("it is written");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            if world.unfinished().await == (0, 0) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    match tokio::time::timeout(LIMIT, tending).await {
        Ok(result) => result,
        Err(_) => Err(format!("not finished: {:?} in lanes and parked", world.unfinished().await)),
    }
}

async fn check(world: &World, sent: &[Sent], disturbance: Disturbance, at_once: usize, counts: &mut Counts) -> Result<(), String> {
    let ids: Vec<_> = sent.iter().map(|one| event_id(one.number)).collect();
    let journal = world.store.journal_of_events(&ids).await.expect("it can be read");
    let dead = world.store.parked_of_events(&ids).await.expect("it can be read");
    counts.events += sent.len() as u64;
    counts.dead += dead.len() as u64;
    for sink in &world.sinks {
        let name = ticketwire::sink::Sink::name(&**sink);
        let of_team = name.as_str() == "team";
        let mut expected = BTreeSet::new();
        for one in sent {
            let targets: Vec<String> =
                if of_team { one.summary.chars().map(|letter| format!("#{letter}")).collect() } else { vec![name.to_string()] };
            expected.extend(targets.into_iter().map(|target| (target, one.number)));
        }
        let seen = sink.seen();
        counts.tries += seen.calls.len() as u64;
        counts.parked += seen.calls.iter().filter(|call| matches!(call.fault, Fault::Limited(_) | Fault::Failed)).count() as u64;
        if let Some(wrong) = seen.wrong.first() {
            return Err(format!("{name} with {disturbance:?}: {wrong} ({} in all)", seen.wrong.len()));
        }
        let mut times: BTreeMap<(String, u32), usize> = BTreeMap::new();
        for success in &seen.successes {
            *times.entry((success.target.clone(), success.number)).or_default() += 1;
        }
        for place in &expected {
            let rows: Vec<_> = journal
                .iter()
                .filter(|row| row.key.sink == *name && *row.key.target == *place.0 && number_of(&row.key.event_id) == place.1)
                .collect();
            let buried =
                dead.iter().filter(|row| row.key.sink == *name && *row.key.target == *place.0 && number_of(&row.key.event_id) == place.1);
            let buried: Vec<_> = buried.map(|row| row.state).collect();
            let successes = times.get(place).copied().unwrap_or_default();
            let fits = match rows.as_slice() {
                [row] if row.progress == Progress::Ended(Ended::Delivered) => successes > 0 && buried.is_empty(),
                [row] if row.progress == Progress::Ended(Ended::Dead) => {
                    (successes == 0 || disturbance == Disturbance::Crashes) && buried == [ParkedState::Dead]
                }
                _ => false,
            };
            if !fits {
                return Err(format!("{name}: {place:?} was taken {successes} times, and the journal says {rows:?}, buried {buried:?}"));
            }
        }
        if let Some(more) = times.keys().find(|place| !expected.contains(place)) {
            return Err(format!("{name}: {more:?} was never meant for it"));
        }
        let repeats: usize = times.values().map(|count| count - 1).sum();
        counts.repeats += repeats as u64;
        let crashes = usize::try_from(counts.crashes).expect("few");
        if repeats > crashes * at_once * 3 {
            return Err(format!("{name}: {repeats} repeats with {crashes} crashes: {:?}", times.iter().find(|(_, count)| **count > 1)));
        }
        // A crash may forget that one was dead already: it is tried again, behind those that went on without it.
        let dies = |number: u32| {
            let deadly = |fault: &Fault| matches!(fault, Fault::Refused | Fault::Panic | Fault::Failed);
            crashes > 0 && seen.calls.iter().any(|call| call.number == number && deadly(&call.fault))
        };
        let lasting: Vec<_> = seen.successes.iter().filter(|success| !dies(success.number)).cloned().collect();
        in_order(&by_place(&lasting)).map_err(|why| format!("{name} with {disturbance:?}: {why}"))?;
    }
    Ok(())
}

/// Each place took what it took for the first time in the order in which it was sent.
fn in_order(places: &BTreeMap<(String, String), Vec<u32>>) -> Result<(), String> {
    for (place, numbers) in places {
        let mut known = BTreeSet::new();
        let firsts: Vec<u32> = numbers.iter().copied().filter(|number| known.insert(*number)).collect();
        if !firsts.is_sorted() {
            return Err(format!("{place:?} took {firsts:?}, which is not in order"));
        }
    }
    Ok(())
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.events += other.events;
        self.tries += other.tries;
        self.parked += other.parked;
        self.dead += other.dead;
        self.crashes += other.crashes;
        self.repeats += other.repeats;
    }
}

#[tokio::test]
async fn a_campaign_that_saw_a_wrong_order_would_say_so() {
    let wrong = BTreeMap::from([(("#a".to_owned(), "acme/issue/1".to_owned()), vec![1, 3, 1, 2])]);
    assert!(in_order(&wrong).is_err());
    assert!(until(Duration::from_millis(1), async || true).await);
}
