//! Starts a sink's lanes, keeps them alive, and holds what they share: route, breaker, pause, targets that take nothing now.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::archive;
use super::breaker::Breaker;
use super::claims::Claims;
use super::control::{Pause, PauseState};
use super::crash_loop::CrashLoop;
use super::route::{Jiras, Route};
use super::settings::Settings;
use super::worker::LaneWorker;
use crate::clock::{Clock, Timestamp};
use crate::queue::{Queue, QueueError, Subscription};
use crate::setting::SinkName;
use crate::shutdown::Tasks;
use crate::store::{Store, StoreError};

/// After a queue that gave no lane.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a start waits for a queue that gives no places yet.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// How often a process looks for orders that another gave.
const ORDERS_EVERY: Duration = Duration::from_secs(5);

/// What all lanes of one sink share.
pub(crate) struct Shared {
    pub(crate) route: Route,
    pub(crate) store: Store,
    pub(crate) jiras: Arc<Jiras>,
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) breaker: Breaker,
    pub(crate) claims: Arc<Claims>,
    pub(crate) pause: Pause,
    pub(crate) careful: bool,
    crash_loop: Option<Arc<CrashLoop>>,
    tasks: Tasks,
    blocked: Mutex<HashMap<Arc<str>, Instant>>,
}

impl Shared {
    /// How long a target takes nothing yet.
    pub(crate) fn blocked(&self, target: &Arc<str>) -> Option<Duration> {
        let mut blocked = self.blocked.lock().unwrap_or_else(PoisonError::into_inner);
        let left = blocked.get(target)?.saturating_duration_since(Instant::now());
        if left.is_zero() {
            blocked.remove(target);
            return None;
        }
        Some(left)
    }

    /// Never shorter than it was asked before: answers may come in another order than they were given.
    pub(crate) fn block(&self, target: &Arc<str>, span: Duration) {
        let until = Instant::now() + span;
        let mut blocked = self.blocked.lock().unwrap_or_else(PoisonError::into_inner);
        blocked.entry(target.clone()).and_modify(|known| *known = until.max(*known)).or_insert(until);
    }

    pub(crate) fn window(&self) -> usize {
        if self.careful { 1 } else { self.settings.window }
    }

    /// After unclean starts one delivery of the whole process at a time: what then dies with it is the one.
    pub(crate) async fn alone(&self) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        match &self.crash_loop {
            Some(crash_loop) if self.careful => Some(crash_loop.alone.lock().await),
            _ => None,
        }
    }

    pub(crate) fn progressed(&self) {
        if let Some(crash_loop) = self.crash_loop.clone().filter(|crash_loop| crash_loop.progressed()) {
            self.tasks.spawn("progress", async move { crash_loop.clear().await });
        }
    }
}

/// Everything that delivery needs of the rest of the program.
pub struct Delivery {
    pub queue: Arc<dyn Queue>,
    pub store: Store,
    pub jiras: Arc<Jiras>,
    pub settings: Settings,
    pub clock: Clock,
    pub tasks: Tasks,
    /// The name of this process: its starts and crashes are counted apart from those of others.
    pub instance: String,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// All sinks at work.
pub struct Supervisor {
    sinks: Vec<Arc<Shared>>,
    started_at: Timestamp,
    /// None: this process delivers nothing, so it cannot die of it.
    crash_loop: Option<Arc<CrashLoop>>,
}

impl Supervisor {
    /// Takes each sink's place on the road, the archive's first, then lets them work.
    pub async fn start(delivery: &Delivery, routes: Vec<Route>) -> Result<Self, StartError> {
        let begun = CrashLoop::begin(&delivery.instance, delivery.store.clone(), delivery.clock.clone()).await?;
        let crash_loop = Arc::new(begun);
        let archive = subscribe(delivery, &SinkName::archive()).await?;
        let mut sinks = Vec::new();
        for route in routes {
            let shared = Arc::new(shared(delivery, route, Some(crash_loop.clone())));
            shared.pause.obey(&delivery.store).await?;
            let subscription = subscribe(delivery, shared.route.name()).await?;
            sinks.push((shared, subscription));
        }
        let (store, tasks) = (delivery.store.clone(), delivery.tasks.clone());
        let lanes = tasks.clone();
        tasks.spawn("archive", async move { keep_all(archive, store, lanes).await });
        let mut working = Vec::new();
        for (shared, subscription) in sinks {
            working.push(shared.clone());
            let (orders, lanes) = (shared.clone(), tasks.clone());
            tasks.spawn("orders", async move { obey_orders(orders).await });
            tasks.spawn("sink", async move { work_all(subscription, shared, lanes).await });
        }
        Ok(Self { sinks: working, started_at: delivery.clock.now(), crash_loop: Some(crash_loop) })
    }

    /// Knows the sinks and their orders, and leaves the work to other processes.
    pub async fn watch(delivery: &Delivery, routes: Vec<Route>) -> Result<Self, StartError> {
        let mut sinks = Vec::new();
        for route in routes {
            let shared = Arc::new(shared(delivery, route, None));
            shared.pause.obey(&delivery.store).await?;
            delivery.tasks.spawn("orders", obey_orders(shared.clone()));
            sinks.push(shared);
        }
        Ok(Self { sinks, started_at: delivery.clock.now(), crash_loop: None })
    }

    /// What began before this moment and did not end was under way in an earlier process.
    pub(crate) fn started_at(&self) -> Timestamp {
        self.started_at
    }

    pub(crate) fn sinks(&self) -> &[Arc<Shared>] {
        &self.sinks
    }

    /// Name, and whether it is paused.
    pub fn states(&self) -> impl Iterator<Item = (&SinkName, PauseState)> {
        self.sinks.iter().map(|shared| (shared.route.name(), shared.pause.state()))
    }

    /// Called after all tasks have ended: this was no crash.
    pub async fn stopped(&self) {
        if let Some(crash_loop) = &self.crash_loop {
            crash_loop.clear().await;
        }
    }
}

fn shared(delivery: &Delivery, route: Route, crash_loop: Option<Arc<CrashLoop>>) -> Shared {
    Shared {
        pause: Pause::new(route.name().clone()),
        route,
        store: delivery.store.clone(),
        jiras: delivery.jiras.clone(),
        settings: delivery.settings.clone(),
        clock: delivery.clock.clone(),
        breaker: Breaker::default(),
        claims: Arc::default(),
        careful: crash_loop.as_ref().is_some_and(|crash_loop| crash_loop.is_careful),
        crash_loop,
        tasks: delivery.tasks.clone(),
        blocked: Mutex::default(),
    }
}

/// A sink's place. A broker that is just coming up gets a moment.
async fn subscribe(delivery: &Delivery, sink: &SinkName) -> Result<Box<dyn Subscription>, QueueError> {
    let until = Instant::now() + START_PATIENCE;
    loop {
        match delivery.queue.subscribe(sink).await {
            Err(QueueError::Unavailable(why)) if Instant::now() < until => {
                tracing::warn!(%sink, "`{sink}` has no place on the queue yet: {why}");
                tokio::time::sleep(PATIENCE).await;
            }
            subscribed => return subscribed,
        }
    }
}

/// Every lane of the archive on a task of its own.
async fn keep_all(mut subscription: Box<dyn Subscription>, store: Store, tasks: Tasks) {
    let stop = tasks.token().clone();
    while let Some(lane) = next_lane(subscription.as_mut(), &SinkName::archive(), &tasks).await {
        let (store, stop) = (store.clone(), stop.clone());
        tasks.spawn("archive lane", async move { archive::keep(lane, &store, &stop).await });
    }
}

/// Every lane of a sink on a task of its own; a lane that was lost comes again.
async fn work_all(mut subscription: Box<dyn Subscription>, shared: Arc<Shared>, tasks: Tasks) {
    while let Some(lane) = next_lane(subscription.as_mut(), shared.route.name(), &tasks).await {
        let worker = LaneWorker::new(shared.clone(), lane, tasks.token().clone());
        tasks.spawn("lane", worker.run());
    }
}

/// None: the process stops.
async fn next_lane(subscription: &mut dyn Subscription, sink: &SinkName, tasks: &Tasks) -> Option<Box<dyn crate::queue::Lane>> {
    loop {
        let lane = tokio::select! {
            () = tasks.token().cancelled() => return None,
            lane = subscription.next_lane() => lane,
        };
        match lane {
            Ok(lane) => return Some(lane),
            Err(err) => {
                tracing::warn!(%sink, "no lane for `{sink}`: {err}");
                tokio::select! {
                    () = tasks.token().cancelled() => return None,
                    () = tokio::time::sleep(PATIENCE) => {}
                }
            }
        }
    }
}

/// Watches the control rows of one sink.
async fn obey_orders(shared: Arc<Shared>) {
    let mut orders = shared.store.orders();
    let stop = shared.tasks.token().clone();
    loop {
        match shared.pause.obey(&shared.store).await {
            Ok(true) => {
                shared.breaker.answered();
                tracing::info!(sink = %shared.route.name(), "sink `{}` runs again", shared.route.name());
            }
            Ok(false) => {}
            Err(err) => tracing::warn!(sink = %shared.route.name(), "orders cannot be read: {err}"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = orders.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(ORDERS_EVERY) => {}
        }
    }
}
