//! The API's port, filled in: answers come from store, queue and supervisor; orders are control rows.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::roles::Roles;
use super::{Inside, gauges};
use crate::api::{ConnectionView, DeadLetterView, OperationError, Operations, Part, QueueRow, Readiness, RuleView, Selection, SinkView};
use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::deliver::{Explainer, Jiras, PauseState, Rules, paused_control};
use crate::queue::{Queue, QueueError};
use crate::setting::SinkName;
use crate::shutdown::Tasks;
use crate::store::{ParkedRow, StoreError};
use crate::telemetry::Exporter;

/// How long a look waits for the archive to keep up with what was accepted.
const CATCH_UP: Duration = Duration::from_secs(1);

/// The API of this process, and the work on a timer that looks at what is behind it.
#[expect(clippy::too_many_arguments, reason = "they are put together nowhere else")]
pub(super) fn behind(
    config: Config,
    roles: Roles,
    rules: Arc<Rules>,
    queue: &Arc<dyn Queue>,
    inside: Option<&Inside>,
    clock: Clock,
    exporter: Exporter,
    jiras: Arc<Jiras>,
    tasks: &Tasks,
) -> Arc<dyn Operations> {
    let (queue, parts) = (queue.clone(), Parts::default());
    let Some(Inside { store, supervisor }) = inside else {
        tasks.spawn("upkeep", gauges::upkeep(exporter.clone(), tasks.token().clone()));
        return Arc::new(Doorkeeper { config, queue, clock, exporter, parts });
    };
    let explainer = Explainer { store: store.clone(), queue, supervisor: supervisor.clone() };
    let backstage = Arc::new(Backstage { explainer, clock, exporter, config, roles, rules, jiras, parts });
    tasks.spawn("gauges", gauges::keep(backstage.clone(), tasks.token().clone()));
    if roles.scheduler {
        tasks.spawn("expiry", gauges::expire(backstage.clone(), tasks.token().clone()));
    }
    if roles.console { backstage } else { Arc::new(Closed(backstage)) }
}

/// A process that only receives.
struct Doorkeeper {
    config: Config,
    queue: Arc<dyn Queue>,
    clock: Clock,
    exporter: Exporter,
    parts: Parts,
}

#[async_trait]
impl Operations for Doorkeeper {
    async fn metrics(&self) -> String {
        self.exporter.render()
    }

    async fn readiness(&self) -> Readiness {
        let queue = self.queue.check().await;
        self.parts.readiness(&[("receiver", true), ("queue", is_open(&queue))], self.config.hash(), self.clock.now())
    }
}

/// A process without a console answers only what every process does.
struct Closed(Arc<Backstage>);

#[async_trait]
impl Operations for Closed {
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

/// Each part's last state, and since when.
#[derive(Default)]
struct Parts(Mutex<HashMap<&'static str, (bool, Timestamp)>>);

impl Parts {
    fn readiness(&self, states: &[(&'static str, bool)], config: &str, now: Timestamp) -> Readiness {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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

pub(super) struct Backstage {
    pub(super) explainer: Explainer,
    pub(super) clock: Clock,
    pub(super) exporter: Exporter,
    config: Config,
    roles: Roles,
    rules: Arc<Rules>,
    jiras: Arc<Jiras>,
    parts: Parts,
}

type Outcome<T> = Result<T, OperationError>;

impl Backstage {
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

    async fn view(&self, name: &str) -> Outcome<SinkView> {
        let found = self.sinks().await?.into_iter().find(|sink| sink.name.as_str() == name);
        found.ok_or_else(|| OperationError::NotFound(format!("no sink is called `{name}`")))
    }

    /// Gives an order and waits a moment for it to be obeyed here.
    async fn order(&self, name: &str, reason: Option<&str>) -> Outcome<SinkView> {
        let sink = self.view(name).await?;
        self.explainer.store.set_control(&paused_control(&sink.name), reason, self.clock.now()).await.map_err(unavailable)?;
        let wanted = if reason.is_some() { "paused" } else { "running" };
        let until = Instant::now() + CATCH_UP;
        loop {
            let view = self.view(name).await?;
            if view.state == wanted || Instant::now() >= until {
                return Ok(view);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[async_trait]
impl Operations for Backstage {
    async fn metrics(&self) -> String {
        self.exporter.render()
    }

    async fn readiness(&self) -> Readiness {
        let queue = self.explainer.queue.check().await;
        let store = self.explainer.store.check().await.is_ok();
        let is_open = is_open(&queue);
        let mut states = vec![("queue", is_open), ("archive", store), ("store", store)];
        if self.roles.receiver {
            states.insert(0, ("receiver", true));
        }
        self.parts.readiness(&states, self.config.hash(), self.clock.now())
    }

    async fn trace(&self, key: &str) -> Outcome<Value> {
        self.catch_up().await;
        let events = self.explainer.trace(key).await.map_err(unavailable)?;
        Ok(json!(events))
    }

    async fn events(&self, limit: usize) -> Outcome<Value> {
        self.catch_up().await;
        let events = self.explainer.store.archived_latest(limit).await.map_err(unavailable)?;
        Ok(json!(self.explainer.explain(&events).await.map_err(unavailable)?))
    }

    async fn dead_letters(&self, limit: usize) -> Outcome<Vec<DeadLetterView>> {
        let rows = self.explainer.store.dead_letters(limit).await.map_err(unavailable)?;
        Ok(rows.into_iter().map(dead_letter).collect())
    }

    async fn dead_letter(&self, id: &str) -> Outcome<Value> {
        let row = self.explainer.store.dead_letter(id).await.map_err(unavailable)?;
        let row = row.ok_or_else(|| OperationError::NotFound(format!("no dead letter has the id `{id}`")))?;
        let archived = self.explainer.store.archived(&row.key.event_id).await.map_err(unavailable)?;
        let mut view = json!(dead_letter(row));
        view["event"] = archived.map(|archived| json!(archived.envelope.event.data)).unwrap_or_default();
        Ok(view)
    }

    async fn retry_dead(&self, which: &Selection) -> Outcome<u64> {
        match which {
            Selection::Ids(ids) => self.explainer.store.retry_dead(Some(ids), self.clock.now()).await,
            Selection::All(true) => self.explainer.store.retry_dead(None, self.clock.now()).await,
            Selection::All(false) => Ok(0),
        }
        .map_err(unavailable)
    }

    async fn drop_dead(&self, which: &Selection) -> Outcome<u64> {
        match which {
            Selection::Ids(ids) => self.explainer.store.drop_dead(Some(ids)).await,
            Selection::All(true) => self.explainer.store.drop_dead(None).await,
            Selection::All(false) => Ok(0),
        }
        .map_err(unavailable)
    }

    async fn sinks(&self) -> Outcome<Vec<SinkView>> {
        let mut states: HashMap<&SinkName, PauseState> = self.explainer.supervisor.states().collect();
        let view = |sink: &crate::config::Sink| {
            let (state, reason) = match states.remove(&sink.name) {
                Some(PauseState::Paused(reason)) => ("paused", Some(reason)),
                Some(PauseState::Running) | None => ("running", None),
            };
            SinkView { name: sink.name.clone(), kind: sink.settings.kind().into(), state: state.into(), reason }
        };
        Ok(self.config.sinks.iter().map(view).collect())
    }

    async fn pause_sink(&self, name: &str, reason: &str) -> Outcome<SinkView> {
        self.order(name, Some(reason)).await
    }

    async fn resume_sink(&self, name: &str) -> Outcome<SinkView> {
        self.order(name, None).await
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

    async fn rules(&self) -> Outcome<Vec<RuleView>> {
        let view = |rule: &crate::deliver::Rule| RuleView {
            name: rule.name.to_string(),
            enabled: rule.enabled,
            when: rule.when.source().to_owned(),
            sinks: rule.sends.iter().map(|send| send.to.clone()).collect(),
        };
        Ok(self.rules.list().iter().map(view).collect())
    }

    async fn connections(&self) -> Outcome<Vec<ConnectionView>> {
        let view = |connection: &crate::config::Connection| ConnectionView {
            name: connection.name.to_string(),
            url: connection.url.to_string(),
            asks_jira: self.jiras.contains_key(&connection.name),
        };
        Ok(self.config.connections.iter().map(view).collect())
    }
}

fn dead_letter(row: ParkedRow) -> DeadLetterView {
    DeadLetterView {
        id: row.id,
        event_id: row.key.event_id.to_string(),
        sink: row.key.sink,
        target: row.key.target.to_string(),
        rule: row.rule.as_deref().map(str::to_owned),
        reason: row.reason,
        attempts: row.attempts,
        first_at: row.first_at,
        last_at: row.last_at,
    }
}

fn unavailable(err: StoreError) -> OperationError {
    OperationError::Unavailable(err.to_string())
}
