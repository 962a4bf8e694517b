//! The queues under test, events for them, and waiting with a limit.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use ticketwire::clock::Timestamp;
use ticketwire::event::{Data, Delivered, Envelope, Event, EventId, Kind, LaneCount, LaneId, Origin, PartitionKey, Secrecy};
use ticketwire::queue::embedded::{Embedded, Settings};
use ticketwire::queue::memory::Memory;
use ticketwire::queue::{Lane, Queue, Seen, Subscription};
use ticketwire::setting::{ByteSize, ConnectionName, SinkName};

/// The queues that keep the contract. `Cold` is the embedded one that keeps almost nothing in memory, so that it reads its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Memory,
    Embedded,
    Cold,
}

/// A queue with the place where it lives.
pub(super) struct Stage {
    pub(super) which: Which,
    pub(super) dir: TempDir,
    pub(super) queue: Arc<dyn Queue>,
}

pub(super) const CAPACITY: usize = 100_000;

impl Stage {
    pub(super) fn new(which: Which) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let queue = open(which, dir.path());
        Self { which, dir, queue }
    }

    /// Closes and opens again, where something outlives the closing.
    pub(super) async fn reopen(self) -> Self {
        if self.which == Which::Memory {
            return self;
        }
        self.queue.close(Duration::from_secs(10)).await.expect("closed");
        let queue = open(self.which, self.dir.path());
        Self { queue, ..self }
    }

    pub(super) async fn publish(&self, envelopes: &[Arc<Envelope>]) {
        for envelope in envelopes {
            self.queue.publish(vec![Arc::clone(envelope)]).await.expect("published");
        }
    }

    pub(super) async fn subscribe(&self, sink: &str) -> Box<dyn Subscription> {
        self.queue.subscribe(&name(sink)).await.expect("subscribed")
    }

    /// All lanes of a sink, by number.
    pub(super) async fn lanes(&self, sink: &str) -> Vec<Box<dyn Lane>> {
        let mut subscription = self.subscribe(sink).await;
        let mut lanes = Vec::new();
        for _ in self.queue.lanes().lanes() {
            lanes.push(within(subscription.next_lane()).await.expect("a lane"));
        }
        lanes.sort_by_key(|lane| lane.id());
        lanes
    }

    pub(super) async fn lane_of(&self, sink: &str, envelope: &Envelope) -> Box<dyn Lane> {
        let lane = lane_of(envelope);
        self.lanes(sink).await.into_iter().find(|found| found.id() == lane).expect("a lane")
    }

    pub(super) async fn waiting(&self, sink: &str) -> u64 {
        let backlog = self.queue.backlog().await.expect("counted");
        backlog.iter().filter(|row| row.sink == name(sink)).map(|row| row.waiting).sum()
    }
}

pub(super) fn lane_count() -> LaneCount {
    LaneCount::new(4).expect("a number of lanes")
}

pub(super) fn settings(which: Which) -> Settings {
    let small = Settings { lanes: lane_count(), reserve: ByteSize::mib(1), min_free: Some(ByteSize::mib(1)), ..Settings::default() };
    if which == Which::Cold { Settings { ring_events: 1, ..small } } else { small }
}

pub(super) fn open(which: Which, dir: &Path) -> Arc<dyn Queue> {
    match which {
        Which::Memory => Arc::new(Memory::new(lane_count(), CAPACITY)),
        Which::Embedded | Which::Cold => Arc::new(Embedded::open(&settings(which), dir).expect("opened")),
    }
}

pub(super) fn name(sink: &str) -> SinkName {
    sink.parse().expect("a name")
}

pub(super) fn lane_of(envelope: &Envelope) -> LaneId {
    envelope.event.partition_key.lane(lane_count())
}

/// The `number`th event of an issue.
pub(super) fn event(issue: u32, number: u32) -> Arc<Envelope> {
    sized(issue, number, 100)
}

pub(super) fn sized(issue: u32, number: u32, bytes: usize) -> Arc<Envelope> {
    let acme: ConnectionName = "acme".parse().expect("a name");
    let at = Timestamp::from_ms(1_765_441_200_000 + i64::from(number));
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
    let raw = Bytes::from(vec![b'x'; bytes]);
    Arc::new(Envelope { event, raw, target: None, traceparent: None, received: None })
}

pub(super) fn events(issue: u32, numbers: std::ops::Range<u32>) -> Vec<Arc<Envelope>> {
    numbers.map(|number| event(issue, number)).collect()
}

pub(super) fn ids(seen: &[Seen]) -> Vec<String> {
    seen.iter().map(|seen| seen.envelope.event.id.to_string()).collect()
}

pub(super) fn ids_of(envelopes: &[Arc<Envelope>]) -> Vec<String> {
    envelopes.iter().map(|envelope| envelope.event.id.to_string()).collect()
}

pub(super) async fn within<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("it came to an end")
}

pub(super) async fn window(lane: &mut Box<dyn Lane>, limit: usize) -> Vec<Seen> {
    within(lane.window(limit)).await.expect("a window")
}

/// Waits for `count` envelopes and passes them.
pub(super) async fn take(lane: &mut Box<dyn Lane>, count: usize) -> Vec<Seen> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let seen = window(lane, (count - taken.len()).min(16)).await;
        lane.advance(seen.last().expect("at least one").position).await.expect("advanced");
        taken.extend(seen);
    }
    taken
}

/// Whether a lane has nothing more to show: asked once, then let go.
pub(super) async fn is_waiting(lane: &mut Box<dyn Lane>) -> bool {
    tokio::select! {
        biased;
        _ = lane.window(1) => false,
        () = tokio::task::yield_now() => true,
    }
}
