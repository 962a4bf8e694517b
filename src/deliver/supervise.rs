//! Starts a sink's lanes, keeps them alive, and holds what they share: route, breaker, pause, targets that take nothing now.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::archive;
use super::breaker::Breaker;
use super::claims::Claims;
use super::control::{Pause, PauseState};
use super::crash_loop::CrashLoop;
use super::fields::FieldCache;
use super::route::{Jiras, Route};
use super::settings::Settings;
use super::worker::LaneWorker;
use crate::clock::{Clock, Timestamp};
use crate::queue::{Queue, QueueError, Subscription};
use crate::setting::SinkName;
use crate::shutdown::Tasks;
use crate::sink::Sink;
use crate::store::{Store, StoreError};

/// How long to wait after the queue could not give a lane.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a start waits for a queue that gives no places yet.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// How often a process looks for orders that another gave.
const ORDERS_EVERY: Duration = Duration::from_secs(5);

/// What all lanes of one sink share.
pub(crate) struct Shared {
    pub(crate) route: Route,
    pub(crate) store: Store,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) jiras: Arc<Jiras>,
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) breaker: Arc<Breaker>,
    pub(crate) claims: Arc<Claims>,
    pub(crate) pause: Arc<Pause>,
    pub(crate) fields: FieldCache,
    /// Since when it decides by these rules.
    pub(crate) since: Timestamp,
    crash_loop: Option<Arc<CrashLoop>>,
    /// Fires when the process stops: what is in hand must end within seconds.
    pub(crate) stop: CancellationToken,
    /// The tasks of this sink, which are stopped alone when the sink changes.
    pub(super) tasks: Tasks,
    blocked: Arc<Mutex<HashMap<Arc<str>, Instant>>>,
}

impl Shared {
    /// Fires when no new window may begin: the sink changes, or the process stops.
    pub(crate) fn retired(&self) -> &CancellationToken {
        self.tasks.token()
    }

    /// What holds whatever its rules are. A sink that was built anew may be another one: only who holds which event is kept then.
    pub(super) fn inherit(&mut self, before: &Self) {
        self.claims = before.claims.clone();
        if Arc::ptr_eq(&self.route.sink, &before.route.sink) {
            self.breaker = before.breaker.clone();
            self.pause = before.pause.clone();
            self.blocked = before.blocked.clone();
        }
    }

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
        if self.is_careful() { 1 } else { self.settings.window }
    }

    pub(crate) fn is_careful(&self) -> bool {
        self.crash_loop.as_ref().is_some_and(|crash_loop| crash_loop.is_careful())
    }

    /// Before a turn's work. After unclean starts one delivery of the whole process at a time: what then dies with it is the one.
    pub(crate) async fn lock_if_careful(&self) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        let crash_loop = self.crash_loop.as_ref()?;
        crash_loop.work_begins().await;
        if crash_loop.is_careful() { Some(crash_loop.turn_lock.lock().await) } else { None }
    }

    pub(crate) fn progressed(&self) {
        if let Some(crash_loop) = self.crash_loop.clone().filter(|crash_loop| crash_loop.progressed()) {
            self.tasks.spawn("progress", async move { crash_loop.clear().await });
        }
    }
}

/// Everything that delivery needs of the rest of the program.
#[derive(Clone)]
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
    pub(super) sinks: RwLock<Vec<Arc<Shared>>>,
    /// What may still have something in hand of sinks that were removed.
    pub(super) leaving: Mutex<HashMap<SinkName, Tasks>>,
    started_at: Timestamp,
    pub(super) does_work: bool,
    /// None: this process delivers nothing, so it cannot die of it.
    pub(super) crash_loop: Option<Arc<CrashLoop>>,
}

impl Supervisor {
    /// Takes each sink's place on the road, the archive's first, then lets them work.
    pub async fn start(delivery: &Delivery, routes: Vec<Route>) -> Result<Self, StartError> {
        let begun = CrashLoop::begin(&delivery.instance, delivery.store.clone(), delivery.clock.clone()).await?;
        let crash_loop = Some(Arc::new(begun));
        let archive = subscribe(delivery, &SinkName::archive()).await?;
        let mut sinks = Vec::new();
        for route in routes {
            let shared = shared(delivery, route, crash_loop.clone());
            shared.pause.refresh(&delivery.store).await?;
            shared.route.rules.refresh(&delivery.store).await?;
            let place = subscribe(delivery, shared.route.name()).await?;
            sinks.push((Arc::new(shared), place));
        }
        let (store, lanes) = (delivery.store.clone(), delivery.tasks.clone());
        delivery.tasks.spawn("archive", async move { run_archive_lanes(archive, store, lanes).await });
        let mut working = Vec::new();
        for (shared, place) in sinks {
            start_sink(delivery, &shared, Some(place), None);
            working.push(shared);
        }
        Ok(Self::of(delivery, working, crash_loop, true))
    }

    /// Knows the sinks and their orders, and leaves the work to other processes.
    pub async fn watch(delivery: &Delivery, routes: Vec<Route>) -> Result<Self, StartError> {
        let mut sinks = Vec::new();
        for route in routes {
            let shared = Arc::new(shared(delivery, route, None));
            shared.pause.refresh(&delivery.store).await?;
            shared.route.rules.refresh(&delivery.store).await?;
            shared.tasks.spawn("orders", watch_control(shared.clone()));
            sinks.push(shared);
        }
        Ok(Self::of(delivery, sinks, None, false))
    }

    fn of(delivery: &Delivery, sinks: Vec<Arc<Shared>>, crash_loop: Option<Arc<CrashLoop>>, does_work: bool) -> Self {
        let (sinks, leaving) = (RwLock::new(sinks), Mutex::default());
        Self { sinks, leaving, started_at: delivery.clock.now(), does_work, crash_loop }
    }

    /// What began before this moment and did not end was under way in an earlier process.
    pub(crate) fn started_at(&self) -> Timestamp {
        self.started_at
    }

    pub(crate) fn sinks(&self) -> Vec<Arc<Shared>> {
        self.sinks.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What each sink is built as; kept where it does not change.
    pub fn built(&self, name: &SinkName) -> Option<Arc<dyn Sink>> {
        self.sinks().iter().find(|shared| shared.route.name() == name).map(|shared| shared.route.sink.clone())
    }

    /// Name, and whether it is paused.
    pub fn states(&self) -> Vec<(SinkName, PauseState)> {
        self.sinks().iter().map(|shared| (shared.route.name().clone(), shared.pause.state())).collect()
    }

    /// Called after all tasks have ended: this was no crash.
    pub async fn stopped(&self) {
        if let Some(crash_loop) = &self.crash_loop {
            crash_loop.clear().await;
        }
    }
}

pub(super) fn shared(delivery: &Delivery, route: Route, crash_loop: Option<Arc<CrashLoop>>) -> Shared {
    Shared {
        pause: Arc::new(Pause::new(route.name().clone())),
        route,
        store: delivery.store.clone(),
        queue: delivery.queue.clone(),
        jiras: delivery.jiras.clone(),
        settings: delivery.settings.clone(),
        clock: delivery.clock.clone(),
        breaker: Arc::default(),
        claims: Arc::default(),
        fields: FieldCache::default(),
        since: delivery.clock.now(),
        crash_loop,
        stop: delivery.tasks.token().clone(),
        tasks: delivery.tasks.part(),
        blocked: Arc::default(),
    }
}

/// Lets a sink work, once what was there before it has let go. Without a place it takes its own.
pub(super) fn start_sink(delivery: &Delivery, shared: &Arc<Shared>, place: Option<Box<dyn Subscription>>, before: Option<Tasks>) {
    let (delivery, shared) = (delivery.clone(), shared.clone());
    shared.tasks.clone().spawn("sink", async move {
        if let Some(before) = before {
            before.ended().await;
        }
        let ready = tokio::select! {
            () = shared.tasks.token().cancelled() => return,
            ready = make_ready(&delivery, &shared, place) => ready,
        };
        shared.tasks.spawn("orders", watch_control(shared.clone()));
        run_lanes(ready, shared).await;
    });
}

/// Its orders and its place, however long store and queue take.
async fn make_ready(delivery: &Delivery, shared: &Shared, mut place: Option<Box<dyn Subscription>>) -> Box<dyn Subscription> {
    let sink = shared.route.name();
    loop {
        let taken = match (shared.pause.refresh(&delivery.store).await, place.take()) {
            (Ok(_), Some(place)) => return place,
            (Ok(_), None) => subscribe(delivery, sink).await.map_err(StartError::from),
            (Err(err), kept) => {
                place = kept;
                Err(err.into())
            }
        };
        match taken {
            Ok(place) => return place,
            Err(err) => tracing::warn!(%sink, "`{sink}` cannot go on yet: {err}"),
        }
        tokio::time::sleep(PATIENCE).await;
    }
}

/// A sink's place. A broker that is just coming up gets a moment.
pub(super) async fn subscribe(delivery: &Delivery, sink: &SinkName) -> Result<Box<dyn Subscription>, QueueError> {
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
async fn run_archive_lanes(mut subscription: Box<dyn Subscription>, store: Store, tasks: Tasks) {
    let stop = tasks.token().clone();
    while let Some(lane) = next_lane(subscription.as_mut(), &SinkName::archive(), &tasks).await {
        let (store, stop) = (store.clone(), stop.clone());
        tasks.spawn("archive lane", async move { archive::run(lane, &store, &stop).await });
    }
}

/// Every lane of a sink on a task of its own; a lane that was lost comes again.
async fn run_lanes(mut subscription: Box<dyn Subscription>, shared: Arc<Shared>) {
    while let Some(lane) = next_lane(subscription.as_mut(), shared.route.name(), &shared.tasks).await {
        shared.tasks.spawn("lane", LaneWorker::new(shared.clone(), lane).run());
    }
}

/// None: the group stops.
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
pub(super) async fn watch_control(shared: Arc<Shared>) {
    let mut orders = shared.store.orders();
    let stop = shared.tasks.token().clone();
    loop {
        match shared.pause.refresh(&shared.store).await {
            Ok(true) => {
                shared.breaker.record_success();
                tracing::info!(sink = %shared.route.name(), "sink `{}` runs again", shared.route.name());
            }
            Ok(false) => {}
            Err(err) => tracing::warn!(sink = %shared.route.name(), "orders cannot be read: {err}"),
        }
        if let Err(err) = shared.route.rules.refresh(&shared.store).await {
            tracing::warn!(sink = %shared.route.name(), "orders about rules cannot be read: {err}");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = orders.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(ORDERS_EVERY) => {}
        }
    }
}
