//! One lane at a time for a delivery: where two lanes hold the same event (bodies that do not both name the issue), the second waits
//! and then finds in the journal what the first did.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::event::EventId;

/// The events of one sink that a lane has in hand.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    held: Mutex<HashSet<EventId>>,
    released: Notify,
}

/// Held until it is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    claims: Arc<Claims>,
    events: Vec<EventId>,
}

impl Claims {
    /// All of them or none, so that two lanes cannot wait for each other.
    pub(crate) async fn take(self: &Arc<Self>, events: impl Iterator<Item = EventId>) -> Claim {
        let mut events: Vec<EventId> = events.collect();
        events.sort_unstable();
        events.dedup();
        loop {
            let released = self.released.notified();
            {
                let mut held = self.lock();
                if !events.iter().any(|event| held.contains(event)) {
                    held.extend(events.iter().cloned());
                    return Claim { claims: self.clone(), events };
                }
            }
            released.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<EventId>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut held = self.claims.lock();
        self.events.iter().for_each(|event| {
            held.remove(event);
        });
        drop(held);
        self.claims.released.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_second_waits_for_the_first() {
        let claims = Arc::new(Claims::default());
        let event = |number: u32| EventId::known(&format!("acme:comment:{number}:created"));
        let first = claims.take([event(1), event(2), event(1)].into_iter()).await;
        let other = claims.take([event(3)].into_iter()).await;
        let mut second = std::pin::pin!(claims.take([event(2), event(4)].into_iter()));
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(other);
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        assert_eq!(second.await.events.len(), 2);
    }
}
