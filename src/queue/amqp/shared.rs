//! What all parts of the queue know: the connections, the sinks that have a place on the broker, and how much waits for them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, timeout};

use super::connection::{ANSWER_LIMIT, BrokerConnection, Connector, Fault};
use super::inbox::Inbox;
use super::settings::Broker;
use super::sinks;
use super::stamp::Stamps;
use super::topology::{Topology, close};
use crate::clock::Clock;
use crate::event::{LaneCount, LaneId, Position};
use crate::queue::owners::Owners;
use crate::queue::{Backlog, PublishError, Share};
use crate::setting::SinkName;
use crate::shutdown::Tasks;

/// A list of sinks that was read so long ago is good enough to say that there are none.
const NOBODY_FOR: Duration = Duration::from_secs(1);
/// How long a message that another process took from the broker may be under way, at most: after it the message is acknowledged.
const IN_FLIGHT_MICROSECONDS: u64 = 60_000_000;

pub(super) struct Shared {
    pub(super) topology: Arc<Topology>,
    pub(super) publishing: BrokerConnection,
    /// For everything that is neither published nor consumed.
    pub(super) control: BrokerConnection,
    pub(super) stamps: Arc<Stamps>,
    pub(super) prefetch: u16,
    /// The configured limit, or the broker's own, once it was met.
    pub(super) body_max: AtomicUsize,
    pub(super) tasks: Tasks,
    /// Notified when bindings were found to be missing.
    pub(super) rebind_needed: Notify,
    /// Odd while bindings are missing. What was published while it changed may have found some of its queues only.
    binding_generation: AtomicU64,
    connector: Arc<Connector>,
    share: watch::Receiver<Share>,
    max_backlog: u64,
    places: Mutex<BTreeMap<SinkName, Arc<Place>>>,
    known: Mutex<Known>,
    full: Mutex<Option<String>>,
}

/// A sink of this process.
pub(super) struct Place {
    pub(super) sink: SinkName,
    /// A connection for each sink: its lanes are channels, of which a connection has no more than two thousand.
    pub(super) connection: BrokerConnection,
    pub(super) owners: Arc<Owners>,
    inboxes: Vec<Arc<Inbox>>,
}

/// Sinks that have a place on the broker, and when that was read.
#[derive(Default)]
struct Known {
    sinks: BTreeSet<SinkName>,
    read_at: Option<Instant>,
}

impl Place {
    pub(super) fn inbox(&self, lane: LaneId) -> &Arc<Inbox> {
        self.inboxes.get(usize::from(lane.0)).expect("a lane of this queue")
    }
}

impl Shared {
    pub(super) fn new(broker: &Broker, name: &str, lanes: LaneCount, share: watch::Receiver<Share>) -> Result<Self, Fault> {
        let connector = Arc::new(Connector::new(broker)?);
        let topology = Arc::new(Topology::new(name, lanes));
        Ok(Self {
            publishing: BrokerConnection::new(&connector, topology.names.connection("publishes")),
            control: BrokerConnection::new(&connector, topology.names.connection("controls")),
            topology,
            stamps: Arc::new(Stamps::new(Clock::system())),
            prefetch: broker.prefetch,
            body_max: AtomicUsize::new(broker.max_message.length()),
            tasks: Tasks::new(),
            rebind_needed: Notify::new(),
            binding_generation: AtomicU64::new(0),
            connector,
            share,
            max_backlog: broker.max_backlog,
            places: Mutex::default(),
            known: Mutex::default(),
            full: Mutex::default(),
        })
    }

    /// The place of a sink in this process.
    pub(super) fn place(&self, sink: &SinkName) -> Arc<Place> {
        let new = || {
            let owners = Owners::new(self.topology.lanes, self.tasks.token().child_token());
            owners.share(&self.share.borrow());
            let connection = BrokerConnection::new(&self.connector, self.topology.names.connection(&format!("consumes for {sink}")));
            let inboxes = self.topology.lanes.lanes().map(|_| Arc::default()).collect();
            Arc::new(Place { sink: sink.clone(), connection, owners, inboxes })
        };
        Arc::clone(lock(&self.places).entry(sink.clone()).or_insert_with(new))
    }

    pub(super) fn known_place(&self, sink: &SinkName) -> Option<Arc<Place>> {
        lock(&self.places).get(sink).cloned()
    }

    pub(super) fn all_places(&self) -> Vec<Arc<Place>> {
        lock(&self.places).values().cloned().collect()
    }

    pub(super) fn remove_place(&self, sink: &SinkName) -> Option<Arc<Place>> {
        lock(&self.known).sinks.remove(sink);
        lock(&self.places).remove(sink)
    }

    pub(super) async fn read_sinks(&self) -> Result<(), Fault> {
        let before = lock(&self.known).sinks.clone();
        let mut sinks = sinks::read(&self.topology, &self.control).await?;
        sinks.extend(lock(&self.places).keys().cloned());
        let mut known = lock(&self.known);
        // Sinks that were added here while the list was being read.
        sinks.extend(known.sinks.difference(&before).cloned());
        known.sinks = sinks;
        known.read_at = Some(Instant::now());
        Ok(())
    }

    /// So that other processes and later ones know of it.
    pub(super) async fn add_sink(&self, sink: &SinkName) -> Result<(), Fault> {
        if !lock(&self.known).sinks.contains(sink) {
            // A connection that has published is held up while the broker is short of memory, and ours for control must not be.
            let connection = BrokerConnection::new(&self.connector, self.topology.names.connection("adds a sink"));
            let added = sinks::add(&self.topology, &connection, sink).await;
            connection.close().await;
            added?;
            lock(&self.known).sinks.insert(sink.clone());
        }
        Ok(())
    }

    fn known_sinks(&self) -> Vec<SinkName> {
        lock(&self.known).sinks.iter().cloned().collect()
    }

    /// What becomes of a message that found no queue: nobody may have subscribed yet, and then there is nothing to keep. Else something
    /// was unbound or removed, and the sender must come again when it is mended.
    pub(super) async fn handle_unroutable(&self) -> Result<(), PublishError> {
        let is_fresh = |known: &Known| known.sinks.is_empty() && known.read_at.is_some_and(|at| at.elapsed() < NOBODY_FOR);
        if !is_fresh(&lock(&self.known)) {
            self.read_sinks().await.map_err(|fault| PublishError::Unavailable(fault.to_string()))?;
        }
        if lock(&self.known).sinks.is_empty() {
            return Ok(());
        }
        self.mark_unbound();
        self.rebind_needed.notify_one();
        let exchange = self.topology.names.exchange();
        Err(PublishError::Unavailable(format!("`{exchange}` had no queue for it, though sinks have subscribed")))
    }

    pub(super) fn binding_generation(&self) -> u64 {
        self.binding_generation.load(Ordering::Acquire)
    }

    pub(super) fn is_unbound(&self) -> bool {
        is_odd(self.binding_generation())
    }

    /// From now on nothing is accepted until all is bound again: a message would find some queues, and be taken for stored by all.
    pub(super) fn mark_unbound(&self) {
        let marked = self.binding_generation.fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| (!is_odd(now)).then_some(now + 1));
        if marked.is_ok() {
            let exchange = self.topology.names.exchange();
            tracing::error!(exchange, "`{exchange}` has lost what was bound to it; nothing is accepted until it is bound again");
        }
    }

    pub(super) fn mark_bound(&self) {
        let marked = self.binding_generation.fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| is_odd(now).then_some(now + 1));
        if marked.is_ok() {
            tracing::info!("`{}` is bound again, and events are accepted", self.topology.names.exchange());
        }
    }

    /// A broker that takes only shorter messages says so when it refuses one: the next try fits.
    pub(super) fn learn_limit(&self, fault: &Fault) {
        let told = fault.to_string();
        let Some(limit) = told.rsplit_once("max size ").and_then(|(_, limit)| limit.parse::<usize>().ok()) else { return };
        if self.body_max.fetch_min(limit, Ordering::Relaxed) > limit {
            tracing::warn!(limit, "the broker takes no message above {limit} bytes; set `queue.max_message` below that");
        }
    }

    /// The exchange and what all sinks are bound by.
    pub(super) async fn bind_all(&self) -> Result<(), Fault> {
        self.topology.make_exchange(&self.control).await?;
        let mut channel = self.control.channel().await?;
        for (sink, lane) in self.known_sinks().iter().flat_map(|sink| self.topology.lanes.lanes().map(move |lane| (sink, lane))) {
            if self.tasks.token().is_cancelled() {
                break;
            }
            match self.topology.bind_lane(&channel, sink, lane).await {
                Ok(()) => {}
                // The queue is gone, and the channel with it; the others are bound all the same.
                Err(Fault::Missing(why)) if !why.contains("no exchange") => channel = self.control.channel().await?,
                Err(fault) => {
                    close(&channel).await;
                    return Err(fault);
                }
            }
        }
        close(&channel).await;
        Ok(())
    }

    pub(super) fn full(&self) -> Option<String> {
        lock(&self.full).clone()
    }

    /// Looks whether too much waits for some sink.
    pub(super) async fn check_backlog(&self) -> Result<(), Fault> {
        let mut full = None;
        for sink in self.known_sinks() {
            let waiting: u64 = self.count(&sink, false).await?.iter().map(|row| row.waiting).sum();
            if waiting >= self.max_backlog {
                full = Some(format!("{waiting} events wait for `{sink}`, and `queue.max_backlog` is {}", self.max_backlog));
            }
        }
        let was_full = std::mem::replace(&mut *lock(&self.full), full.clone());
        match (was_full, full) {
            (None, Some(why)) => tracing::warn!("nothing more is accepted: {why}"),
            (Some(_), None) => tracing::info!("events are accepted again"),
            _ => {}
        }
        Ok(())
    }

    pub(super) async fn backlog(&self) -> Result<Vec<Backlog>, Fault> {
        let mut rows = Vec::new();
        for sink in self.known_sinks() {
            rows.extend(self.count(&sink, true).await?);
        }
        Ok(rows)
    }

    /// Exact where the lane is ours and nothing happens meanwhile; elsewhere without what another process has in hand.
    async fn count(&self, sink: &SinkName, exactly: bool) -> Result<Vec<Backlog>, Fault> {
        let place = self.known_place(sink);
        let mut channel = self.control.channel().await?;
        let mut rows = Vec::new();
        for lane in self.topology.lanes.lanes() {
            let inbox = place.as_ref().map(|place| place.inbox(lane));
            let asked = match inbox {
                Some(inbox) if exactly => ask(inbox).await,
                _ => None,
            };
            let counted = match asked {
                Some(waiting) => Ok((waiting, 0)),
                None => self.topology.count(&channel, &self.topology.names.queue(sink, lane)).await,
            };
            let oldest = inbox.and_then(|inbox| inbox.oldest());
            match counted {
                Ok((waiting, _)) => rows.push(Backlog { sink: sink.clone(), lane, waiting, oldest: oldest.filter(|_| waiting > 0) }),
                // The list of sinks keeps names of some that are gone.
                Err(Fault::Missing(_)) if place.is_none() => return Ok(rows),
                Err(Fault::Missing(_)) => channel = self.control.channel().await?,
                Err(fault) => return Err(fault),
            }
        }
        close(&channel).await;
        Ok(rows)
    }

    /// How far a sink is known to have passed. A lane of another process tells only whether it has come to its end.
    pub(super) async fn passed(&self, sink: &SinkName, lane: LaneId) -> Result<Option<Position>, Fault> {
        let place = self.known_place(sink);
        let inbox = place.as_ref().map(|place| place.inbox(lane));
        if let Some(passed) = inbox.and_then(|inbox| inbox.passed()) {
            return Ok(Some(passed));
        }
        let now = self.stamps.now();
        let channel = self.control.channel().await?;
        let counted = self.topology.count(&channel, &self.topology.names.queue(sink, lane)).await;
        close(&channel).await;
        let is_ours = inbox.is_some_and(|inbox| inbox.asks().is_some());
        Ok(match counted {
            Ok((0, 1)) if is_ours => Some(now),
            Ok((0, _)) => Some(Position(now.0.saturating_sub(IN_FLIGHT_MICROSECONDS))),
            Ok(_) | Err(Fault::Missing(_)) => None,
            Err(fault) => return Err(fault),
        })
    }
}

fn is_odd(generation: u64) -> bool {
    generation % 2 == 1
}

/// `None`: no pump runs for this lane in this process.
async fn ask(inbox: &Inbox) -> Option<u64> {
    let (to, answered) = oneshot::channel();
    inbox.asks()?.send(to).await.ok()?;
    timeout(ANSWER_LIMIT, answered).await.ok()?.ok()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
