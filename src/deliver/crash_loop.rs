//! A process that dies again and again over its work without getting any of it done becomes careful: it takes one delivery at a time
//! and writes down what it begins, so that the one event that kills it is found.
//!
//! Only a start that began to work counts, and care ends after a fixed number of deliveries that went well.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tokio::sync::{Mutex, OnceCell};

use crate::clock::Clock;
use crate::store::{Store, StoreError};

/// After so many starts that ended neither in progress nor in an orderly stop.
const CAREFUL_AFTER: u32 = 2;
/// As many as one sink may have in hand by default, sixteen lanes of sixteen. With more lanes or sinks more may have been in hand; but one
/// at a time is slow, and a process that still dies after it counts its starts anew.
const CAREFUL_TURNS: u32 = 256;

pub(crate) struct CrashLoop {
    store: Store,
    clock: Clock,
    control: String,
    /// Starts before this one.
    unclean: u32,
    counted: OnceCell<()>,
    progressed: AtomicBool,
    /// Turns that must still go well one at a time.
    careful_turns: AtomicU32,
    /// Held by the lane whose turn it is in careful mode.
    pub(crate) turn_lock: Mutex<()>,
}

impl CrashLoop {
    pub(crate) async fn begin(instance: &str, store: Store, clock: Clock) -> Result<Self, StoreError> {
        let control = format!("process/{instance}/unclean_starts");
        let unclean: u32 = store.control(&control).await?.and_then(|count| count.parse().ok()).unwrap_or(0);
        let is_careful = unclean >= CAREFUL_AFTER;
        if is_careful {
            tracing::warn!(
                unclean,
                "{unclean} starts in a row ended without progress: deliveries go one at a time until {CAREFUL_TURNS} went well"
            );
        }
        let careful_turns = AtomicU32::new(if is_careful { CAREFUL_TURNS } else { 0 });
        let (counted, progressed) = (OnceCell::new(), AtomicBool::new(false));
        Ok(Self { store, clock, control, unclean, counted, progressed, careful_turns, turn_lock: Mutex::new(()) })
    }

    pub(crate) fn is_careful(&self) -> bool {
        self.careful_turns.load(Ordering::Relaxed) > 0
    }

    /// Counts this start as unclean until something was done.
    pub(crate) async fn work_begins(&self) {
        let count = || async {
            let unclean = self.unclean.saturating_add(1).to_string();
            if let Err(err) = self.store.set_control(&self.control, Some(&unclean), self.clock.now()).await {
                tracing::warn!("this start cannot be counted, so that a crash loop may be found later: {err}");
            }
        };
        self.counted.get_or_init(count).await;
    }

    /// A turn went well. True the first time: the caller then lets `clear` run.
    pub(crate) fn progressed(&self) -> bool {
        let turns = self.careful_turns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |turns| turns.checked_sub(1));
        if turns == Ok(1) {
            tracing::info!("{CAREFUL_TURNS} deliveries went well one at a time: they go on side by side");
        }
        !self.progressed.swap(true, Ordering::Relaxed)
    }

    pub(crate) async fn clear(&self) {
        if let Err(err) = self.store.set_control(&self.control, None, self.clock.now()).await {
            tracing::warn!("the count of unclean starts cannot be cleared: {err}");
        }
    }
}
