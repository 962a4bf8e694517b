//! The wire is cut, stalls, or the broker goes: nothing that was accepted is lost, and everything comes back by itself.

use std::process::Command;

use lapin::options::QueueDeleteOptions;
use ticketwire::event::LaneCount;
use ticketwire::queue::amqp::Settings;
use ticketwire::queue::{QueueError, Seen, Share};
use ticketwire::setting::{Secret, SecretSource, Span};
use tokio::sync::watch;
use tokio::time::Instant;

use super::super::broker::VARIABLE;
use super::super::stage::sized;
use super::*;
use crate::stage::Wire;

/// Runs `rabbitmqctl` with its arguments, for the broker of the tests.
const CONTROL: &str = "TICKETWIRE_TEST_RABBITMQCTL";
const ISSUES: u32 = 8;

/// What a sink sees while everything breaks: takes lanes again and again, and notes what it passed.
async fn follow(queue: Arc<Amqp>, seen: Arc<std::sync::Mutex<Vec<Seen>>>) {
    let mut subscription = queue.subscribe(&name("docs")).await.expect("subscribed");
    let mut readers = tokio::task::JoinSet::new();
    loop {
        match subscription.next_lane().await {
            Ok(mut lane) => {
                let seen = Arc::clone(&seen);
                readers.spawn(async move {
                    while let Ok(window) = lane.window(16).await {
                        let Some(last) = window.last().map(|seen| seen.position) else { return };
                        seen.lock().expect("no panic").extend(window);
                        if lane.advance(last).await.is_err() {
                            return;
                        }
                    }
                });
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Publishes without end from several senders, each for one issue and in order; the numbers of what was accepted.
async fn load(queue: &Arc<Amqp>, stop: &watch::Receiver<bool>) -> Vec<Vec<u32>> {
    let mut senders = tokio::task::JoinSet::new();
    for issue in 0..ISSUES {
        let (queue, stop) = (Arc::clone(queue), stop.clone());
        senders.spawn(async move {
            let mut accepted = Vec::new();
            for number in 0.. {
                let sent = event(issue, number);
                while queue.publish(vec![Arc::clone(&sent)]).await.is_err() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                accepted.push(number);
                if *stop.borrow() {
                    break;
                }
            }
            (issue, accepted)
        });
    }
    let mut accepted: Vec<_> = senders.join_all().await;
    accepted.sort();
    accepted.into_iter().map(|(_, numbers)| numbers).collect()
}

/// Everything accepted was seen, and what was seen for the first time came in order.
fn judge(accepted: &[Vec<u32>], seen: &[Seen]) {
    for (issue, accepted) in (0_u32..).zip(accepted) {
        let subject = format!("OPS-{issue}");
        let numbers = seen.iter().filter(|seen| seen.envelope.event.subject == subject).map(|seen| {
            let id = seen.envelope.event.id.as_str();
            id.rsplit(':').next().and_then(|number| number.parse::<u32>().ok()).expect("a number")
        });
        let mut known = BTreeSet::new();
        let first: Vec<u32> = numbers.filter(|number| known.insert(*number)).collect();
        assert!(first.is_sorted(), "{subject}: {first:?}");
        assert!(accepted.iter().all(|number| known.contains(number)), "{subject}: lost {:?}", accepted.iter().find(|n| !known.contains(n)));
    }
}

/// Breaks something under load, again and again, then lets everything come to rest.
async fn under_load(queue: Amqp, mut break_it: impl AsyncFnMut()) {
    let (queue, seen) = (Arc::new(queue), Arc::default());
    let mut following = tokio::task::JoinSet::new();
    drop(queue.subscribe(&name("docs")).await.expect("subscribed"));
    following.spawn(follow(Arc::clone(&queue), Arc::clone(&seen)));
    let (stop, stopped) = watch::channel(false);
    let breaking = async {
        break_it().await;
        stop.send_replace(true);
    };
    let (accepted, ()) = tokio::join!(load(&queue, &stopped), breaking);
    let total: usize = accepted.iter().map(Vec::len).sum();
    assert!(total > 200, "only {total} were accepted: that says nothing");
    until("everything was passed", async || {
        queue.backlog().await.is_ok_and(|rows| !rows.is_empty() && rows.iter().all(|row| row.waiting == 0))
    })
    .await;
    following.shutdown().await;
    let seen = seen.lock().expect("no panic");
    judge(&accepted, &seen);
    println!("measured: {total} accepted, {} shown", seen.len());
}

fn quick() -> Settings {
    Settings { heartbeat: Span::seconds(1), connect_timeout: Span::seconds(2), ..Settings::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_accepted_is_lost_when_the_wire_is_cut() {
    let Some(broker) = Broker::found().await else { return };
    let wire = Wire::to(&broker.address()).await;
    let by_wire = broker.by(wire.address());
    let queue = by_wire.open_with(&quick(), lane_count(), watch::channel(Share::All).1).await.expect("opened");
    under_load(queue, async || {
        for round in 0..6_u64 {
            tokio::time::sleep(Duration::from_millis(300 + 170 * round)).await;
            match round {
                2 => {
                    wire.shut();
                    tokio::time::sleep(Duration::from_secs(2)).await;
                    wire.heal();
                }
                4 => wire.slow(Duration::from_millis(20)),
                _ => wire.cut(),
            }
        }
        wire.heal();
        tokio::time::sleep(Duration::from_secs(1)).await;
    })
    .await;
}

/// Whoever works on a window of a connection that is gone must not pass what the next owner is shown in its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_that_ended_is_opened_again_only_when_its_owner_let_go() {
    let Some(broker) = Broker::found().await else { return };
    let wire = Wire::to(&broker.address()).await;
    let queue = broker.by(wire.address()).open_with(&quick(), LaneCount::new(1).expect("one"), watch::channel(Share::All).1).await;
    let (queue, sent) = (queue.expect("opened"), events(7, 0..20));
    let mut subscription = queue.subscribe(&name("docs")).await.expect("subscribed");
    publish(&queue, &sent).await;
    let mut lane = subscription.next_lane().await.expect("a lane");
    let in_hand = window_of(&mut lane, 16).await;
    wire.cut();
    wire.heal();
    let early = tokio::time::timeout(Duration::from_secs(3), subscription.next_lane()).await;
    assert!(early.is_err(), "two own one lane");
    assert_eq!(lane.advance(in_hand[15].position).await, Err(QueueError::Lost));
    drop(lane);
    let mut lane = loop {
        if let Ok(lane) = within(subscription.next_lane()).await {
            break lane;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(ids(&take(&mut lane, 20).await), ids_of(&sent), "what was in hand is shown again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_wire_is_noticed_and_healed() {
    let Some(broker) = Broker::found().await else { return };
    let wire = Wire::to(&broker.address()).await;
    let queue = broker.by(wire.address()).open_with(&quick(), lane_count(), watch::channel(Share::All).1).await.expect("opened");
    let sent = events(7, 0..3);
    let mut subscription = queue.subscribe(&name("docs")).await.expect("subscribed");
    publish(&queue, &sent[..1]).await;
    wire.stall();
    let begun = Instant::now();
    assert!(matches!(queue.publish(vec![Arc::clone(&sent[1])]).await, Err(PublishError::Unavailable(_))));
    assert!(matches!(queue.check().await, Err(QueueError::Unavailable(_))));
    // The sender is told before it loses its patience, which is ten seconds.
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    wire.heal();
    publish_at_last(&queue, &sent[2]).await;
    let mut found = BTreeSet::new();
    within(async {
        while !found.contains(sent[2].event.id.as_str()) {
            let Ok(mut lane) = subscription.next_lane().await else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            if lane.id() != lane_of(&sent[0]) {
                std::mem::forget(lane);
                continue;
            }
            while let Ok(window) = lane.window(16).await {
                found.extend(ids(&window));
                if found.contains(sent[2].event.id.as_str()) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    })
    .await;
    assert!(found.contains(sent[0].event.id.as_str()), "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_somebody_deletes_comes_back() {
    let Some(broker) = Broker::found().await else { return };
    let (queue, seen) = (Arc::new(broker.open().await.expect("opened")), Arc::default());
    let mut following = tokio::task::JoinSet::new();
    drop(queue.subscribe(&name("docs")).await.expect("subscribed"));
    following.spawn(follow(Arc::clone(&queue), Arc::clone(&seen)));
    let sent = events(7, 0..2);
    let has_seen = async |envelope: &Envelope| {
        let seen: std::sync::MutexGuard<'_, Vec<Seen>> = seen.lock().expect("no panic");
        seen.iter().any(|seen| seen.envelope.event.id == envelope.event.id)
    };
    publish(&queue, &sent[..1]).await;
    until("the first was shown", async || has_seen(&sent[0]).await).await;
    let stranger = broker.stranger().await;
    let channel = stranger.create_channel().await.expect("a channel");
    let ours = format!("{}.docs.{}", broker.name, lane_of(&sent[0]));
    channel.queue_delete(ours.into(), QueueDeleteOptions::default()).await.expect("deleted");
    publish_at_last(&queue, &sent[1]).await;
    until("the second was shown", async || has_seen(&sent[1]).await).await;
    following.shutdown().await;
}

#[tokio::test]
async fn who_is_not_let_in_hears_why_and_nothing_of_the_password() {
    let Some(broker) = Broker::found().await else { return };
    let wire = Wire::to(&broker.address()).await;
    let mut without = url::Url::parse(&broker.url).expect("a URL");
    without.set_password(None).and_then(|()| without.set_username("")).expect("a host");
    let wrong = Settings { username: Some("nobody".into()), password: Some(SecretSource::literal("hunter2")), ..quick() };
    let used = wrong.broker(without.as_str(), Some(Secret::new("hunter2"))).expect("good settings");
    let refused = Amqp::open(&used, &broker.name, lane_count(), watch::channel(Share::All).1).await.map(drop);
    let Err(QueueError::Unusable(why)) = refused else { panic!("{refused:?}") };
    assert!(why.contains("check user, password and virtual host") && !why.contains("hunter2"), "{why}");

    wire.shut();
    let begun = Instant::now();
    let by_wire = broker.by(wire.address());
    let refused = by_wire.open_with(&quick(), lane_count(), watch::channel(Share::All).1).await.map(drop);
    assert!(matches!(&refused, Err(QueueError::Unavailable(why)) if why.contains("cannot be reached")), "{refused:?}");
    wire.heal();
    wire.stall();
    let refused = by_wire.open_with(&quick(), lane_count(), watch::channel(Share::All).1).await.map(drop);
    assert!(matches!(&refused, Err(QueueError::Unavailable(why)) if why.contains("did not answer")), "{refused:?}");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

/// Where `ca.pem`, `client.pem` and `client.key` lie for the broker of the tests, which listens with TLS on the port of `TLS_PORT`.
const TLS_FILES: &str = "TICKETWIRE_TEST_AMQP_TLS";
const TLS_PORT: &str = "TICKETWIRE_TEST_AMQP_TLS_PORT";

#[tokio::test]
async fn tls_needs_a_trusted_authority_and_shows_our_certificate() {
    let Some(broker) = Broker::found().await else { return };
    let (Ok(files), Ok(port)) = (std::env::var(TLS_FILES), std::env::var(TLS_PORT)) else {
        println!("skipped: {TLS_FILES} and {TLS_PORT} do not say how to reach {VARIABLE} with TLS");
        return;
    };
    let file = |name: &str| Some(std::path::Path::new(&files).join(name));
    let port: u16 = port.parse().expect("a port");
    let opened = async |settings: &Settings, credentials: &str| {
        let url = format!("amqps://{credentials}localhost:{port}");
        let used = settings.broker(&url, None).expect("good settings");
        Amqp::open(&used, &broker.name, lane_count(), watch::channel(Share::All).1).await.map(drop)
    };
    let by_name = url::Url::parse(&broker.url).expect("a URL");
    let credentials = format!("{}:{}@", by_name.username(), by_name.password().unwrap_or_default());

    let refused = opened(&quick(), &credentials).await;
    assert!(matches!(&refused, Err(QueueError::Unavailable(why)) if why.contains("certificate")), "{refused:?}");
    let trusting = Settings { ca_file: file("ca.pem"), ..quick() };
    assert_eq!(opened(&trusting, &credentials).await, Ok(()));
    // The certificate is the whole of our name.
    let shown = Settings { client_certificate: file("client.pem"), client_key: file("client.key"), ..trusting.clone() };
    assert_eq!(opened(&shown, "").await, Ok(()));
    let missing = Settings { client_certificate: file("none.pem"), client_key: file("client.key"), ..trusting };
    assert!(matches!(opened(&missing, "").await, Err(QueueError::Unusable(why)) if why.contains("none.pem")));
}

/// False: there is no way to do it, and it was said.
async fn control(arguments: &'static [&'static str]) -> bool {
    let Ok(command) = std::env::var(CONTROL) else {
        println!("skipped: {CONTROL} does not say how to run rabbitmqctl for {VARIABLE}");
        return false;
    };
    let run = move || Command::new(command).args(arguments).output().expect("it runs");
    let output = within(tokio::task::spawn_blocking(run)).await.expect("no panic");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_accepted_is_lost_when_the_broker_stops_and_starts() {
    let Some(broker) = Broker::alone().await else { return };
    if !control(&["await_startup"]).await {
        return;
    }
    let queue = broker.open_with(&quick(), lane_count(), watch::channel(Share::All).1).await.expect("opened");
    under_load(queue, async || {
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            control(&["stop_app"]).await;
            control(&["start_app"]).await;
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_short_of_memory_is_not_available() {
    let Some(broker) = Broker::alone().await else { return };
    if !control(&["set_vm_memory_high_watermark", "0.00001"]).await {
        return;
    }
    let looked = tokio::time::timeout(Duration::from_secs(60), async {
        // Who only takes out is let in, so that there will be room.
        let queue = broker.open().await?;
        let first = queue.publish(events(7, 0..1)).await;
        let second = queue.publish(events(7, 0..1)).await;
        Ok::<_, QueueError>((first, second, queue.check().await))
    });
    let looked = looked.await;
    control(&["set_vm_memory_high_watermark", "0.4"]).await;
    let (first, second, checked) = looked.expect("in time").expect("opened");
    assert!(matches!(first, Err(PublishError::Unavailable(_))), "{first:?}");
    assert!(matches!(&second, Err(PublishError::Unavailable(why)) if why.contains("short of memory")), "{second:?}");
    assert!(matches!(&checked, Err(QueueError::Unavailable(why)) if why.contains("short of memory")), "{checked:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_takes_only_shorter_messages_is_obeyed() {
    let Some(broker) = Broker::alone().await else { return };
    if !control(&["eval", "application:set_env(rabbit, max_message_size, 2097152)."]).await {
        return;
    }
    let looked = tokio::time::timeout(Duration::from_secs(60), async {
        let queue = broker.open().await?;
        let sent = sized(7, 0, 3 << 20);
        let mut lane = lane(&queue, "docs", &sent).await;
        let first = queue.publish(vec![Arc::clone(&sent)]).await;
        publish_at_last(&queue, &sent).await;
        Ok::<_, QueueError>((first, take(&mut lane, 1).await))
    });
    let looked = looked.await;
    control(&["eval", "application:set_env(rabbit, max_message_size, 134217728)."]).await;
    let (first, seen) = looked.expect("in time").expect("opened");
    assert!(matches!(&first, Err(PublishError::Unavailable(why)) if why.contains("max size")), "{first:?}");
    assert_eq!((seen[0].envelope.event.id.as_str(), seen[0].envelope.raw.len()), ("acme:issue:7:change:0", 0));
}
