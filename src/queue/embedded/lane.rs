//! A lane as one sink owns it: the hot end from memory, the rest from the log.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::cursors::{Claim, Place};
use super::reader::Read;
use super::tail::Held;
use crate::event::{LaneId, Position};
use crate::queue::owners::Owned;
use crate::queue::{Lane, QueueError, Seen, Subscription};

/// What a window that is read from the log may hold beside its first envelope.
const COLD_BYTES: usize = 4 << 20;

/// Bodies of a window that take longer to read than a task may hold its thread.
const LARGE: usize = 256 << 10;

pub(super) struct EmbeddedSubscription {
    pub(super) shared: Arc<Shared>,
    pub(super) claim: Arc<Claim>,
}

#[async_trait]
impl Subscription for EmbeddedSubscription {
    async fn next_lane(&mut self) -> Result<Box<dyn Lane>, QueueError> {
        let owned = self.claim.place.owners.take().await?;
        let synced = self.shared.tail(owned.lane()).watch();
        let (shared, claim) = (Arc::clone(&self.shared), Arc::clone(&self.claim));
        Ok(Box::new(EmbeddedLane { shared, owned, claim, synced, shown: VecDeque::new() }))
    }
}

struct EmbeddedLane {
    shared: Arc<Shared>,
    owned: Owned,
    claim: Arc<Claim>,
    synced: watch::Receiver<u64>,
    /// What was shown and is not passed: shown again without being read again.
    shown: VecDeque<Seen>,
}

#[async_trait]
impl Lane for EmbeddedLane {
    fn id(&self) -> LaneId {
        self.owned.lane()
    }

    fn taken(&self) -> CancellationToken {
        self.owned.taken().clone()
    }

    async fn window(&mut self, limit: usize) -> Result<Vec<Seen>, QueueError> {
        let limit = limit.max(1);
        loop {
            if self.owned.taken().is_cancelled() {
                return Err(QueueError::Lost);
            }
            let next = self.shown.back().map_or_else(|| self.place().passed(self.id()), |seen| seen.position.0) + 1;
            let is_behind = next <= *self.synced.borrow_and_update();
            if self.shown.len() < limit && is_behind {
                let more = self.fetch(next, limit - self.shown.len()).await;
                match more {
                    Ok(more) => self.shown.extend(more),
                    // What was shown stays; the fault comes back when it stands in front.
                    Err(_) if !self.shown.is_empty() => {}
                    Err(err) => return Err(err),
                }
            }
            if !self.shown.is_empty() {
                return Ok(self.shown.iter().take(limit).cloned().collect());
            }
            if !is_behind {
                self.wait().await?;
            }
        }
    }

    async fn advance(&mut self, past: Position) -> Result<(), QueueError> {
        if self.owned.taken().is_cancelled() {
            return Err(QueueError::Lost);
        }
        self.place().pass(self.id(), past.0.min(*self.synced.borrow()));
        while self.shown.front().is_some_and(|seen| seen.position <= past) {
            self.shown.pop_front();
        }
        Ok(())
    }
}

impl EmbeddedLane {
    fn place(&self) -> &Place {
        &self.claim.place
    }

    async fn wait(&mut self) -> Result<(), QueueError> {
        tokio::select! {
            changed = self.synced.changed() => changed.map_err(|_| QueueError::Lost),
            () = self.owned.taken().cancelled() => Err(QueueError::Lost),
        }
    }

    async fn fetch(&self, from: u64, limit: usize) -> Result<Vec<Seen>, QueueError> {
        let lane = self.id();
        let cold_end = match self.shared.tail(lane).window(from, limit) {
            Ok(held) => return self.whole(held).await,
            Err(hot_from) => hot_from,
        };
        let end = cold_end.min(from.saturating_add(limit as u64));
        let read = self.shared.reader()?.read(Read { lane, from, end, bytes: COLD_BYTES });
        let mut seen = match read.await {
            Err(_) if self.owned.taken().is_cancelled() => return Err(QueueError::Lost),
            read => read?,
        };
        // Where the log met what memory holds, the window goes on there; nothing is read a second time for it.
        let next = seen.last().map_or(from, |last| last.position.0 + 1);
        let held = self.shared.tail(lane).window(next, limit - seen.len()).unwrap_or_default();
        seen.extend(self.whole(held).await?);
        Ok(seen)
    }

    /// Large bodies are read on a thread of their own, so that others do not wait.
    async fn whole(&self, held: Vec<(Position, Arc<Held>)>) -> Result<Vec<Seen>, QueueError> {
        let renew = self.shared.renew;
        let is_large = held.iter().map(|(_, held)| held.body_size()).sum::<usize>() > LARGE;
        let whole = move || held.iter().map(|(position, held)| Seen { position: *position, envelope: held.whole(renew) }).collect();
        if !is_large {
            return Ok(whole());
        }
        tokio::task::spawn_blocking(whole).await.map_err(|_| QueueError::Unavailable("reading the events failed".to_owned()))
    }
}
