//! Orders about sinks: rows in the store that every process obeys, so that whoever commands need not know who runs.

use tokio::sync::{Mutex, watch};

use crate::clock::Clock;
use crate::setting::SinkName;
use crate::store::{Store, StoreError};

/// The control row that says that a sink is paused; its value is why.
pub fn paused_control(sink: &SinkName) -> String {
    format!("sink/{sink}/paused")
}

/// Stands in the reason of a pause that the sink's refusal made.
const NEEDS_YOU: &str = "(needs you:";

/// Whether the pause with this reason was made by the sink's refusal, not by hand.
pub fn needs_you(reason: &str) -> bool {
    reason.contains(NEEDS_YOU)
}

/// Whether a sink is paused, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PauseState {
    Running,
    Paused(String),
}

/// A sink's pause as all its lanes see it.
pub(crate) struct Pause {
    sink: SinkName,
    state: watch::Sender<PauseState>,
    /// Held while order and state are made the same, so that no order is obeyed that was read before a refusal was written down.
    refresh_lock: Mutex<()>,
}

impl Pause {
    pub(crate) fn new(sink: SinkName) -> Self {
        Self { sink, state: watch::Sender::new(PauseState::Running), refresh_lock: Mutex::new(()) }
    }

    pub(crate) fn state(&self) -> PauseState {
        self.state.borrow().clone()
    }

    pub(crate) fn is_paused(&self) -> bool {
        *self.state.borrow() != PauseState::Running
    }

    pub(crate) fn watch(&self) -> watch::Receiver<PauseState> {
        self.state.subscribe()
    }

    /// Reads the order. True: the sink runs again since now.
    pub(crate) async fn refresh(&self, store: &Store) -> Result<bool, StoreError> {
        let _one = self.refresh_lock.lock().await;
        let order = store.control(&paused_control(&self.sink)).await?;
        let state = order.map_or(PauseState::Running, PauseState::Paused);
        let resumed = state == PauseState::Running && self.is_paused();
        self.state.send_if_modified(|now| {
            let differs = *now != state;
            *now = state;
            differs
        });
        Ok(resumed)
    }

    /// The sink refused us: nothing more goes there until somebody mends it. In force at once, written down as soon as the store takes it.
    pub(crate) async fn refuse(&self, reason: &str, store: &Store, clock: &Clock) {
        let reason = format!("{reason} {NEEDS_YOU} repair it, then `ticketwire sink resume {}`)", self.sink);
        let refused = PauseState::Paused(reason.clone());
        if self.state.send_replace(refused.clone()) == refused {
            // Another lane was refused just before, and sees to it.
            return;
        }
        let _one = self.refresh_lock.lock().await;
        self.state.send_replace(refused);
        tracing::error!(sink = %self.sink, reason, "sink `{}` is paused: {reason}", self.sink);
        if let Err(err) = store.set_control(&paused_control(&self.sink), Some(&reason), clock.now()).await {
            tracing::warn!(sink = %self.sink, "the pause of `{}` is not written down: {err}", self.sink);
        }
    }
}
