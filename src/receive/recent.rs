//! Ids whose events are stored: a repeat is answered 200 without being stored again. A convenience, not a promise: the journal keeps that.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use crate::event::EventId;

/// About 10 MB; at 100 events a second ten minutes, which is how soon Jira's first retry comes.
const REMEMBERED: usize = 65_536;

#[derive(Default)]
pub(crate) struct RecentIds {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    known: HashSet<EventId>,
    order: VecDeque<EventId>,
}

impl RecentIds {
    pub(crate) fn contains_all<'a>(&self, mut ids: impl Iterator<Item = &'a EventId>) -> bool {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        ids.all(|id| inner.known.contains(id))
    }

    /// Only after they are stored.
    pub(crate) fn remember(&self, ids: &[EventId]) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        for id in ids {
            if inner.known.insert(id.clone()) {
                inner.order.push_back(id.clone());
            }
            if inner.order.len() > REMEMBERED
                && let Some(oldest) = inner.order.pop_front()
            {
                inner.known.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten() {
        let recent = RecentIds::default();
        let id = |number: usize| EventId::known(&format!("acme:issue:{number}:created"));
        for number in 0..=REMEMBERED {
            recent.remember(&[id(number)]);
        }
        assert!(!recent.contains_all([id(0)].iter()));
        assert!(recent.contains_all([id(1), id(REMEMBERED)].iter()));
    }
}
