//! The API's port, filled in: answers come from store, queue and supervisor; orders are control rows.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::revision::Present;
use super::roles::Roles;
use super::{Inside, events, gauges, letters, names, replays, shadows};
use crate::api::{
    ConnectionView, DeadLetterView, DeadQuery, EventQuery, EventRow, EventView, ListedEvent, OperationError, Operations, OrphanView, Page,
    Part, QueueRow, Readiness, ReplayOrder, ReplayView, RuleView, Selection, ShadowQuery, ShadowView, ShownDeadLetter, ShownEvent,
    SinkView,
};
use crate::clock::{Clock, Timestamp};
use crate::deliver::{Explainer, PauseState, Rule, enabled_control, paused_control};
use crate::queue::{Queue, QueueError};
use crate::setting::SinkName;
use crate::shutdown::Tasks;
use crate::store::StoreError;
use crate::telemetry::Exporter;

/// How long a look waits for the archive to keep up with what was accepted.
const CATCH_UP: Duration = Duration::from_secs(1);

/// So long a look at queue and store serves everybody who asks: each costs a write that is synced, and asking needs no token.
const LOOK_SERVES: Duration = Duration::from_secs(1);

/// Of a sink that somebody paused and did not say why.
const NO_REASON: &str = "no reason was given";

/// Open event streams: each asks the store four times a second.
const STREAMS_MAX: usize = 16;

/// The API of this process, and the work on a timer that looks at what is behind it.
pub(super) fn behind(
    present: Present,
    roles: Roles,
    queue: &Arc<dyn Queue>,
    inside: Option<&Inside>,
    clock: Clock,
    exporter: Exporter,
    tasks: &Tasks,
) -> Arc<dyn Operations> {
    tasks.spawn("clock", gauges::watch_clock(clock.clone(), tasks.token().clone()));
    let (queue, parts) = (queue.clone(), Parts::default());
    let Some(Inside { store, supervisor, .. }) = inside else {
        tasks.spawn("upkeep", gauges::upkeep(exporter.clone(), tasks.token().clone()));
        return Arc::new(ReceiverOnly { present, queue, clock, exporter, parts });
    };
    let explainer = Explainer { store: store.clone(), queue, supervisor: supervisor.clone() };
    let (stop, stream_permits) = (tasks.token().clone(), Arc::new(Semaphore::new(STREAMS_MAX)));
    let service = Arc::new(AdminService { explainer, clock, exporter, present, roles, parts, stop, stream_permits });
    tasks.spawn("gauges", gauges::keep(service.clone(), tasks.token().clone()));
    if roles.scheduler {
        tasks.spawn("expiry", gauges::expire(service.clone(), tasks.token().clone()));
    }
    if roles.console { service } else { Arc::new(WithoutConsole(service)) }
}

/// A process that only receives.
struct ReceiverOnly {
    present: Present,
    queue: Arc<dyn Queue>,
    clock: Clock,
    exporter: Exporter,
    parts: Parts,
}

#[async_trait]
impl Operations for ReceiverOnly {
    async fn metrics(&self) -> String {
        self.exporter.render()
    }

    async fn readiness(&self) -> Readiness {
        let states = self.parts.states(async { vec![("receiver", true), ("queue", is_open(&self.queue.check().await))] }).await;
        self.parts.readiness(&states, self.present.borrow().config.hash(), self.clock.now())
    }
}

/// A process without a console answers only what every process does.
struct WithoutConsole(Arc<AdminService>);

#[async_trait]
impl Operations for WithoutConsole {
    async fn metrics(&self) -> String {
        self.0.metrics().await
    }

    async fn readiness(&self) -> Readiness {
        self.0.readiness().await
    }
}

/// A full queue is at work: it says 503 to Jira by itself, and the next moment there may be room.
fn is_open(checked: &Result<(), QueueError>) -> bool {
    matches!(checked, Ok(()) | Err(QueueError::Full(_)))
}

type States = Vec<(&'static str, bool)>;

#[derive(Default)]
struct Parts {
    /// The last state of each part (whether it is well), and since when.
    known: Mutex<HashMap<&'static str, (bool, Timestamp)>>,
    /// What the last look found, and when it ended.
    looked: tokio::sync::Mutex<Option<(Instant, States)>>,
}

impl Parts {
    /// As of a moment ago. One looks at a time, and whoever comes meanwhile waits for what that one finds.
    async fn states(&self, look: impl Future<Output = States>) -> States {
        let mut looked = self.looked.lock().await;
        if let Some((_, states)) = looked.as_ref().filter(|(at, _)| at.elapsed() < LOOK_SERVES) {
            return states.clone();
        }
        let states = look.await;
        *looked = Some((Instant::now(), states.clone()));
        states
    }

    fn readiness(&self, states: &[(&'static str, bool)], config: &str, now: Timestamp) -> Readiness {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut part = |(name, ready): &(&'static str, bool)| {
            let state = known.entry(name).or_insert((*ready, now));
            if state.0 != *ready {
                *state = (*ready, now);
            }
            Part { name: (*name).into(), ready: *ready, since: state.1 }
        };
        let parts: Vec<Part> = states.iter().map(&mut part).collect();
        let status = if parts.iter().all(|part| part.ready) { "ready" } else { "not ready" };
        Readiness { status: status.into(), config: config.to_owned(), parts }
    }
}

pub(super) struct AdminService {
    pub(super) explainer: Explainer,
    pub(super) clock: Clock,
    pub(super) exporter: Exporter,
    pub(super) present: Present,
    roles: Roles,
    parts: Parts,
    /// Streams end with it.
    stop: CancellationToken,
    stream_permits: Arc<Semaphore>,
}

pub(super) type Outcome<T> = Result<T, OperationError>;

impl AdminService {
    /// What was accepted before somebody looks is seen, if the archive takes it within a moment.
    async fn catch_up(&self) {
        let until = Instant::now() + CATCH_UP;
        let archive = SinkName::archive();
        while Instant::now() < until {
            let behind =
                self.explainer.queue.backlog().await.is_ok_and(|rows| rows.iter().any(|row| row.sink == archive && row.waiting > 0));
            if !behind {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn look(&self) -> States {
        let is_open = is_open(&self.explainer.queue.check().await);
        let store = self.explainer.store.check().await.is_ok();
        let mut states = vec![("queue", is_open), ("archive", store), ("store", store)];
        if self.roles.receiver {
            states.insert(0, ("receiver", true));
        }
        states
    }

    /// The configured sinks and their states. What waits for them is not counted, which takes a look at queue and store.
    fn states(&self) -> Vec<SinkView> {
        let mut states: HashMap<SinkName, PauseState> = self.explainer.supervisor.states().into_iter().collect();
        let view = |sink: &crate::config::Sink| {
            let (state, reason) = match states.remove(&sink.name) {
                Some(PauseState::Paused(reason)) => ("paused", Some(reason)),
                Some(PauseState::Running) | None => ("running", None),
            };
            let (name, kind) = (sink.name.clone(), sink.settings.kind().into());
            SinkView { name, kind, state: state.into(), reason, shadow: sink.shadow, waiting: None, dead: None }
        };
        self.present.borrow().config.sinks.iter().map(view).collect()
    }

    fn state(&self, name: &str) -> Outcome<SinkView> {
        let found = self.states().into_iter().find(|sink| sink.name.as_str() == name);
        found.ok_or_else(|| names::no_sink(name, &self.present.borrow().config))
    }

    /// Adds what waits for each, where queue and store can tell.
    async fn count(&self, sinks: &mut [SinkView]) {
        let waiting = self.queue().await.ok();
        let dead = self.explainer.store.dead_counts().await.ok();
        for sink in sinks {
            let name = &sink.name;
            let of_sink = |rows: &Vec<QueueRow>| rows.iter().filter(|row| row.sink == name.as_str()).map(|row| row.waiting).sum::<u64>();
            let letters = |counts: &Vec<(SinkName, u64)>| counts.iter().find(|(of, _)| of == name).map_or(0, |(_, count)| *count);
            (sink.waiting, sink.dead) = (waiting.as_ref().map(of_sink), dead.as_ref().map(letters));
        }
    }

    fn rule_view(&self, rule: &Rule) -> RuleView {
        let revision = self.present.borrow();
        let place = revision.config.rules.iter().find(|written| *written.name == *rule.name).map(|written| &written.place);
        let mut sinks: Vec<SinkName> = rule.sends.iter().map(|send| send.to.clone()).collect();
        sinks.dedup();
        RuleView {
            name: rule.name.to_string(),
            enabled: rule.is_enabled(),
            when: rule.when.source().to_owned(),
            jql: rule.jql.as_ref().map(|jql| jql.text().to_owned()),
            sinks,
            owner: place.and_then(|place| place.owner.as_deref()).map(str::to_owned),
            place: place.map(|place| format!("{}:{}", place.file, place.line)).unwrap_or_default(),
        }
    }

    /// Gives an order and waits a moment for it to be obeyed here.
    async fn order(&self, name: &str, reason: Option<&str>) -> Outcome<SinkView> {
        let sink = self.state(name)?;
        self.explainer.store.set_control(&paused_control(&sink.name), reason, self.clock.now()).await.map_err(unavailable)?;
        let until = Instant::now() + CATCH_UP;
        loop {
            let mut view = self.state(name)?;
            // Only a paused sink has a reason.
            if view.reason.as_deref() == reason || Instant::now() >= until {
                self.count(std::slice::from_mut(&mut view)).await;
                return Ok(view);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[async_trait]
impl Operations for AdminService {
    async fn metrics(&self) -> String {
        self.exporter.render()
    }

    async fn readiness(&self) -> Readiness {
        let states = self.parts.states(self.look()).await;
        self.parts.readiness(&states, self.present.borrow().config.hash(), self.clock.now())
    }

    async fn trace(&self, key: &str) -> Outcome<Vec<EventView>> {
        self.catch_up().await;
        events::trace(self, key).await
    }

    async fn events(&self, which: &EventQuery, cursor: Option<&str>, limit: usize) -> Outcome<Page<ListedEvent>> {
        self.catch_up().await;
        events::page(self, which, cursor, limit).await
    }

    async fn event(&self, id: &str, raw: bool) -> Outcome<ShownEvent> {
        self.catch_up().await;
        events::show(self, id, raw).await
    }

    async fn tail(&self, which: EventQuery, after: Option<i64>) -> Outcome<BoxStream<'static, (i64, EventRow)>> {
        let place = self.stream_permits.clone().try_acquire_owned();
        let place = place.map_err(|_| OperationError::Unavailable(format!("{STREAMS_MAX} look on already")))?;
        events::tail(self, &which, after, self.stop.clone(), place).await
    }

    async fn dead_letters(&self, which: &DeadQuery, cursor: Option<&str>, limit: usize) -> Outcome<Page<DeadLetterView>> {
        letters::page(self, which, cursor, limit).await
    }

    async fn dead_letter(&self, id: &str) -> Outcome<ShownDeadLetter> {
        letters::show(self, id).await
    }

    async fn retry_dead(&self, which: &Selection) -> Outcome<u64> {
        let Some(which) = letters::selection(self, which).await? else { return Ok(0) };
        self.explainer.store.retry_dead(which, self.clock.now()).await.map_err(unavailable)
    }

    async fn drop_dead(&self, which: &Selection) -> Outcome<u64> {
        let Some(which) = letters::selection(self, which).await? else { return Ok(0) };
        self.explainer.store.drop_dead(which, self.clock.now()).await.map_err(unavailable)
    }

    async fn order_replay(&self, order: &ReplayOrder) -> Outcome<ReplayView> {
        self.catch_up().await;
        replays::order(self, order).await
    }

    async fn replays(&self, limit: usize) -> Outcome<Vec<ReplayView>> {
        replays::list(self, limit).await
    }

    async fn replay(&self, id: &str) -> Outcome<ReplayView> {
        replays::show(self, id).await
    }

    async fn stop_replay(&self, id: &str) -> Outcome<ReplayView> {
        replays::stop(self, id).await
    }

    async fn sinks(&self) -> Outcome<Vec<SinkView>> {
        let mut sinks = self.states();
        self.count(&mut sinks).await;
        Ok(sinks)
    }

    async fn pause_sink(&self, name: &str, reason: Option<&str>) -> Outcome<SinkView> {
        let before = self.state(name)?.reason;
        let reason = reason.or(before.as_deref()).unwrap_or(NO_REASON);
        self.order(name, Some(reason)).await
    }

    async fn resume_sink(&self, name: &str) -> Outcome<SinkView> {
        self.order(name, None).await
    }

    async fn shadows(&self, name: &str, which: &ShadowQuery, cursor: Option<&str>, limit: usize) -> Outcome<Page<ShadowView>> {
        let sink = self.state(name)?;
        shadows::page(self, &sink.name, which, cursor, limit).await
    }

    async fn queue(&self) -> Outcome<Vec<QueueRow>> {
        let now = self.clock.now();
        let backlog = self.explainer.queue.backlog().await.map_err(|err| OperationError::Unavailable(err.to_string()))?;
        let mut rows: BTreeMap<(SinkName, u16), (u64, Option<Timestamp>)> = BTreeMap::new();
        for row in backlog {
            rows.insert((row.sink, row.lane.0), (row.waiting, row.oldest));
        }
        for (sink, lane, count, oldest) in self.explainer.store.waiting_counts().await.map_err(unavailable)? {
            let entry = rows.entry((sink, lane.0)).or_default();
            *entry = (entry.0 + count, Some(entry.1.map_or(oldest, |known| known.min(oldest))));
        }
        let row = |((sink, lane), (waiting, oldest)): ((SinkName, u16), (u64, Option<Timestamp>))| QueueRow {
            sink: sink.to_string(),
            lane,
            waiting,
            oldest_seconds: oldest.filter(|_| waiting > 0).map(|at| now.since(at).as_secs()),
        };
        Ok(rows.into_iter().map(row).collect())
    }

    async fn prune_queue(&self, dry_run: bool) -> Outcome<Vec<OrphanView>> {
        let queue = &self.explainer.queue;
        let away = |err: QueueError| OperationError::Unavailable(err.to_string());
        let configured: Vec<SinkName> = self.present.borrow().config.sinks.iter().map(|sink| sink.name.clone()).collect();
        let backlog = queue.backlog().await.map_err(away)?;
        let places: BTreeSet<SinkName> = queue.orphans(&configured).await.map_err(away)?.into_iter().collect();
        let parked = self.explainer.store.waiting_counts().await.map_err(unavailable)?;
        let parked_only = parked.iter().map(|(sink, ..)| sink).filter(|sink| !configured.contains(sink));
        let mut views = Vec::new();
        for sink in places.iter().chain(parked_only).collect::<BTreeSet<_>>() {
            let on_road: u64 = backlog.iter().filter(|row| row.sink == *sink).map(|row| row.waiting).sum();
            let waiting = on_road + parked.iter().filter(|(of, ..)| of == sink).map(|(_, _, count, _)| count).sum::<u64>();
            if !dry_run {
                if places.contains(sink) {
                    queue.forget(sink).await.map_err(away)?;
                }
                self.explainer.store.give_up(sink, self.clock.now()).await.map_err(unavailable)?;
                tracing::warn!(%sink, waiting, "the place of `{sink}` and what waited for it were given up, as it was told to be");
            }
            views.push(OrphanView { sink: sink.to_string(), waiting });
        }
        Ok(views)
    }

    async fn rules(&self) -> Outcome<Vec<RuleView>> {
        let revision = self.present.borrow().clone();
        Ok(revision.rules.list().iter().map(|rule| self.rule_view(rule)).collect())
    }

    async fn switch_rule(&self, name: &str, enabled: bool) -> Outcome<RuleView> {
        let revision = self.present.borrow().clone();
        let found = revision.rules.list().iter().find(|rule| *rule.name == *name);
        let rule = found.ok_or_else(|| names::no_rule(name, &revision.config))?;
        let order = if enabled { "true" } else { "false" };
        let store = &self.explainer.store;
        store.set_control(&enabled_control(name), Some(order), self.clock.now()).await.map_err(unavailable)?;
        revision.rules.refresh(store).await.map_err(unavailable)?;
        Ok(self.rule_view(rule))
    }

    async fn connections(&self) -> Outcome<Vec<ConnectionView>> {
        let present = self.present.borrow();
        let view = |connection: &crate::config::Connection| ConnectionView {
            name: connection.name.to_string(),
            url: connection.url.to_string(),
            asks_jira: present.jiras.contains_key(&connection.name),
        };
        Ok(present.config.connections.iter().map(view).collect())
    }
}

pub(super) fn unavailable(err: StoreError) -> OperationError {
    OperationError::Unavailable(err.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_look_serves_everybody_for_a_moment() {
        let (parts, looks) = (Parts::default(), AtomicU32::new(0));
        let ask = async || {
            let look = async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                vec![("store", looks.fetch_add(1, Ordering::Relaxed) == 0)]
            };
            parts.states(look).await
        };
        let (first, second) = tokio::join!(ask(), ask());
        assert_eq!((first, second), (vec![("store", true)], vec![("store", true)]), "the second waits for the first");
        tokio::time::advance(LOOK_SERVES / 2).await;
        assert_eq!(ask().await, [("store", true)]);
        tokio::time::advance(LOOK_SERVES).await;
        assert_eq!(ask().await, [("store", false)], "it is looked again");
        assert_eq!(looks.load(Ordering::Relaxed), 2);
    }
}
