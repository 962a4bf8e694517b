//! A Kafka: a real one, where `TICKETWIRE_TEST_KAFKA` says there is one (`127.0.0.1:port`), or librdkafka's own imitation in this process.
//! Every test has names of its own there, and takes away what it made.
#![expect(clippy::print_stdout, reason = "what is skipped is said aloud")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use ticketwire::event::LaneCount;
use ticketwire::queue::QueueError;
use ticketwire::queue::kafka::{Kafka, Settings};
use ticketwire::setting::{ByteSize, Span};

use super::stage::lane_count;

const VARIABLE: &str = "TICKETWIRE_TEST_KAFKA";
const LIMIT: Duration = Duration::from_secs(20);

/// What the imitation cannot do, and the tests that need it.
const MOCK_LACKS: &[(&str, &str)] = &[
    ("a_forgotten_sink_loses_its_lanes_and_its_place", "it deletes no groups"),
    ("it_behaves_like_the_model", "it deletes no groups"),
    ("large_bodies_travel_whole", "it does not tell what it takes, and Kafka's default is assumed"),
];

/// Whether a test can be run on the imitation; else it is said why not.
pub(super) fn is_for_mock(test: &str) -> bool {
    let lacks = MOCK_LACKS.iter().find(|(name, _)| *name == test);
    if let Some((_, why)) = lacks {
        println!("skipped: the imitation of Kafka, because {why}");
    }
    lacks.is_none()
}

/// Whether there is a real one; else it is said.
pub(super) fn is_there() -> bool {
    let is_there = std::env::var_os(VARIABLE).is_some();
    if !is_there {
        println!("skipped: no Kafka, because {VARIABLE} is not set");
    }
    is_there
}

pub(crate) struct Cluster {
    pub(crate) servers: String,
    pub(crate) name: String,
    pub(super) settings: Settings,
    pub(super) mock: Option<MockCluster<'static, DefaultProducerContext>>,
    _traces: Option<Traces>,
}

impl Cluster {
    /// None: there is none, and it was said.
    pub(crate) fn found() -> Option<Self> {
        let servers = is_there().then(|| std::env::var(VARIABLE).ok()).flatten()?;
        Some(Self::at(&servers))
    }

    pub(super) fn at(servers: &str) -> Self {
        let (servers, name) = (servers.to_owned(), new_name());
        let traces = Traces { servers: servers.clone(), name: name.clone() };
        Self { servers, name, settings: settings(), mock: None, _traces: Some(traces) }
    }

    pub(super) fn mock() -> Self {
        let mock = MockCluster::new(1).expect("an imitation");
        let name = new_name();
        mock.create_topic(&format!("{name}.events"), lane_count().get().into(), 1).expect("a topic");
        Self { servers: mock.bootstrap_servers(), name, settings: settings(), mock: Some(mock), _traces: None }
    }

    pub(super) async fn open(&self) -> Result<Kafka, QueueError> {
        self.open_with(&self.settings, lane_count()).await
    }

    pub(super) async fn open_with(&self, settings: &Settings, lanes: LaneCount) -> Result<Kafka, QueueError> {
        let broker = settings.broker(&format!("kafka://{}", self.servers), None).expect("good settings");
        Kafka::open(&broker, &self.name, lanes).await
    }

    pub(super) fn topic(&self) -> String {
        format!("{}.events", self.name)
    }

    /// As somebody else on the same cluster.
    pub(super) fn admin(&self) -> AdminClient<DefaultClientContext> {
        config(&self.servers).create().expect("a client")
    }

    pub(super) fn stranger(&self) -> ClientConfig {
        config(&self.servers)
    }

    /// The topic, made by somebody else.
    pub(super) async fn make_topic(&self, partitions: i32, settings: &[(&str, &str)]) {
        let topic = self.topic();
        let mut new = NewTopic::new(&topic, partitions, TopicReplication::Fixed(1));
        new.config = settings.to_vec();
        let made = self.admin().create_topics([&new], &options()).await.expect("asked");
        made.into_iter().for_each(|made| drop(made.expect("a topic")));
    }
}

pub(super) fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(LIMIT)).operation_timeout(Some(LIMIT))
}

fn new_name() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("test-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// Whole bodies of the largest size; and the lanes of a process that is gone are free soon.
fn settings() -> Settings {
    Settings { max_message: ByteSize::mib(64), session_timeout: Span::seconds(6), ..Settings::default() }
}

fn config(servers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers).set("client.id", "stranger");
    config
}

/// What a test leaves on the cluster.
struct Traces {
    servers: String,
    name: String,
}

impl Drop for Traces {
    /// On a thread with a runtime of its own, because the test's may be ending.
    fn drop(&mut self) {
        let (servers, name) = (self.servers.clone(), self.name.clone());
        let removing = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(remove(&servers, &name));
        });
        if removing.join().is_err() && !std::thread::panicking() {
            panic!("what the test made is still on the cluster");
        }
    }
}

async fn remove(servers: &str, name: &str) {
    let admin: AdminClient<DefaultClientContext> = config(servers).create().expect("a client");
    let asking: Arc<BaseConsumer> = Arc::new(config(servers).create().expect("a client"));
    admin.delete_topics(&[&format!("{name}.events")], &options()).await.expect("deleted");
    let groups = asking.fetch_group_list(None, LIMIT).expect("groups");
    let prefix = format!("{name}.");
    for group in groups.groups().iter().filter(|group| group.name().starts_with(&prefix)) {
        // One that somebody is still in goes by itself some time after it was left.
        admin.delete_groups(&[group.name()], &options()).await.expect("asked");
    }
}
