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

#[cfg(feature = "amqp")]
use super::broker::Broker;
#[cfg(feature = "kafka")]
use super::cluster::Cluster;

/// The queues that keep the contract. `Cold` is the embedded one that keeps almost nothing in memory, so that it reads its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Memory,
    Embedded,
    Cold,
    #[cfg(feature = "amqp")]
    Rabbitmq,
    #[cfg(feature = "kafka")]
    Kafka,
    #[cfg(feature = "kafka")]
    KafkaMock,
}

impl Which {
    /// Whether positions count from 1 without gaps. A broker's only grow, and what it sends is on its way for a while.
    pub(super) fn counts(self) -> bool {
        matches!(self, Self::Memory | Self::Embedded | Self::Cold)
    }
}

/// Where a queue lives: what it leaves there goes with it.
pub(super) enum Home {
    Dir(TempDir),
    #[cfg(feature = "amqp")]
    Broker(Box<Broker>),
    #[cfg(feature = "kafka")]
    Cluster(Box<Cluster>),
}

/// A queue with the place where it lives.
pub(super) struct Stage {
    pub(super) which: Which,
    /// Gone before its home is.
    pub(super) queue: Arc<dyn Queue>,
    pub(super) home: Home,
}

pub(super) const CAPACITY: usize = 100_000;

impl Stage {
    pub(super) async fn new(which: Which) -> Self {
        let home = match which {
            Which::Memory | Which::Embedded | Which::Cold => Home::Dir(tempfile::tempdir().expect("a directory")),
            #[cfg(feature = "amqp")]
            Which::Rabbitmq => Home::Broker(Box::new(Broker::found().await.expect("it was looked for before"))),
            #[cfg(feature = "kafka")]
            Which::Kafka => Home::Cluster(Box::new(Cluster::found().expect("it was looked for before"))),
            #[cfg(feature = "kafka")]
            Which::KafkaMock => Home::Cluster(Box::new(Cluster::mock())),
        };
        let queue = open(which, &home).await;
        Self { which, home, queue }
    }

    /// Closes and opens again, where something outlives the closing.
    pub(super) async fn reopen(self) -> Self {
        if self.which == Which::Memory {
            return self;
        }
        self.queue.close(Duration::from_secs(10)).await.expect("closed");
        let queue = open(self.which, &self.home).await;
        Self { queue, ..self }
    }

    pub(super) fn dir(&self) -> &Path {
        match &self.home {
            Home::Dir(dir) => dir.path(),
            #[cfg(feature = "amqp")]
            Home::Broker(_) => panic!("it lives on a broker"),
            #[cfg(feature = "kafka")]
            Home::Cluster(_) => panic!("it lives on a cluster"),
        }
    }

    /// Whether a lane shows nothing and nothing waits for it. What a queue of this process has, it shows at once; a broker's may be on its
    /// way, so that only its count tells.
    pub(super) async fn is_done(&self, sink: &str, lane: &mut Box<dyn Lane>) -> bool {
        let backlog = self.queue.backlog().await.expect("counted");
        let waiting = backlog.iter().find(|row| row.sink == name(sink) && row.lane == lane.id()).map(|row| row.waiting);
        waiting == Some(0) && is_waiting(lane).await
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

pub(super) async fn open(which: Which, home: &Home) -> Arc<dyn Queue> {
    match (which, home) {
        (Which::Memory, _) => Arc::new(Memory::new(lane_count(), CAPACITY)),
        (_, Home::Dir(dir)) => Arc::new(embedded(which, dir.path())),
        #[cfg(feature = "amqp")]
        (_, Home::Broker(broker)) => Arc::new(broker.open().await.expect("opened")),
        #[cfg(feature = "kafka")]
        (_, Home::Cluster(cluster)) => Arc::new(cluster.open().await.expect("opened")),
    }
}

pub(super) fn embedded(which: Which, dir: &Path) -> Embedded {
    Embedded::open(&settings(which), dir, None).expect("opened")
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
    Arc::new(Envelope { event, raw, target: None, traceparent: None, received: None, renewable: false })
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

/// The first `count`, once they are all there: a broker's come in pieces.
pub(super) async fn window_of(lane: &mut Box<dyn Lane>, count: usize) -> Vec<Seen> {
    within(async {
        loop {
            let seen = window(lane, count).await;
            if seen.len() == count {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
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
