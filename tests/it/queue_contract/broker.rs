//! A real RabbitMQ, where `TICKETWIRE_TEST_AMQP` says there is one: `amqp://user:password@127.0.0.1:port`. Every test has names of its own
//! there, and takes away what it made.
#![expect(clippy::print_stdout, reason = "what is skipped is said aloud")]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use lapin::options::{ExchangeDeleteOptions, QueueDeleteOptions};
use lapin::{Connection, ConnectionProperties};
use ticketwire::event::LaneCount;
use ticketwire::queue::amqp::{self, Amqp, Settings};
use ticketwire::queue::{Queue, QueueError, Share};
use ticketwire::setting::ByteSize;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock, watch};

use super::stage::{lane_count, within};

pub(super) const VARIABLE: &str = "TICKETWIRE_TEST_AMQP";
/// Tests look at more at a time than deliveries do.
const PREFETCH: u16 = 64;

#[derive(Clone)]
pub(crate) struct Broker {
    pub(crate) url: String,
    pub(crate) name: String,
    pub(super) settings: Settings,
    _traces: Arc<Traces>,
}

impl Broker {
    /// None: there is none, and it was said.
    pub(crate) async fn found() -> Option<Self> {
        let url = url()?;
        let turn = Turn::Shared(gate().read_owned().await);
        Some(Self::new(url, turn))
    }

    /// For who disturbs the broker itself: no other test uses it meanwhile.
    pub(super) async fn alone() -> Option<Self> {
        let url = url()?;
        let turn = Turn::Alone(gate().write_owned().await);
        Some(Self::new(url, turn))
    }

    fn new(url: String, turn: Turn) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("test-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        // Whole bodies of the largest size, and the broker of the test takes them.
        let settings = Settings { prefetch: PREFETCH, max_message: ByteSize::mib(64), ..Settings::default() };
        let traces = Traces { url: url.clone(), name: name.clone(), _turn: turn };
        Self { url, name, settings, _traces: traces.into() }
    }

    pub(super) async fn open(&self) -> Result<Amqp, QueueError> {
        self.open_with(&self.settings, lane_count(), watch::channel(Share::All).1).await
    }

    pub(super) async fn open_with(&self, settings: &Settings, lanes: LaneCount, share: watch::Receiver<Share>) -> Result<Amqp, QueueError> {
        Amqp::open(&self.used(settings), &self.name, lanes, share).await
    }

    fn used(&self, settings: &Settings) -> amqp::Broker {
        settings.broker(&self.url, None).expect("good settings")
    }

    /// The same broker by another way.
    pub(super) fn by(&self, address: std::net::SocketAddr) -> Self {
        let mut url = url::Url::parse(&self.url).expect("a URL");
        url.set_host(Some(&address.ip().to_string())).expect("a host");
        url.set_port(Some(address.port())).expect("a port");
        Self { url: url.into(), ..self.clone() }
    }

    /// `host:port`
    pub(super) fn address(&self) -> String {
        let address = self.used(&self.settings).address;
        format!("{}:{}", address.host, address.port)
    }

    /// As somebody else on the same broker.
    pub(super) async fn stranger(&self) -> Connection {
        connect(&self.url).await
    }
}

async fn connect(url: &str) -> Connection {
    within(Connection::connect(url, ConnectionProperties::default())).await.expect("a connection")
}

/// None: there is no broker, and it was said.
pub(super) fn url() -> Option<String> {
    let url = std::env::var(VARIABLE).ok();
    if url.is_none() {
        println!("skipped: no RabbitMQ, because {VARIABLE} is not set");
    }
    url
}

fn gate() -> Arc<RwLock<()>> {
    static GATE: LazyLock<Arc<RwLock<()>>> = LazyLock::new(Arc::default);
    Arc::clone(&GATE)
}

#[expect(dead_code, reason = "held, not looked at")]
enum Turn {
    Shared(OwnedRwLockReadGuard<()>),
    Alone(OwnedRwLockWriteGuard<()>),
}

/// What a test leaves on the broker.
struct Traces {
    url: String,
    name: String,
    _turn: Turn,
}

impl Drop for Traces {
    /// On a thread with a runtime of its own, because the test's may be ending.
    fn drop(&mut self) {
        let (url, name) = (self.url.clone(), self.name.clone());
        let removing = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(remove(&url, &name));
        });
        if removing.join().is_err() && !std::thread::panicking() {
            panic!("what the test made is still on the broker");
        }
    }
}

async fn remove(url: &str, name: &str) {
    let connection = connect(url).await;
    let settings = Settings::default().broker(url, None).expect("good settings");
    // Whatever number of lanes a test had: the list of sinks is all that matters here.
    let marker = format!("{name}.lanes");
    delete(&connection, &marker).await;
    let queue = Amqp::open(&settings, name, LaneCount::default(), watch::channel(Share::All).1).await.expect("opened");
    let sinks: BTreeSet<_> = queue.backlog().await.expect("counted").into_iter().map(|row| row.sink).collect();
    for sink in sinks {
        queue.forget(&sink).await.expect("forgotten");
    }
    queue.close(Duration::from_secs(10)).await.expect("closed");
    for queue in [marker, format!("{name}.sinks")] {
        delete(&connection, &queue).await;
    }
    let channel = connection.create_channel().await.expect("a channel");
    channel.exchange_delete(format!("{name}.events").into(), ExchangeDeleteOptions::default()).await.expect("deleted");
}

async fn delete(connection: &Connection, queue: &str) {
    let channel = connection.create_channel().await.expect("a channel");
    channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.expect("deleted");
}
