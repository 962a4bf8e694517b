//! Where every sink stands in every lane: in memory, written down by the writer now and then. Losing the last ones repeats, never skips.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::log::{Batch, Log};
use crate::clock::Timestamp;
use crate::event::{LaneCount, LaneId};
use crate::queue::owners::Owners;
use crate::setting::SinkName;

/// All places, by the name of their sink.
pub(super) struct Places {
    by_name: RwLock<BTreeMap<SinkName, Arc<Place>>>,
}

/// One sink's place.
pub(super) struct Place {
    pub(super) sink: SinkName,
    pub(super) owners: Arc<Owners>,
    cursors: Vec<Cursor>,
    claims: Mutex<Claims>,
}

struct Cursor {
    now: AtomicU64,
    /// As the log has it.
    written: AtomicU64,
    /// When the event at a position was received: asked for again and again while a sink stands still.
    oldest: Mutex<(u64, Option<Timestamp>)>,
}

struct Claims {
    live: usize,
    unclaimed_since: Instant,
}

/// Held by every subscription and lane: a place that is claimed holds its events back for as long as it takes.
pub(super) struct Claim {
    pub(super) place: Arc<Place>,
}

impl Places {
    /// As the log has them. A cursor outside its lane is brought back to the nearest end, and said so.
    pub(super) fn read(log: &Log, lanes: LaneCount, closing: &CancellationToken) -> Self {
        let mut by_name = BTreeMap::new();
        for lane in lanes.lanes() {
            let (first, last) = (log.first(lane), log.last(lane));
            for (sink, cursor) in log.cursors(lane) {
                let place = by_name.entry(sink.clone()).or_insert_with(|| Place::new(sink, lanes, closing, |lane| log.last(lane)));
                let kept = cursor.clamp(first - 1, last.max(first - 1));
                if kept != cursor {
                    let sink = &place.sink;
                    tracing::warn!(%sink, lane = lane.0, "sink `{sink}` stood at {cursor} of lane {lane}, which holds {first} to {last}: it goes on after {kept}");
                }
                place.cursor(lane).now.store(kept, Ordering::Release);
                place.cursor(lane).written.store(cursor, Ordering::Relaxed);
            }
        }
        Self { by_name: RwLock::new(by_name.into_iter().map(|(sink, place)| (sink, Arc::new(place))).collect()) }
    }

    pub(super) fn get(&self, sink: &SinkName) -> Option<Arc<Place>> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).get(sink).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<Place>> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(super) fn insert(&self, place: Arc<Place>) {
        self.by_name.write().unwrap_or_else(PoisonError::into_inner).insert(place.sink.clone(), place);
    }

    pub(super) fn remove(&self, sink: &SinkName) -> Option<Arc<Place>> {
        self.by_name.write().unwrap_or_else(PoisonError::into_inner).remove(sink)
    }
}

impl Place {
    pub(super) fn new(sink: SinkName, lanes: LaneCount, closing: &CancellationToken, start: impl Fn(LaneId) -> u64) -> Self {
        let cursors = lanes.lanes().map(|lane| Cursor {
            now: AtomicU64::new(start(lane)),
            written: AtomicU64::new(u64::MAX),
            oldest: Mutex::new((0, None)),
        });
        Self {
            sink,
            owners: Owners::new(lanes, closing.child_token()),
            cursors: cursors.collect(),
            claims: Mutex::new(Claims { live: 0, unclaimed_since: Instant::now() }),
        }
    }

    pub(super) fn passed(&self, lane: LaneId) -> u64 {
        self.cursor(lane).now.load(Ordering::Acquire)
    }

    /// Never goes back.
    pub(super) fn pass(&self, lane: LaneId, past: u64) {
        self.cursor(lane).now.fetch_max(past, Ordering::AcqRel);
    }

    /// Puts the cursor into the batch if the log has another one. `written` must be told when that was kept.
    pub(super) fn put(&self, lane: LaneId, batch: &mut Batch) -> Option<u64> {
        let now = self.passed(lane);
        let is_changed = self.cursor(lane).written.load(Ordering::Relaxed) != now;
        is_changed.then(|| batch.put_cursor(lane, &self.sink, now)).map(|()| now)
    }

    pub(super) fn written(&self, lane: LaneId, cursor: u64) {
        self.cursor(lane).written.store(cursor, Ordering::Relaxed);
    }

    /// Whether events must be kept for it.
    pub(super) fn pins(&self, unclaimed_after: Duration) -> bool {
        let claims = self.claims();
        claims.live > 0 || claims.unclaimed_since.elapsed() < unclaimed_after
    }

    pub(super) fn oldest(&self, lane: LaneId, position: u64) -> Option<Timestamp> {
        let (known, at) = *self.cursor(lane).oldest.lock().unwrap_or_else(PoisonError::into_inner);
        at.filter(|_| known == position)
    }

    pub(super) fn found_oldest(&self, lane: LaneId, position: u64, at: Option<Timestamp>) {
        *self.cursor(lane).oldest.lock().unwrap_or_else(PoisonError::into_inner) = (position, at);
    }

    fn cursor(&self, lane: LaneId) -> &Cursor {
        self.cursors.get(usize::from(lane.0)).expect("a lane of this queue")
    }

    fn claims(&self) -> MutexGuard<'_, Claims> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    pub(super) fn new(place: Arc<Place>) -> Arc<Self> {
        place.claims().live += 1;
        Arc::new(Self { place })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut claims = self.place.claims();
        claims.live = claims.live.saturating_sub(1);
        claims.unclaimed_since = Instant::now();
    }
}
