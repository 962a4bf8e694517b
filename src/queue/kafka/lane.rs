//! A sink's lanes as whoever delivers sees them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::feed::Feed;
use super::shared::Place;
use crate::event::{LaneId, Position};
use crate::queue::owners::Owned;
use crate::queue::{Lane, QueueError, Seen, Subscription};

/// librdkafka can forget to say that something came; so a lane that waits looks now and then.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(super) struct KafkaSubscription {
    pub(super) place: Arc<Place>,
}

#[async_trait]
impl Subscription for KafkaSubscription {
    async fn next_lane(&mut self) -> Result<Box<dyn Lane>, QueueError> {
        let owned = self.place.owners.take().await?;
        let feed = Arc::clone(self.place.feed(owned.lane()));
        Ok(Box::new(KafkaLane { epoch: feed.epoch(), feed, owned }))
    }
}

struct KafkaLane {
    feed: Arc<Feed>,
    epoch: u64,
    owned: Owned,
}

#[async_trait]
impl Lane for KafkaLane {
    fn id(&self) -> LaneId {
        self.owned.lane()
    }

    fn taken(&self) -> CancellationToken {
        self.owned.taken().clone()
    }

    async fn window(&mut self, limit: usize) -> Result<Vec<Seen>, QueueError> {
        loop {
            let arrived = self.feed.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            if self.owned.taken().is_cancelled() {
                return Err(QueueError::Lost);
            }
            let seen = self.feed.window(self.epoch, limit.max(1))?;
            if !seen.is_empty() {
                return Ok(seen);
            }
            tokio::select! {
                biased;
                () = self.owned.taken().cancelled() => return Err(QueueError::Lost),
                () = arrived => {}
                () = sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// A lane that is being taken back can still be passed for a moment: what was done in hand need not be done again by the next owner.
    async fn advance(&mut self, past: Position) -> Result<(), QueueError> {
        self.feed.pass(self.epoch, past)
    }
}
