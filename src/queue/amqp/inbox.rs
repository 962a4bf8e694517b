//! What the broker has sent for one lane of a sink and was not passed yet. The pump fills it, the lane empties it.
//!
//! It outlives the lane, so that positions go on where they stood when the lane is opened again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, mpsc, oneshot};

use super::stamp::position_after;
use crate::clock::Timestamp;
use crate::event::{Envelope, Position};
use crate::queue::{QueueError, Seen};

/// Asks a pump how much waits, in the queue and here.
pub(super) type Ask = oneshot::Sender<u64>;

#[derive(Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    pub(super) arrived: Notify,
}

#[derive(Default)]
struct State {
    held: VecDeque<Held>,
    /// Asks the pump that fills the inbox; `None` while no pump runs.
    asks: Option<mpsc::Sender<Ask>>,
    /// The last position that was passed in this process, by any owner of the lane.
    passed: Position,
    /// Whether the present owner of the lane has passed it up to `passed`.
    is_known: bool,
    last: Position,
}

struct Held {
    tag: u64,
    position: Position,
    /// None: it is nothing of ours.
    envelope: Option<Arc<Envelope>>,
}

impl Inbox {
    /// The broker shows again what was not passed, and it stands where it stood.
    pub(super) fn begin(&self, asks: mpsc::Sender<Ask>) {
        let mut state = self.state();
        *state = State { held: VecDeque::new(), asks: Some(asks), passed: state.passed, is_known: false, last: state.passed };
    }

    pub(super) fn end(&self) {
        let mut state = self.state();
        state.asks = None;
        state.held.clear();
        drop(state);
        self.arrived.notify_waiters();
    }

    pub(super) fn asks(&self) -> Option<mpsc::Sender<Ask>> {
        self.state().asks.clone()
    }

    /// The tag to acknowledge at once, where this is nothing of ours and nothing stands before it.
    pub(super) fn push(&self, tag: u64, stamp: Option<u64>, envelope: Option<Arc<Envelope>>) -> Option<u64> {
        let mut state = self.state();
        if envelope.is_none() && state.held.is_empty() {
            return Some(tag);
        }
        let position = position_after(state.last, stamp);
        state.last = position;
        state.held.push_back(Held { tag, position, envelope });
        drop(state);
        self.arrived.notify_waiters();
        None
    }

    /// The first `limit`; perhaps none.
    pub(super) fn window(&self, limit: usize) -> Result<Vec<Seen>, QueueError> {
        let state = self.state();
        if state.asks.is_none() {
            return Err(QueueError::Lost);
        }
        let ours = state.held.iter().filter_map(|held| Some(Seen { position: held.position, envelope: held.envelope.clone()? }));
        Ok(ours.take(limit).collect())
    }

    /// Lets go of everything up to `past`. The tag to acknowledge, with all before it.
    pub(super) fn pass(&self, past: Position) -> Result<Option<u64>, QueueError> {
        let mut state = self.state();
        if state.asks.is_none() {
            return Err(QueueError::Lost);
        }
        let mut tag = None;
        while let Some(held) = state.held.pop_front_if(|held| held.position <= past || (tag.is_some() && held.envelope.is_none())) {
            tag = Some(held.tag);
            state.passed = held.position;
            state.is_known = true;
        }
        Ok(tag)
    }

    pub(super) fn held(&self) -> u64 {
        u64::try_from(self.state().held.len()).unwrap_or(u64::MAX)
    }

    /// When the first of them was received.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.state().held.iter().find_map(|held| held.envelope.as_ref()).map(|envelope| envelope.event.data.received_at)
    }

    /// How far the owner of now has passed, if it knows.
    pub(super) fn passed(&self) -> Option<Position> {
        let state = self.state();
        if state.is_known {
            return Some(state.passed);
        }
        state.held.front().map(|first| Position(first.position.0.saturating_sub(1)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
