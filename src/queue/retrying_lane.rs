//! A lane that is looked at with patience: while it cannot be read, it is left alone for longer and longer, and no other lane waits.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Lane, QueueError, Seen};
use crate::backoff::Backoff;
use crate::event::{LaneId, Position};
use crate::setting::SinkName;

const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(60));

/// Gives no error but that the lane is lost.
pub struct RetryingLane {
    lane: Box<dyn Lane>,
    sink: SinkName,
    /// Since something was seen for the last time.
    failures: u32,
    /// Kept here, so that who gives up waiting and comes again does not look earlier.
    not_before: Option<Instant>,
}

impl RetryingLane {
    pub fn new(lane: Box<dyn Lane>, sink: &SinkName) -> Self {
        Self { lane, sink: sink.clone(), failures: 0, not_before: None }
    }
}

#[async_trait]
impl Lane for RetryingLane {
    fn id(&self) -> LaneId {
        self.lane.id()
    }

    fn taken(&self) -> CancellationToken {
        self.lane.taken()
    }

    async fn window(&mut self, limit: usize) -> Result<Vec<Seen>, QueueError> {
        loop {
            if let Some(not_before) = self.not_before {
                tokio::time::sleep_until(not_before).await;
                self.not_before = None;
            }
            match self.lane.window(limit).await {
                Ok(seen) => {
                    self.failures = 0;
                    return Ok(seen);
                }
                Err(QueueError::Lost) => return Err(QueueError::Lost),
                Err(err) => {
                    self.failures = self.failures.saturating_add(1);
                    self.not_before = Some(Instant::now() + BACKOFF.after(self.failures));
                    let (sink, lane) = (&self.sink, self.lane.id());
                    tracing::warn!(%sink, %lane, failures = self.failures, "lane {lane} cannot be read for `{sink}`: {err}");
                }
            }
        }
    }

    async fn advance(&mut self, past: Position) -> Result<(), QueueError> {
        self.lane.advance(past).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Cannot be read so many times.
    struct Broken {
        times: u32,
        looks: Arc<AtomicU32>,
    }

    #[async_trait]
    impl Lane for Broken {
        fn id(&self) -> LaneId {
            LaneId(3)
        }

        fn taken(&self) -> CancellationToken {
            CancellationToken::new()
        }

        async fn window(&mut self, _: usize) -> Result<Vec<Seen>, QueueError> {
            let looks = self.looks.fetch_add(1, Ordering::SeqCst);
            if looks < self.times { Err(QueueError::Unusable("bits rot".to_owned())) } else { Ok(Vec::new()) }
        }

        async fn advance(&mut self, _: Position) -> Result<(), QueueError> {
            Err(QueueError::Lost)
        }
    }

    fn broken(times: u32) -> (RetryingLane, Arc<AtomicU32>) {
        let looks = Arc::new(AtomicU32::new(0));
        let lane = Box::new(Broken { times, looks: looks.clone() });
        (RetryingLane::new(lane, &"docs".parse().expect("a name")), looks)
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_that_cannot_be_read_is_left_alone_for_longer_and_longer() {
        let (mut lane, looks) = broken(u32::MAX);
        // Whoever looks gives up now and then, as a worker does whom something else calls.
        for _ in 0..3_600 {
            assert!(tokio::time::timeout(Duration::from_secs(1), lane.window(1)).await.is_err());
        }
        let looks = looks.load(Ordering::SeqCst);
        assert!((60..100).contains(&looks), "{looks} looks in an hour");
    }

    #[tokio::test(start_paused = true)]
    async fn what_can_be_read_again_is_read_and_begins_anew() {
        let (mut lane, looks) = broken(5);
        assert!(lane.window(1).await.is_ok());
        assert_eq!((lane.failures, looks.load(Ordering::SeqCst)), (0, 6));
        assert_eq!(lane.advance(Position(1)).await, Err(QueueError::Lost));
    }
}
