//! Who owns which lane of one sink: each lane is handed out once, and again after its owner let go. Everything ends when it is taken back.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::QueueError;
use crate::event::{LaneCount, LaneId};

pub(super) struct Owners {
    owned: Mutex<Vec<bool>>,
    freed: Notify,
    taken: CancellationToken,
}

/// The one live ownership of a lane; dropping it frees the lane.
pub(super) struct Owned {
    owners: Arc<Owners>,
    lane: LaneId,
}

impl Owners {
    pub(super) fn new(lanes: LaneCount, taken: CancellationToken) -> Arc<Self> {
        Arc::new(Self { owned: Mutex::new(vec![false; usize::from(lanes.get())]), freed: Notify::new(), taken })
    }

    /// Fires when all lanes are taken back for good.
    pub(super) fn taken(&self) -> &CancellationToken {
        &self.taken
    }

    /// The first lane without an owner; waits where there is none. Cancel-safe: a lane is marked only in the poll that returns it.
    pub(super) async fn take(self: &Arc<Self>) -> Result<Owned, QueueError> {
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            // From here on a release is noticed, so none can fall between looking and waiting.
            freed.as_mut().enable();
            if self.taken.is_cancelled() {
                return Err(QueueError::Lost);
            }
            if let Some(owned) = self.try_take() {
                return Ok(owned);
            }
            tokio::select! {
                () = freed => {}
                () = self.taken.cancelled() => return Err(QueueError::Lost),
            }
        }
    }

    fn try_take(self: &Arc<Self>) -> Option<Owned> {
        let mut owned = self.owned.lock().unwrap_or_else(PoisonError::into_inner);
        for (lane, is_owned) in (0..).zip(owned.iter_mut()) {
            if !*is_owned {
                *is_owned = true;
                return Some(Owned { owners: Arc::clone(self), lane: LaneId(lane) });
            }
        }
        None
    }
}

impl Owned {
    pub(super) fn lane(&self) -> LaneId {
        self.lane
    }

    pub(super) fn taken(&self) -> &CancellationToken {
        &self.owners.taken
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let mut owned = self.owners.owned.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(is_owned) = owned.get_mut(usize::from(self.lane.0)) {
            *is_owned = false;
        }
        drop(owned);
        self.owners.freed.notify_waiters();
    }
}
