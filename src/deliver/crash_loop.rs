//! A process that dies again and again without getting anything done becomes careful: it takes one delivery at a time and writes
//! down what it begins, so that the one event that kills it is found.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Mutex;

use crate::clock::Clock;
use crate::store::{Store, StoreError};

/// After so many starts that ended neither in progress nor in an orderly stop.
const CAREFUL_AFTER: u32 = 2;

pub(crate) struct CrashLoop {
    store: Store,
    clock: Clock,
    control: String,
    progressed: AtomicBool,
    pub(crate) is_careful: bool,
    /// Held by the lane whose turn it is in careful mode.
    pub(crate) alone: Mutex<()>,
}

impl CrashLoop {
    /// Counts this start as unclean until something was done.
    pub(crate) async fn begin(instance: &str, store: Store, clock: Clock) -> Result<Self, StoreError> {
        let control = format!("process/{instance}/unclean_starts");
        let unclean: u32 = store.control(&control).await?.and_then(|count| count.parse().ok()).unwrap_or(0);
        store.set_control(&control, Some(&unclean.saturating_add(1).to_string()), clock.now()).await?;
        let is_careful = unclean >= CAREFUL_AFTER;
        if is_careful {
            tracing::warn!(unclean, "{unclean} starts in a row ended without progress: deliveries go one at a time until the next start");
        }
        Ok(Self { store, clock, control, progressed: AtomicBool::new(false), is_careful, alone: Mutex::new(()) })
    }

    /// True the first time: the caller then lets `clear` run.
    pub(crate) fn progressed(&self) -> bool {
        !self.progressed.swap(true, Ordering::Relaxed)
    }

    pub(crate) async fn clear(&self) {
        if let Err(err) = self.store.set_control(&self.control, None, self.clock.now()).await {
            tracing::warn!("the count of unclean starts cannot be cleared: {err}");
        }
    }
}
