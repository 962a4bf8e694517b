//! Who waits in a lane: a small picture in memory of the waiting rows in the store, so that what comes later goes behind.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::Timestamp;
use crate::event::PartitionKey;
use crate::store::WaitingKey;

/// Waiting deliveries of one sink in one lane, by target and partition key.
#[derive(Debug, Default)]
pub(crate) struct WaitingSet {
    keys: HashMap<(Arc<str>, PartitionKey), Waiter>,
}

#[derive(Debug, Clone, Copy)]
struct Waiter {
    count: u64,
    /// By the monotonic clock, so that a jump of wall time neither hurries nor delays it.
    due: Instant,
    not_before: Timestamp,
}

impl WaitingSet {
    /// As the store has them now. Who was known to wait until then goes on doing so, whatever the wall time has become.
    pub(crate) fn load(&mut self, rows: Vec<WaitingKey>, now: Timestamp) {
        let before = std::mem::take(&mut self.keys);
        for WaitingKey { target, partition_key, not_before, count, .. } in rows {
            let key = (target, partition_key);
            let known = before.get(&key).filter(|waiter| waiter.not_before == not_before).map(|waiter| waiter.due);
            let due = known.unwrap_or_else(|| Instant::now() + not_before.since(now));
            self.keys.insert(key, Waiter { count, due, not_before });
        }
    }

    /// The time from which on who waits there may be tried, if anybody does.
    pub(crate) fn behind(&self, target: &Arc<str>, key: &PartitionKey) -> Option<Timestamp> {
        self.keys.get(&(target.clone(), key.clone())).map(|waiter| waiter.not_before)
    }

    pub(crate) fn add(&mut self, target: &Arc<str>, key: &PartitionKey, not_before: Timestamp, wait: Duration) {
        let entry = self.keys.entry((target.clone(), key.clone()));
        entry.or_insert(Waiter { count: 0, due: Instant::now() + wait, not_before }).count += 1;
    }

    pub(crate) fn remove_one(&mut self, target: &Arc<str>, key: &PartitionKey) {
        let place = (target.clone(), key.clone());
        if let Some(waiter) = self.keys.get_mut(&place) {
            waiter.count = waiter.count.saturating_sub(1);
            if waiter.count == 0 {
                self.keys.remove(&place);
            }
        }
    }

    /// Everybody of this key waits until then.
    pub(crate) fn postpone(&mut self, target: &Arc<str>, key: &PartitionKey, not_before: Timestamp, wait: Duration) {
        if let Some(waiter) = self.keys.get_mut(&(target.clone(), key.clone())) {
            (waiter.due, waiter.not_before) = (Instant::now() + wait, not_before);
        }
    }

    /// Everybody of this target waits at least until then.
    pub(crate) fn postpone_target(&mut self, target: &Arc<str>, not_before: Timestamp, wait: Duration) {
        let due = Instant::now() + wait;
        for (_, waiter) in self.keys.iter_mut().filter(|((of, _), _)| of == target) {
            (waiter.due, waiter.not_before) = (waiter.due.max(due), waiter.not_before.max(not_before));
        }
    }

    /// When the first is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.keys.values().map(|waiter| waiter.due).min()
    }

    /// The latest stored time among those whose wait is over: what the store must be asked for.
    pub(crate) fn horizon(&self) -> Option<Timestamp> {
        let now = Instant::now();
        self.keys.values().filter(|waiter| waiter.due <= now).map(|waiter| waiter.not_before).max()
    }

    pub(crate) fn count(&self) -> u64 {
        self.keys.values().map(|waiter| waiter.count).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_comes_later_goes_behind_until_all_have_gone() {
        let acme = "acme".parse().expect("a name");
        let (docs, issue): (Arc<str>, _) = ("#docs".into(), PartitionKey::issue(&acme, "1"));
        let mut waiting = WaitingSet::default();
        let later = Timestamp::from_ms(5_000);
        waiting.add(&docs, &issue, later, Duration::from_secs(5));
        waiting.add(&docs, &issue, later, Duration::from_secs(9));
        assert_eq!(waiting.behind(&docs, &issue), Some(later));
        assert_eq!(waiting.behind(&"#ops".into(), &issue), None);
        assert_eq!(waiting.horizon(), None);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(waiting.horizon(), Some(later), "the second waits with the first, not longer");
        waiting.postpone_target(&docs, Timestamp::from_ms(60_000), Duration::from_secs(55));
        assert_eq!(waiting.horizon(), None);
        waiting.remove_one(&docs, &issue);
        assert!(waiting.behind(&docs, &issue).is_some());
        waiting.remove_one(&docs, &issue);
        assert!(waiting.is_empty());
    }
}
