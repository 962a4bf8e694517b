//! With a road that can be taken away: nothing is lost, order is kept, and what was spooled outlives the process.

use std::sync::atomic::AtomicBool;

use super::super::memory::Memory;
use super::*;
use crate::clock::Timestamp;
use crate::event::{Data, Delivered, Event, EventId, Kind, Origin, PartitionKey, Secrecy};
use crate::setting::ConnectionName;

const ISSUES: [u32; 3] = [7, 8, 9];
const LIMIT: Duration = Duration::from_secs(20);

/// A road that refuses, or does not answer at all.
struct Fickle {
    memory: Memory,
    refuses: AtomicBool,
    hangs: AtomicBool,
    asked: AtomicU64,
}

impl Fickle {
    fn new() -> Arc<Self> {
        let memory = Memory::new(LaneCount::default(), 10_000);
        Arc::new(Self { memory, refuses: AtomicBool::new(false), hangs: AtomicBool::new(false), asked: AtomicU64::new(0) })
    }

    fn refuse(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::SeqCst);
    }
}

#[async_trait]
impl Queue for Fickle {
    fn lanes(&self) -> LaneCount {
        self.memory.lanes()
    }

    async fn publish(&self, batch: Vec<Arc<Envelope>>) -> Result<(), PublishError> {
        let hangs = self.hangs.load(Ordering::SeqCst);
        self.asked.fetch_add(1, Ordering::SeqCst);
        if hangs {
            std::future::pending::<()>().await;
        }
        if self.refuses.load(Ordering::SeqCst) {
            return Err(PublishError::Unavailable("it is away".to_owned()));
        }
        self.memory.publish(batch).await
    }

    async fn subscribe(&self, sink: &SinkName) -> Result<Box<dyn Subscription>, QueueError> {
        self.memory.subscribe(sink).await
    }

    async fn forget(&self, sink: &SinkName) -> Result<(), QueueError> {
        self.memory.forget(sink).await
    }

    async fn backlog(&self) -> Result<Vec<Backlog>, QueueError> {
        self.memory.backlog().await
    }

    async fn passed(&self, sink: &SinkName, lane: LaneId) -> Result<Option<Position>, QueueError> {
        self.memory.passed(sink, lane).await
    }

    async fn check(&self) -> Result<(), QueueError> {
        if self.refuses.load(Ordering::SeqCst) { Err(QueueError::Unavailable("it is away".to_owned())) } else { Ok(()) }
    }

    async fn close(&self, deadline: Duration) -> Result<(), QueueError> {
        self.memory.close(deadline).await
    }
}

fn event(issue: u32, number: u32) -> Arc<Envelope> {
    let acme: ConnectionName = "acme".parse().expect("a name");
    let at = Timestamp::from_ms(1_765_441_200_000);
    let data = Data {
        kind: Kind::IssueUpdated,
        origin: Origin::Webhook,
        occurred_at: at,
        received_at: at,
        jira: Delivered::default(),
        actor: None,
        project: None,
        issue: None,
        changes: Vec::new(),
        degraded: Vec::new(),
        entity: None,
    };
    let event = Event {
        id: EventId::new(&acme, &["issue", &issue.to_string(), "change", &number.to_string()]),
        connection: acme.clone(),
        source: "https://acme.example".parse().expect("a base URL"),
        subject: format!("OPS-{issue}"),
        partition_key: PartitionKey::issue(&acme, &issue.to_string()),
        secrecy: Secrecy::default(),
        data,
    };
    Arc::new(Envelope { event, raw: "{}".into(), target: None, traceparent: None, received: None, renewable: false })
}

async fn publish(spool: &Spool, numbers: std::ops::Range<u32>) {
    for number in numbers {
        for issue in ISSUES {
            spool.publish(vec![event(issue, number)]).await.expect("taken");
        }
    }
}

/// A spool before a road where a sink listens.
async fn set(road: &Arc<Fickle>, dir: &Path, tasks: &Tasks) -> Arc<Spool> {
    drop(road.subscribe(&"docs".parse().expect("a name")).await.expect("a place"));
    Spool::open(road.clone(), &embedded::Settings::default(), dir, tasks).await.expect("it opens")
}

/// The numbers that arrive, by issue, until there are so many.
async fn arrived(road: &Fickle, count: usize) -> Vec<Vec<String>> {
    let mut subscription = road.subscribe(&"docs".parse().expect("a name")).await.expect("a place");
    let mut lanes = Vec::new();
    for _ in road.lanes().lanes() {
        lanes.push(subscription.next_lane().await.expect("a lane"));
    }
    let mut arrived = vec![Vec::new(); ISSUES.len()];
    let all = async {
        for turn in 0.. {
            if arrived.iter().map(Vec::len).sum::<usize>() == count {
                return;
            }
            let place = turn % lanes.len();
            let lane = &mut lanes[place];
            let Ok(seen) = tokio::time::timeout(Duration::from_millis(10), lane.window(10_000)).await else { continue };
            let seen = seen.expect("a window");
            lane.advance(seen.last().expect("one").position).await.expect("passed");
            for seen in seen {
                let event = &seen.envelope.event;
                let place = ISSUES.iter().position(|issue| event.subject == format!("OPS-{issue}")).expect("a known issue");
                arrived[place].push(event.id.as_str().rsplit(':').next().unwrap_or_default().to_owned());
            }
        }
    };
    tokio::time::timeout(LIMIT, all).await.expect("all of them in time");
    arrived
}

fn numbers(range: std::ops::Range<u32>) -> Vec<Vec<String>> {
    vec![range.map(|number| number.to_string()).collect(); ISSUES.len()]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_spooled_follows_in_order_before_what_comes_later() {
    let (dir, tasks, road) = (tempfile::tempdir().expect("a directory"), Tasks::new(), Fickle::new());
    let spool = set(&road, dir.path(), &tasks).await;
    publish(&spool, 0..5).await;
    road.refuse(true);
    publish(&spool, 5..20).await;
    assert_eq!(spool.check().await, Ok(()), "the disk takes what comes");
    let spooled: u64 =
        spool.backlog().await.expect("a backlog").iter().filter(|row| row.sink.as_str() == "spool").map(|row| row.waiting).sum();
    assert_eq!(spooled, 15 * 3);
    road.refuse(false);
    publish(&spool, 20..40).await;
    assert_eq!(arrived(&road, 40 * 3).await, numbers(0..40));
    tasks.stop(LIMIT).await;
    spool.close(LIMIT).await.expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_outlives_the_process() {
    let (dir, road) = (tempfile::tempdir().expect("a directory"), Fickle::new());
    road.refuse(true);
    for first in [0, 10] {
        let tasks = Tasks::new();
        let spool = set(&road, dir.path(), &tasks).await;
        publish(&spool, first..first + 10).await;
        tasks.stop(LIMIT).await;
        spool.local.close(LIMIT).await.expect("closed");
    }
    road.refuse(false);
    let tasks = Tasks::new();
    let spool = set(&road, dir.path(), &tasks).await;
    assert_eq!(arrived(&road, 20 * 3).await, numbers(0..20));
    tasks.stop(LIMIT).await;
    spool.close(LIMIT).await.expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_road_that_does_not_answer_holds_the_door_up_once_and_not_for_long() {
    let (dir, tasks, road) = (tempfile::tempdir().expect("a directory"), Tasks::new(), Fickle::new());
    let spool = set(&road, dir.path(), &tasks).await;
    road.hangs.store(true, Ordering::SeqCst);
    let began = Instant::now();
    publish(&spool, 0..10).await;
    assert!(began.elapsed() < DIRECT_LIMIT + LIMIT / 2, "{:?}", began.elapsed());
    let spooled: u64 = spool.local.backlog().await.expect("a backlog").iter().map(|row| row.waiting).sum();
    assert_eq!(spooled, 10 * 3);
    tasks.stop(LIMIT).await;
    spool.close(LIMIT).await.expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_overtakes_an_earlier_event_of_its_issue_that_is_on_its_way() {
    let (dir, tasks, road) = (tempfile::tempdir().expect("a directory"), Tasks::new(), Fickle::new());
    let spool = set(&road, dir.path(), &tasks).await;
    road.hangs.store(true, Ordering::SeqCst);
    let first = spool.publish(vec![event(7, 0)]);
    let rest = async {
        while road.asked.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        road.hangs.store(false, Ordering::SeqCst);
        let began = Instant::now();
        spool.publish(vec![event(8, 0)]).await.expect("taken");
        assert!(began.elapsed() < DIRECT_LIMIT / 2, "another issue waited {:?}", began.elapsed());
        spool.publish(vec![event(7, 1)]).await
    };
    assert_eq!(tokio::join!(first, rest), (Ok(()), Ok(())));
    let ids = |numbers: &[&str]| numbers.iter().map(|number| (*number).to_owned()).collect::<Vec<String>>();
    assert_eq!(arrived(&road, 3).await, [ids(&["0", "1"]), ids(&["0"]), ids(&[])]);
    tasks.stop(LIMIT).await;
    spool.close(LIMIT).await.expect("closed");
}
