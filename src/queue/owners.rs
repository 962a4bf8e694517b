//! Who owns which lane of one sink: each lane is handed out once, and again after its owner let go. Everything ends when it is taken back.
//!
//! Where several processes share a road, only lanes of this one's share are handed out; one that leaves the share is taken back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{QueueError, Share};
use crate::event::{LaneCount, LaneId};

pub(super) struct Owners {
    state: Mutex<State>,
    freed: Notify,
    taken: CancellationToken,
}

struct State {
    /// Each owned lane's token.
    owned: Vec<Option<CancellationToken>>,
    share: Share,
    /// Where the search for a free lane begins: behind the last, so that one that cannot be opened holds up no other.
    next: usize,
}

/// The one live ownership of a lane; dropping it frees the lane.
pub(super) struct Owned {
    owners: Arc<Owners>,
    lane: LaneId,
    taken: CancellationToken,
}

impl Owners {
    pub(super) fn new(lanes: LaneCount, taken: CancellationToken) -> Arc<Self> {
        let state = State { owned: vec![None; usize::from(lanes.get())], share: Share::All, next: 0 };
        Arc::new(Self { state: Mutex::new(state), freed: Notify::new(), taken })
    }

    /// From now on only these lanes are handed out; others that are owned are taken back.
    #[cfg(any(feature = "amqp", feature = "kafka"))]
    pub(super) fn share(&self, share: &Share) {
        let mut state = self.state();
        for (lane, owned) in (0..).map(LaneId).zip(&state.owned) {
            if let Some(taken) = owned.as_ref().filter(|_| !share.holds(lane)) {
                taken.cancel();
            }
        }
        state.share = share.clone();
        drop(state);
        self.freed.notify_waiters();
    }

    /// Whether somebody still has it in hand, also after it was taken back.
    #[cfg(feature = "kafka")]
    pub(super) fn is_owned(&self, lane: LaneId) -> bool {
        self.state().owned.get(usize::from(lane.0)).is_some_and(Option::is_some)
    }

    /// Fires when all lanes are taken back for good.
    pub(super) fn taken(&self) -> &CancellationToken {
        &self.taken
    }

    /// The next lane without an owner; waits where there is none. Cancel-safe: a lane is marked only in the poll that returns it.
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
        let mut state = self.state();
        let State { owned, share, next } = &mut *state;
        let (first, count) = (*next, owned.len());
        let is_free = |index: &usize| matches!(owned.get(*index), Some(None)) && lane_at(*index).is_some_and(|lane| share.holds(lane));
        let index = (first..first + count).map(|index| index % count).find(is_free)?;
        let (lane, taken) = (lane_at(index)?, self.taken.child_token());
        *owned.get_mut(index)? = Some(taken.clone());
        *next = (index + 1) % count;
        Some(Owned { owners: Arc::clone(self), lane, taken })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lane_at(index: usize) -> Option<LaneId> {
    u16::try_from(index).ok().map(LaneId)
}

impl Owned {
    pub(super) fn lane(&self) -> LaneId {
        self.lane
    }

    /// Fires when this lane is taken back.
    pub(super) fn taken(&self) -> &CancellationToken {
        &self.taken
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if let Some(owned) = self.owners.state().owned.get_mut(usize::from(self.lane.0)) {
            *owned = None;
        }
        self.owners.freed.notify_waiters();
    }
}

#[cfg(all(test, any(feature = "amqp", feature = "kafka")))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lane_that_comes_back_goes_behind_the_others() {
        let owners = Owners::new(LaneCount::new(3).expect("a number of lanes"), CancellationToken::new());
        let mut order = Vec::new();
        for _ in 0..4 {
            order.push(owners.try_take().expect("a lane").lane().0);
        }
        assert_eq!(order, [0, 1, 2, 0]);
    }

    #[tokio::test]
    async fn a_lane_that_leaves_the_share_is_taken_back_and_comes_again_with_it() {
        let owners = Owners::new(LaneCount::new(2).expect("a number of lanes"), CancellationToken::new());
        let (first, second) = (owners.take().await.expect("a lane"), owners.take().await.expect("a lane"));
        owners.share(&Share::Lanes([LaneId(0)].into()));
        assert_eq!((first.taken().is_cancelled(), second.taken().is_cancelled()), (false, true));
        drop(second);
        assert!(owners.try_take().is_none());
        owners.share(&Share::All);
        let again = owners.try_take().expect("it came back");
        assert_eq!((again.lane(), again.taken().is_cancelled()), (LaneId(1), false));
        owners.taken().cancel();
        assert!(first.taken().is_cancelled() && again.taken().is_cancelled());
    }
}
