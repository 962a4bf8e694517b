//! A queue, a store and scripted sinks, with a supervisor that can stop, crash and start again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ticketwire::clock::{Clock, Timestamp};
use ticketwire::deliver::{Delivery, Jiras, Names, Route, RuleSettings, Rules, SendSettings, Settings, SinkTraits, Supervisor};
use ticketwire::event::{
    Data, Delivered, Envelope, Event, EventId, Issue, Kind, LaneCount, Origin, PartitionKey, Project, ProjectKind, Secrecy,
};
use ticketwire::queue::Queue;
use ticketwire::queue::memory::Memory;
use ticketwire::render::Dialect;
use ticketwire::setting::{ConnectionName, SinkName, Span};
use ticketwire::shutdown::Tasks;
use ticketwire::sink::Clearance;
use ticketwire::store::{self, Store};

use super::scripted::Scripted;

/// What the campaign and the cases wait for at most.
pub const LIMIT: Duration = Duration::from_secs(60);

pub struct World {
    pub store: Store,
    pub queue: Arc<Memory>,
    pub sinks: Vec<Arc<Scripted>>,
    pub settings: Settings,
    pub jiras: Arc<Jiras>,
    pub clearance: Clearance,
    rules: Arc<Rules>,
    names: Arc<Names>,
    _dir: tempfile::TempDir,
    _base: Tasks,
    pub clock: Clock,
}

/// A supervisor at work on a runtime of its own, so that a crash takes all its tasks away at once.
pub struct Running {
    pub supervisor: Arc<Supervisor>,
    pub delivery: Delivery,
    tasks: Tasks,
    runtime: Option<tokio::runtime::Runtime>,
}

/// On a busy machine everything takes longer: what is judged by time must know by how much.
async fn watch_lateness(sinks: Vec<Arc<Scripted>>) {
    const EVERY: Duration = Duration::from_millis(10);
    loop {
        let before = tokio::time::Instant::now();
        tokio::time::sleep(EVERY).await;
        let late = before.elapsed().saturating_sub(EVERY);
        sinks.iter().for_each(|sink| sink.note_late(late));
    }
}

impl World {
    pub async fn new(lanes: u16, settings: Settings, sinks: Vec<Arc<Scripted>>, written: Vec<(String, RuleSettings)>) -> Self {
        let (dir, base) = (tempfile::tempdir().expect("a folder"), Tasks::new());
        let store = Store::open(&store::Settings::default(), dir.path(), &base).await.expect("it opens");
        let names = Arc::new(Names::of_events());
        let rules = compiled(&written, &names);
        let queue = Arc::new(Memory::new(LaneCount::new(lanes).expect("a number of lanes"), 1_000_000));
        let clearance = Clearance::everything();
        let jiras = Arc::default();
        Self { store, queue, sinks, settings, jiras, clearance, rules, names, clock: Clock::system(), _dir: dir, _base: base }
    }

    pub async fn start(&self) -> Running {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let tasks = Tasks::new();
        let delivery = Delivery {
            queue: self.queue.clone(),
            store: self.store.clone(),
            jiras: self.jiras.clone(),
            settings: self.settings.clone(),
            clock: self.clock.clone(),
            tasks: tasks.clone(),
            instance: "campaign".to_owned(),
        };
        runtime.spawn(watch_lateness(self.sinks.clone()));
        let routes: Vec<Route> = self.sinks.iter().map(|sink| self.route(sink)).collect();
        let room = delivery.clone();
        let started = runtime.spawn(async move { Supervisor::start(&room, routes).await });
        let supervisor = started.await.expect("no panic").expect("it starts");
        Running { supervisor: Arc::new(supervisor), delivery, tasks, runtime: Some(runtime) }
    }

    pub fn route(&self, sink: &Arc<Scripted>) -> Route {
        Route { sink: sink.clone(), clearance: self.clearance.clone(), enrich: false, rules: self.rules.clone(), names: self.names.clone() }
    }

    /// From now on these rules, for routes that are made after it.
    pub fn rule(&mut self, rules: Vec<(String, RuleSettings)>) {
        self.rules = compiled(&rules, &self.names);
    }

    pub async fn publish(&self, envelope: Envelope) {
        self.queue.publish(vec![Arc::new(envelope)]).await.expect("there is room");
    }

    /// How many envelopes some sink has not passed, and how many deliveries wait.
    pub async fn unfinished(&self) -> (u64, u64) {
        let backlog = self.queue.backlog().await.expect("it is open").iter().map(|row| row.waiting).sum();
        let waiting = self.store.waiting_counts().await.expect("it can be read").iter().map(|row| row.2).sum();
        (backlog, waiting)
    }

    /// Waits until nothing is left to do. Err: what is left at the limit.
    pub async fn finished(&self, limit: Duration) -> Result<(), String> {
        let quiet = async || self.unfinished().await == (0, 0);
        if until(limit, quiet).await { Ok(()) } else { Err(format!("not finished: {:?} in lanes and parked", self.unfinished().await)) }
    }
}

fn compiled(rules: &[(String, RuleSettings)], names: &Names) -> Arc<Rules> {
    let traits = |_: &SinkName| Some(SinkTraits { dialect: Some(Dialect::SlackMrkdwn), target: None, has_threads: true, is_cleared: true });
    Arc::new(Rules::compile(rules, &traits, names).expect("the rules compile"))
}

impl Running {
    /// In order: what is in hand is ended and written down.
    pub async fn stop(mut self) {
        assert!(self.tasks.stop(LIMIT).await, "the tasks did not stop");
        self.supervisor.stopped().await;
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// As `kill -9`: nothing is written any more.
    pub fn crash(mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Looks every few milliseconds. False: not within the limit.
pub async fn until(limit: Duration, condition: impl AsyncFn() -> bool) -> bool {
    let looked = tokio::time::timeout(limit, async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    looked.await.is_ok()
}

pub fn settings(window: usize, max_tries: u32) -> Settings {
    Settings { window, max_tries, hold_in_lane: Span(Duration::from_millis(300)), ..Settings::default() }
}

/// One rule for each letter: issues whose summary holds it go to the channel of that name.
pub fn rules_for(sink: &str, letters: &str) -> Vec<(String, RuleSettings)> {
    let rule = |letter: char| {
        let send = SendSettings {
            channel: Some(format!("#{letter}")),
            template: Some("{{ issue.summary }}".into()),
            ..SendSettings::to(name(sink))
        };
        let when = format!("issue.summary.contains(\"{letter}\")");
        (format!("to {letter}"), RuleSettings::new(when, vec![send]))
    };
    letters.chars().map(rule).collect()
}

pub fn name(text: &str) -> SinkName {
    text.parse().expect("it is well formed")
}

pub fn acme() -> ConnectionName {
    "acme".parse().expect("it is well formed")
}

pub fn event_id(number: u32) -> EventId {
    EventId::new(&acme(), &["issue", "1", "change", &number.to_string()])
}

/// The number that an id was made from.
pub fn number_of(id: &EventId) -> u32 {
    id.as_str().rsplit(':').next().and_then(|number| number.parse().ok()).expect("an id of this test")
}

/// A change of a whole issue that nothing restricts.
pub fn envelope(number: u32, issue: u32, summary: &str) -> Envelope {
    let id = issue.to_string();
    let mut about = Issue::only_id(id.clone());
    about.partial = false;
    about.key = Some(format!("OPS-{issue}"));
    about.summary = Some(summary.into());
    let received_at = Clock::system().now();
    let data = Data {
        kind: Kind::IssueUpdated,
        origin: Origin::Webhook,
        occurred_at: Timestamp::from_ms(number.into()),
        received_at,
        jira: Delivered::default(),
        actor: None,
        project: Some(Project { id: "1".into(), key: Some("OPS".into()), name: None, kind: ProjectKind::Software }),
        issue: Some(Box::new(about)),
        changes: Vec::new(),
        degraded: Vec::new(),
        entity: None,
    };
    let event = Event {
        id: event_id(number),
        connection: acme(),
        source: "https://acme.atlassian.net".parse().expect("it is well formed"),
        subject: format!("OPS-{issue}"),
        partition_key: PartitionKey::issue(&acme(), &id),
        secrecy: Secrecy { level_known: true, project_private: false },
        data,
    };
    Envelope { event, raw: "{}".into(), target: None, traceparent: None, received: None, renewable: false }
}

/// Which numbers each (target, issue) saw, in order.
pub fn by_place(successes: &[super::scripted::Success]) -> BTreeMap<(String, String), Vec<u32>> {
    let mut places: BTreeMap<(String, String), Vec<u32>> = BTreeMap::new();
    for success in successes {
        places.entry((success.target.clone(), success.issue.clone())).or_default().push(success.number);
    }
    places
}
