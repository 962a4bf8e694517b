//! One circuit breaker per sink: while the sink does not answer all its lanes wait together, and one at a time probes.

use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::backoff::Backoff;

const BACKOFF: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(8));
/// A probe that was cancelled must not leave the breaker closed to all others.
const PROBE_LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(crate) struct Breaker {
    state: Mutex<State>,
    closed: Notify,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Closed,
    Open {
        since: Instant,
        next_probe: Instant,
        failures: u32,
        /// Somebody tries now, and the answer decides.
        probing: bool,
    },
}

/// Whether a lane may try now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Go,
    /// Try with one delivery; report how it went.
    Probe,
    /// Wait until then, or until it closes; it has been open since `since`.
    Wait {
        until: Instant,
        since: Instant,
    },
}

impl Breaker {
    pub(crate) fn admit(&self) -> Admission {
        let now = Instant::now();
        match &mut *self.lock() {
            State::Closed => Admission::Go,
            State::Open { next_probe, probing, .. } if *next_probe <= now => {
                (*next_probe, *probing) = (now + PROBE_LIMIT, true);
                Admission::Probe
            }
            State::Open { next_probe, since, .. } => Admission::Wait { until: *next_probe, since: *since },
        }
    }

    /// When the next probe may go, while it is open.
    pub(crate) fn next_probe(&self) -> Option<Instant> {
        match &*self.lock() {
            State::Closed => None,
            State::Open { next_probe, .. } => Some(*next_probe),
        }
    }

    pub(crate) fn record_success(&self) {
        let mut state = self.lock();
        if matches!(*state, State::Open { .. }) {
            *state = State::Closed;
            self.closed.notify_waiters();
        }
    }

    /// True: it was closed until now. What was under way when it opened tells nothing new: only a probe's silence makes the wait longer.
    pub(crate) fn record_failure(&self, retry_after: Option<Duration>) -> bool {
        let now = Instant::now();
        let mut state = self.lock();
        let wait = |failures| retry_after.unwrap_or_else(|| BACKOFF.after(failures));
        match &mut *state {
            State::Closed => {
                *state = State::Open { since: now, next_probe: now + wait(1), failures: 1, probing: false };
                return true;
            }
            State::Open { next_probe, failures, probing, .. } if *probing => {
                *failures = failures.saturating_add(1);
                (*next_probe, *probing) = (now + wait(*failures), false);
            }
            State::Open { next_probe, .. } => *next_probe = (*next_probe).max(now + retry_after.unwrap_or_default()),
        }
        false
    }

    /// Returns when the breaker closes, or at `until`.
    pub(crate) async fn wait(&self, until: Instant) {
        let closed = self.closed.notified();
        if self.next_probe().is_some() {
            let _ = tokio::time::timeout_at(until, closed).await;
        }
    }

    /// Returns at `due`, or as soon as it closes if it is open now.
    pub(crate) async fn wait_or_close(&self, due: Instant) {
        let closed = self.closed.notified();
        if self.next_probe().is_none() {
            return tokio::time::sleep_until(due).await;
        }
        let _ = tokio::time::timeout_at(due, closed).await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_probes_while_the_others_wait() {
        let breaker = Breaker::default();
        assert_eq!(breaker.admit(), Admission::Go);
        assert!(breaker.record_failure(None));
        assert!(matches!(breaker.admit(), Admission::Wait { .. }));
        (0..20).for_each(|_| assert!(!breaker.record_failure(None), "it is open already"));
        tokio::time::advance(Duration::from_millis(250)).await;
        assert_eq!(breaker.admit(), Admission::Probe);
        assert!(matches!(breaker.admit(), Admission::Wait { .. }), "the second must wait for the first's probe");
        assert!(!breaker.record_failure(Some(Duration::from_secs(60))));
        tokio::time::advance(Duration::from_secs(59)).await;
        assert!(matches!(breaker.admit(), Admission::Wait { .. }), "the sink said a minute");
        breaker.record_success();
        assert_eq!(breaker.admit(), Admission::Go);
    }
}
