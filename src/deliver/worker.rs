//! One lane of one sink: looks at the next envelopes, brings them to an end, passes them, and lets those that waited go first.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::enrich::Item;
use super::journal::NotWritten;
use super::park::WaitingSet;
use super::replay::Replays;
use super::route::{Decision, Verdict};
use super::supervise::Shared;
use super::trail::Trail;
use crate::backoff::jittered;
use crate::event::{LaneId, PartitionKey};
use crate::queue::{Lane, QueueError, RetryingLane, Seen};
use crate::store::{Parked, ParkedRow, ReplayLane, StoreError, Waiting, WaitingKey, Write};

/// Between two looks at those who wait, new envelopes get their turn for this long.
const TURN: Duration = Duration::from_millis(2);
/// Envelopes that must be read from disk need a longer turn now and then.
const LONG_TURN: Duration = Duration::from_millis(200);
const LONG_TURN_EVERY: u32 = 16;
/// How long what cannot be read is not looked at again: it takes another version of the program.
const UNREADABLE_FOR: Duration = Duration::from_secs(60);
/// How long a lane sleeps at most when nothing is due.
const IDLE: Duration = Duration::from_secs(3_600);
/// Another process may have parked something of this lane after it was taken over, so the store is asked again.
const RELOAD_EVERY: Duration = Duration::from_secs(60);
/// How long a lane waits after the store could not be read.
const PATIENCE: Duration = Duration::from_millis(500);

pub(crate) struct LaneWorker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) waiting: WaitingSet,
    pub(crate) replays: Replays,
    /// Where something of the batch in hand was parked: what follows it there must not overtake.
    pub(crate) held: HashSet<(Arc<str>, PartitionKey)>,
    pub(crate) stop: CancellationToken,
    lane: RetryingLane,
    turns: u32,
    /// The last turn was for those who waited, and for a replay.
    drained: bool,
    /// What was told of envelopes that could not be read.
    unreadable: HashSet<String>,
    /// No window has come yet: who had the lane before may still be at work, in another process.
    is_new: bool,
    reload_at: Instant,
}

/// Why a lane's work ended.
enum Ended {
    Lost,
    Stopped,
}

impl From<NotWritten> for Ended {
    fn from(_: NotWritten) -> Self {
        Self::Stopped
    }
}

impl From<QueueError> for Ended {
    fn from(_: QueueError) -> Self {
        Self::Lost
    }
}

impl LaneWorker {
    pub(crate) fn new(shared: Arc<Shared>, lane: Box<dyn Lane>) -> Self {
        let stop = shared.stop.clone();
        let (waiting, replays) = (WaitingSet::default(), Replays::default());
        let lane = RetryingLane::new(lane, shared.route.name());
        Self {
            shared,
            waiting,
            replays,
            held: HashSet::new(),
            stop,
            lane,
            turns: 0,
            drained: false,
            unreadable: HashSet::new(),
            is_new: true,
            reload_at: Instant::now(),
        }
    }

    pub(crate) fn lane_id(&self) -> LaneId {
        self.lane.id()
    }

    /// Until the lane is lost, the sink changes or the process stops.
    pub(crate) async fn run(mut self) {
        if let Ended::Lost = self.work().await {
            tracing::warn!(sink = %self.shared.route.name(), lane = %self.lane.id(), "lane {} of `{}` was lost", self.lane.id(), self.shared.route.name());
        }
    }

    async fn work(&mut self) -> Ended {
        let mut orders = self.shared.store.orders();
        if self.load_waiting().await.is_err() {
            return Ended::Stopped;
        }
        loop {
            let turn = match self.turn(&mut orders).await {
                Ok(Some(window)) => {
                    // A first window shows that whoever had the lane before has let go of it: only now is known what they parked.
                    if std::mem::take(&mut self.is_new) && self.load_waiting().await.is_err() {
                        return Ended::Stopped;
                    }
                    self.drained = false;
                    self.pass(window).await
                }
                Ok(None) => {
                    self.drained = true;
                    self.catch_up().await
                }
                Err(ended) => Err(ended),
            };
            if let Err(ended) = turn {
                return ended;
            }
        }
    }

    /// The next window; none: somebody who waited or a replay is due, or an order came.
    async fn turn(&mut self, orders: &mut tokio::sync::watch::Receiver<u64>) -> Result<Option<Vec<Seen>>, Ended> {
        // Subscribed first: a change after this is noticed below, one before it is seen by the look at the state.
        let mut pause = self.shared.pause.watch();
        if orders.has_changed().unwrap_or(true) {
            orders.changed().await.map_err(|_| Ended::Stopped)?;
            self.load_waiting().await.map_err(|_| Ended::Stopped)?;
        } else if Instant::now() >= self.reload_at {
            self.reload_waiting().await?;
        }
        let drainable = !self.waiting.is_empty() && !self.shared.pause.is_paused();
        let waiting = self.waiting.next_due().filter(|_| drainable);
        let due = [waiting, self.replay_due()].into_iter().flatten().min().map(|due| self.after_breaker(due));
        let is_due = due.is_some_and(|due| due <= Instant::now());
        if is_due && !self.drained && !self.shared.retired().is_cancelled() {
            // Windows and those who wait take turns, so that neither starves the other.
            return Ok(None);
        }
        let due = match due {
            Some(_) if is_due => {
                self.turns = self.turns.wrapping_add(1);
                Instant::now() + if self.turns.is_multiple_of(LONG_TURN_EVERY) { LONG_TURN } else { TURN }
            }
            Some(due) => due,
            None => self.reload_at,
        };
        let due = due.min(self.reload_at);
        let taken = self.lane.taken();
        tokio::select! {
            biased;
            () = self.shared.retired().cancelled() => Err(Ended::Stopped),
            () = taken.cancelled() => Err(Ended::Lost),
            window = self.lane.window(self.shared.window()) => Ok(Some(window?)),
            changed = orders.changed() => {
                changed.map_err(|_| Ended::Stopped)?;
                self.load_waiting().await.map_err(|_| Ended::Stopped)?;
                Ok(None)
            }
            _ = pause.changed() => Ok(None),
            () = self.shared.breaker.wait_or_close(due) => Ok(None),
        }
    }

    /// While the sink does not answer, who waits is due when somebody may probe.
    fn after_breaker(&self, due: Instant) -> Instant {
        self.shared.breaker.next_probe().map_or(due, |probe| due.max(probe))
    }

    async fn pass(&mut self, window: Vec<Seen>) -> Result<(), Ended> {
        let Some(last) = window.last().map(|seen| seen.position) else { return Ok(()) };
        let sink = self.shared.route.name();
        let ours = |seen: &Seen| seen.envelope.target.as_ref().is_none_or(|target| target == sink);
        let items = window.into_iter().filter(ours).map(|seen| item(seen.envelope, seen.position)).collect();
        self.process(items).await?;
        self.lane.advance(last).await?;
        self.replays.lane_passed(last);
        self.shared.progressed();
        Ok(())
    }

    async fn catch_up(&mut self) -> Result<(), Ended> {
        self.drain().await?;
        Ok(self.replay().await?)
    }

    /// Those who waited and are due, oldest first.
    async fn drain(&mut self) -> Result<(), Ended> {
        if self.shared.pause.is_paused() {
            return Ok(());
        }
        let Some(horizon) = self.waiting.horizon() else { return Ok(()) };
        let now = self.shared.clock.now().max(horizon);
        let sink = self.shared.route.name().clone();
        let rows = match self.shared.store.due(&sink, self.lane.id(), now, self.shared.window()).await {
            Ok(rows) => rows,
            Err(err) => return self.be_patient(&err).await,
        };
        if rows.parked.is_empty() && rows.unreadable.is_empty() {
            // Somebody else ended them: look again who is really there.
            return self.load_waiting().await.map_err(|_| Ended::Stopped);
        }
        self.put_off(rows.unreadable).await?;
        let items = rows.parked.into_iter().map(|row| self.resume(row)).collect();
        self.process(items).await?;
        self.shared.progressed();
        Ok(())
    }

    /// What cannot be read waits on, and with it only what stands behind it.
    async fn put_off(&mut self, unreadable: Vec<(ParkedRow, StoreError)>) -> Result<(), NotWritten> {
        let not_before = self.shared.clock.now().plus(UNREADABLE_FOR);
        let mut write = Write::default();
        for (row, err) in unreadable {
            let (StoreError::Unusable(reason) | StoreError::Rejected(reason) | StoreError::Unavailable(reason)) = err;
            self.log_unreadable_once(&reason);
            let key = Waiting::Key(row.key.sink.clone(), row.key.target.clone(), row.partition_key.clone());
            write.postpone.push((key, not_before));
            self.waiting.postpone(&row.key.target, &row.partition_key, not_before, UNREADABLE_FOR);
            write.tried.push(ParkedRow { not_before, reason, ..row });
        }
        self.persist(write).await
    }

    /// Once: it comes again and again. `why` names the event.
    pub(super) fn log_unreadable_once(&mut self, why: &str) {
        if self.unreadable.insert(why.to_owned()) {
            tracing::error!(sink = %self.shared.route.name(), "an event cannot go on with this version of the program: {why}");
        }
    }

    /// A delivery that waited goes on as it was decided; one that waited undecided is decided now.
    fn resume(&self, parked: Parked) -> Item {
        let row = &parked.row;
        let undecided = row.rule.is_none() && self.shared.route.rules.of_sink(&row.key.sink).next().is_some();
        let decisions = if undecided {
            Vec::new()
        } else {
            vec![Decision { rule: row.rule.clone(), target: row.key.target.clone(), verdict: Verdict::Send }]
        };
        let position = row.position;
        Item { decisions, parked: Some(parked.row), ..item(parked.envelope, position) }
    }

    async fn load_waiting(&mut self) -> Result<(), NotWritten> {
        loop {
            let (sink, lane) = (self.shared.route.name(), self.lane.id());
            match tokio::try_join!(self.shared.store.waiting_keys(sink, lane), self.shared.store.open_replays(sink, lane)) {
                Ok((rows, open)) => {
                    self.loaded(rows, open);
                    return Ok(());
                }
                Err(_) if self.shared.retired().is_cancelled() => return Err(NotWritten),
                Err(err) => {
                    tracing::warn!(sink = %self.shared.route.name(), "who waits in lane {} cannot be read: {err}", self.lane.id());
                    tokio::time::sleep(PATIENCE).await;
                }
            }
        }
    }

    /// What cannot be read now is read the next time: nothing is known to be missing.
    async fn reload_waiting(&mut self) -> Result<(), Ended> {
        self.plan_reload();
        let (sink, lane, taken) = (self.shared.route.name(), self.lane.id(), self.lane.taken());
        let read = tokio::select! {
            biased;
            () = self.shared.retired().cancelled() => return Err(Ended::Stopped),
            () = taken.cancelled() => return Err(Ended::Lost),
            read = async { tokio::try_join!(self.shared.store.waiting_keys(sink, lane), self.shared.store.open_replays(sink, lane)) } => read,
        };
        if let Ok((rows, open)) = read {
            self.loaded(rows, open);
        }
        Ok(())
    }

    fn loaded(&mut self, rows: Vec<WaitingKey>, open: Vec<ReplayLane>) {
        self.plan_reload();
        self.replays.load(open);
        self.waiting.load(rows, self.shared.clock.now());
    }

    /// Where no other process writes to the store, this one knows who waits.
    fn plan_reload(&mut self) {
        self.reload_at = Instant::now() + if self.shared.store.is_shared() { jittered(RELOAD_EVERY) } else { IDLE };
    }

    async fn be_patient(&mut self, err: &StoreError) -> Result<(), Ended> {
        tracing::warn!(sink = %self.shared.route.name(), "who waits cannot be read: {err}");
        tokio::select! {
            () = self.shared.retired().cancelled() => Err(Ended::Stopped),
            () = tokio::time::sleep(PATIENCE) => Ok(()),
        }
    }
}

pub(super) fn item(envelope: Arc<crate::event::Envelope>, position: crate::event::Position) -> Item {
    Item {
        envelope,
        position,
        parked: None,
        replay: None,
        decisions: Vec::new(),
        sights: None,
        internal: None,
        talk: None,
        privacy: None,
        last_level: None,
        fields: None,
        jql: None,
        is_settling: false,
        trail: Trail::none(),
    }
}
