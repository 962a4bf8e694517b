//! The hot end of one lane: the newest envelopes in memory, for sinks that follow closely, and how far the lane is durable.
//!
//! Fed only after the sync: nobody sees an envelope here that a crash could take back. What is not here is read from the log.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::watch;

use crate::clock::Timestamp;
use crate::event::{Envelope, Position, Renew};

pub(super) struct Tail {
    ring: Mutex<Ring>,
    synced: watch::Sender<u64>,
    events_max: usize,
    bytes_max: usize,
}

/// Envelopes at consecutive positions from `first`.
struct Ring {
    first: u64,
    held: VecDeque<Arc<Held>>,
    bytes: usize,
}

/// An envelope in memory. Made whole once, by the first sink that comes for it, and not at all where all sinks are far behind.
pub(super) struct Held {
    published: Arc<Envelope>,
    whole: OnceLock<Arc<Envelope>>,
    encoded_size: usize,
}

impl Held {
    /// Takes about as long as the receiver took with the same body.
    pub(super) fn whole(&self, renew: Option<Renew>) -> Arc<Envelope> {
        let renew = renew.filter(|_| self.published.renewable);
        let whole = renew.map(|renew| self.whole.get_or_init(|| Arc::new(self.published.renewed(renew))));
        Arc::clone(whole.unwrap_or(&self.published))
    }

    pub(super) fn body_size(&self) -> usize {
        self.published.raw.len()
    }
}

impl Tail {
    /// A lane whose durable end is `last`.
    pub(super) fn new(last: u64, events_max: usize, bytes_max: usize) -> Self {
        let ring = Mutex::new(Ring { first: last + 1, held: VecDeque::new(), bytes: 0 });
        Self { ring, synced: watch::Sender::new(last), events_max, bytes_max }
    }

    /// The last durable position.
    pub(super) fn last(&self) -> u64 {
        *self.synced.borrow()
    }

    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.synced.subscribe()
    }

    /// Takes what became durable up to `last`. Where something before it was never shown here, the ring begins anew behind the gap.
    pub(super) fn push(&self, envelopes: impl Iterator<Item = (Arc<Envelope>, usize)>, last: u64) {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        for (published, encoded_size) in envelopes {
            ring.bytes += encoded_size;
            ring.held.push_back(Arc::new(Held { published, whole: OnceLock::new(), encoded_size }));
            while ring.held.len() > self.events_max || ring.bytes > self.bytes_max {
                ring.drop_first();
            }
        }
        ring.end_at(last);
        drop(ring);
        self.synced.send_replace(last);
    }

    /// Drops what every sink has passed.
    pub(super) fn trim(&self, passed: u64) {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        while ring.first <= passed && !ring.held.is_empty() {
            ring.drop_first();
        }
    }

    /// What stands at `from` and after; Err: it has left memory, and how far the log must be read.
    pub(super) fn window(&self, from: u64, limit: usize) -> Result<Vec<(Position, Arc<Held>)>, u64> {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let skipped = from.checked_sub(ring.first).ok_or(ring.first)?;
        let held = ring.held.iter().skip(usize::try_from(skipped).unwrap_or(usize::MAX)).take(limit);
        Ok((from..).map(Position).zip(held.cloned()).collect())
    }

    /// When the envelope at a position was received, if it is still in memory.
    pub(super) fn received_at(&self, position: u64) -> Option<Timestamp> {
        self.window(position, 1).ok()?.first().map(|(_, held)| held.published.event.data.received_at)
    }
}

impl Ring {
    fn end_at(&mut self, last: u64) {
        if self.first + self.held.len() as u64 != last + 1 {
            *self = Self { first: last + 1, held: VecDeque::new(), bytes: 0 };
        }
    }

    fn drop_first(&mut self) {
        if let Some(held) = self.held.pop_front() {
            self.first += 1;
            self.bytes -= held.encoded_size;
        }
    }
}
