//! One call for each partition key at a time, in the order in which they came; other keys go side by side.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as FairMutex, OwnedMutexGuard};

use crate::event::PartitionKey;

/// The keys that somebody has, or waits for.
#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<PartitionKey, Arc<FairMutex<()>>>>);

/// Dropping it lets the next one go.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    key: PartitionKey,
    held: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    pub(super) async fn take(&self, key: &PartitionKey) -> Turn<'_> {
        let lock = {
            let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(keys.entry(key.clone()).or_default())
        };
        // Made before the wait, so that who gives up leaves nothing behind.
        let mut turn = Turn { turns: self, key: key.clone(), held: None };
        turn.held = Some(lock.lock_owned().await);
        turn
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        drop(self.held.take());
        let mut keys = self.turns.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Who waits has it in hand, too.
        if keys.get(&self.key).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            keys.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str) -> PartitionKey {
        PartitionKey::issue(&"acme".parse().expect("a name"), id)
    }

    #[tokio::test(start_paused = true)]
    async fn one_key_goes_one_after_another_and_leaves_nothing_behind() {
        const MOMENT: std::time::Duration = std::time::Duration::from_secs(1);
        let turns = Turns::default();
        let one = key("1");
        let first = turns.take(&one).await;
        let other = turns.take(&key("2")).await;
        assert!(tokio::time::timeout(MOMENT, turns.take(&one)).await.is_err(), "the first has it still");
        drop(other);
        let (second, ()) = tokio::join!(turns.take(&one), async { drop(first) });
        drop(second);
        assert!(turns.0.lock().expect("not poisoned").is_empty());
    }
}
