//! Several processes, which here are several clients.

use std::collections::BTreeMap;
use std::sync::Mutex;

use ticketwire::event::LaneId;
use ticketwire::queue::kafka::Settings;
use ticketwire::queue::{Queue, Seen};
use ticketwire::setting::Span;
use ticketwire::shutdown::Tasks;
use tokio::time::Instant;

use super::*;

const ISSUES: u32 = 8;
const EACH: u32 = 100;
const WINDOW: usize = 4;

/// What all processes together were shown, in the order in which it happened.
#[derive(Default)]
struct Shown {
    by_issue: Mutex<BTreeMap<String, Vec<String>>>,
    owners: Mutex<BTreeMap<LaneId, &'static str>>,
}

impl Shown {
    fn note(&self, lane: LaneId, process: &'static str, seen: &[Seen]) {
        let owner = self.owners.lock().expect("no panic").insert(lane, process);
        assert!(owner.is_none(), "{process} and {owner:?} work on {lane:?}");
        let mut by_issue = self.by_issue.lock().expect("no panic");
        for seen in seen {
            by_issue.entry(seen.envelope.event.subject.clone()).or_default().push(seen.envelope.event.id.to_string());
        }
    }

    fn done(&self, lane: LaneId) {
        self.owners.lock().expect("no panic").remove(&lane);
    }

    fn count(&self) -> usize {
        self.by_issue.lock().expect("no panic").values().map(|ids| without_repeats(ids).len()).sum()
    }
}

/// Works as deliveries do: window by window, and lets go of a lane that is taken back.
async fn work(process: &'static str, queue: Arc<Kafka>, shown: Arc<Shown>, tasks: Tasks) {
    let mut subscription = queue.subscribe(&name("docs")).await.expect("subscribed");
    while let Ok(mut lane) = subscription.next_lane().await {
        let shown = Arc::clone(&shown);
        tasks.spawn("lane", async move {
            while let Ok(seen) = lane.window(WINDOW).await {
                shown.note(lane.id(), process, &seen);
                // Somebody may take the lane in the middle of a window.
                tokio::time::sleep(Duration::from_millis(5)).await;
                shown.done(lane.id());
                if lane.advance(seen[seen.len() - 1].position).await.is_err() {
                    return;
                }
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_move_between_processes_and_nothing_is_skipped() {
    let Some(cluster) = Cluster::found() else { return };
    let (shown, tasks) = (Arc::new(Shown::default()), Tasks::new());
    let first = Arc::new(cluster.open().await.expect("opened"));
    drop(first.subscribe(&name("docs")).await.expect("subscribed"));
    let publisher = Arc::clone(&first);
    tasks.spawn("publishes", async move {
        for number in 0..EACH {
            for issue in 0..ISSUES {
                publish(&publisher, &[event(issue, number)]).await;
            }
        }
    });
    tasks.spawn("works", work("first", Arc::clone(&first), Arc::clone(&shown), tasks.clone()));
    let reached = async |share: f64| {
        let all = f64::from(ISSUES * EACH);
        within(async {
            while (shown.count() as f64) < share * all {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    };
    reached(0.1).await;
    let second = Arc::new(cluster.open().await.expect("opened"));
    tasks.spawn("works", work("second", Arc::clone(&second), Arc::clone(&shown), tasks.clone()));
    reached(0.4).await;
    let third = Arc::new(cluster.open().await.expect("opened"));
    tasks.spawn("works", work("third", Arc::clone(&third), Arc::clone(&shown), tasks.clone()));
    reached(0.6).await;
    second.close(Duration::from_secs(60)).await.expect("closed");
    reached(1.0).await;
    for queue in [&first, &third] {
        queue.close(Duration::from_secs(60)).await.expect("closed");
    }
    assert!(tasks.stop(Duration::from_secs(60)).await);
    let mut repeats = 0;
    for (subject, ids) in shown.by_issue.lock().expect("no panic").iter() {
        let issue = subject.strip_prefix("OPS-").and_then(|id| id.parse().ok()).expect("an issue");
        let once = without_repeats(ids);
        assert_eq!(once, ids_of(&events(issue, 0..EACH)), "{subject}");
        repeats += ids.len() - once.len();
    }
    // Three changes of the group, in each of which every lane's window may be shown again.
    let most = 3 * WINDOW * usize::from(lane_count().get());
    assert!(repeats <= most, "{repeats} repeats are more than {most}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_in_hand_can_be_passed_when_its_lane_is_taken_back() {
    let Some(cluster) = Cluster::found() else { return };
    let first = cluster.open().await.expect("opened");
    let mut held = lanes(&first, "docs").await;
    let issues: Vec<u32> = (0..40).collect();
    let sent: Vec<_> = issues.iter().flat_map(|issue| events(*issue, 0..2)).collect();
    publish(&first, &sent).await;
    let of = |lane: LaneId| sent.iter().filter(move |envelope| lane_of(envelope) == lane).cloned().collect::<Vec<_>>();
    let mut windows = BTreeMap::new();
    for lane in &mut held {
        windows.insert(lane.id(), window_of(lane, 3).await);
    }
    let second = cluster.open().await.expect("opened");
    let mut subscription = second.subscribe(&name("docs")).await.expect("subscribed");
    let taken: Vec<_> = held.iter().map(|lane| lane.taken()).collect();
    within(async {
        while taken.iter().filter(|taken| taken.is_cancelled()).count() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let (gone, kept): (Vec<_>, Vec<_>) = held.into_iter().partition(|lane| lane.taken().is_cancelled());
    assert_eq!((gone.len(), kept.len()), (2, 2), "two processes have half each");
    for mut lane in gone {
        assert!(lane.window(1).await.is_err());
        lane.advance(windows[&lane.id()][2].position).await.expect("what is in hand can be passed");
    }
    let mut moved = Vec::new();
    for _ in 0..2 {
        moved.push(within(subscription.next_lane()).await.expect("a lane"));
    }
    for lane in &mut moved {
        let rest = of(lane.id())[3..].to_vec();
        assert_eq!(ids(&take(lane, rest.len()).await), ids_of(&rest), "it goes on behind the window");
    }
    close(second).await;
    close(first).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_subscribe_at_once_miss_nothing() {
    let Some(cluster) = Cluster::found() else { return };
    let (first, second) = tokio::join!(cluster.open(), cluster.open());
    let (first, second) = (first.expect("opened"), second.expect("opened"));
    let docs = name("docs");
    let (one, two) = tokio::join!(first.subscribe(&docs), second.subscribe(&docs));
    drop((one.expect("subscribed"), two.expect("subscribed")));
    let sent: Vec<_> = (0..40).map(|issue| event(issue, 0)).collect();
    publish(&first, &sent).await;
    close(second).await;
    let mut seen = Vec::new();
    for mut lane in lanes(&first, "docs").await {
        let expected = sent.iter().filter(|envelope| lane_of(envelope) == lane.id()).count();
        seen.extend(ids(&take(&mut lane, expected).await));
    }
    seen.sort();
    let mut expected = ids_of(&sent);
    expected.sort();
    assert_eq!(seen, expected);
    close(first).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_knows_who_has_a_place_and_how_much_waits() {
    let Some(cluster) = Cluster::found() else { return };
    let first = cluster.open().await.expect("opened");
    let mut held = lane(&first, "docs", &event(7, 0)).await;
    publish(&first, &events(7, 0..5)).await;
    take(&mut held, 2).await;
    let second = cluster.open().await.expect("opened");
    assert_eq!(second.orphans(&[]).await, Ok(vec![name("docs")]));
    assert_eq!(second.orphans(&[name("docs")]).await, Ok(Vec::new()));
    within(async {
        loop {
            let waiting: u64 = second.backlog().await.expect("counted").iter().map(|row| row.waiting).sum();
            if waiting == 3 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(second.passed(&name("docs"), held.id()).await, first.passed(&name("docs"), held.id()).await);
    assert!(second.forget(&name("docs")).await.is_err(), "somebody is in it");
    close(first).await;
    second.forget(&name("docs")).await.expect("forgotten");
    assert_eq!(second.orphans(&[]).await, Ok(Vec::new()));
    close(second).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_with_a_name_of_its_own_gets_its_lanes_back_at_once() {
    let Some(cluster) = Cluster::found() else { return };
    let session = Duration::from_secs(30);
    let settings = Settings { instance: Some("first".into()), session_timeout: Span(session), ..cluster.settings.clone() };
    let queue = cluster.open_with(&settings, lane_count()).await.expect("opened");
    let mut held = lane(&queue, "docs", &event(7, 0)).await;
    publish(&queue, &events(7, 0..6)).await;
    take(&mut held, 3).await;
    close(queue).await;
    let began = Instant::now();
    let queue = cluster.open_with(&settings, lane_count()).await.expect("opened");
    let mut held = lane(&queue, "docs", &event(7, 0)).await;
    assert_eq!(ids(&take(&mut held, 3).await), ids_of(&events(7, 3..6)));
    assert!(began.elapsed() < session / 2, "it waited for its own session to end");
    close(queue).await;
}
