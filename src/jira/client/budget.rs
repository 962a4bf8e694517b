//! The rate budget of one site: a token bucket, and the pauses that Jira or our own failures order.
//!
//! While a pause lasts nothing is sent: `gate` says so, and how long it lasts. A longer pause is never shortened.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::limits::{Limits, PAUSE_MAX};
use super::{Asked, JiraError};
use crate::backoff::Backoff;

/// Why nothing is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// 429.
    Throttled,
    /// No connection, time-out, 5xx, not JSON.
    Failing,
    LoginRefused,
}

pub(super) struct Budget {
    state: Mutex<State>,
    backoff: Backoff,
    per_second: f64,
    at_once: f64,
    login_pause: Duration,
    retry_after_more: Duration,
}

struct State {
    /// Negative while callers wait for tokens already promised to them.
    tokens: f64,
    filled: Instant,
    /// Among how many processes the budget is divided.
    shared_by: f64,
    failures: u32,
    /// Whether one of them was a refused login.
    login_refused: bool,
    /// When the last failure was counted: requests that were already under way then are the same failure.
    counted: Option<Instant>,
    pause: Option<Pause>,
}

struct Pause {
    until: Instant,
    cause: Cause,
    reason: String,
}

impl Budget {
    pub(super) fn new(limits: &Limits) -> Self {
        let state = State {
            tokens: limits.requests_at_once,
            filled: Instant::now(),
            shared_by: 1.0,
            failures: 0,
            login_refused: false,
            counted: None,
            pause: None,
        };
        Self {
            state: Mutex::new(state),
            backoff: Backoff::new(limits.backoff_first, limits.backoff_most),
            per_second: limits.requests_per_second,
            at_once: limits.requests_at_once,
            login_pause: limits.login_pause,
            retry_after_more: limits.retry_after_more,
        }
    }

    /// So many processes ask the same site: each takes its part of what the site allows.
    pub(super) fn share_by(&self, processes: u32) {
        let mut state = self.state();
        self.fill(&mut state);
        state.shared_by = f64::from(processes.max(1));
        self.fill(&mut state);
    }

    /// Err: nothing may be sent now, and why.
    pub(super) fn gate(&self) -> Asked<()> {
        let mut state = self.state();
        let now = Instant::now();
        match &state.pause {
            Some(pause) if pause.until > now => Err(pause.error(now)),
            Some(_) => {
                state.pause = None;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Waits for the turn of one request. Err: paused, or the turn would come after the deadline.
    pub(super) async fn take(&self, deadline: Instant) -> Asked<()> {
        self.gate()?;
        let wait = self.reserve(deadline)?;
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
            // What was learned meanwhile holds for those who waited, too.
            self.gate()?;
        }
        Ok(())
    }

    /// Notes that nothing may be sent for a while. `told` is what Jira's `Retry-After` said; `asked` is when the request started.
    /// True: the first failure in a row, or the first of them that is a refused login, which somebody may want to read.
    pub(super) fn pause(&self, cause: Cause, asked: Instant, told: Option<Duration>, reason: String) -> (JiraError, bool) {
        let mut state = self.state();
        let now = Instant::now();
        let same = state.counted.is_some_and(|counted| asked < counted);
        if !same {
            state.failures = state.failures.saturating_add(1);
            state.counted = Some(now);
        }
        let told = told.filter(|told| !told.is_zero()).map(|told| told.min(PAUSE_MAX) + self.retry_after_more);
        let span = match cause {
            Cause::LoginRefused => self.login_pause,
            Cause::Throttled | Cause::Failing => told.unwrap_or_else(|| self.backoff.after(state.failures)),
        };
        let pause = Pause { until: now + span, cause, reason };
        let err = pause.error(now);
        let is_new_refusal = cause == Cause::LoginRefused && !state.login_refused;
        let first = !same && (state.failures == 1 || is_new_refusal);
        state.login_refused |= first && cause == Cause::LoginRefused;
        if state.pause.as_ref().is_none_or(|known| known.until <= pause.until) {
            state.pause = Some(pause);
        }
        (err, first)
    }

    /// Jira answered something sensible. True: for the first time after failures.
    pub(super) fn answered(&self) -> bool {
        let mut state = self.state();
        // An answer to a request from before a pause says nothing about after it.
        if state.pause.is_some() {
            return false;
        }
        state.login_refused = false;
        std::mem::take(&mut state.failures) > 0
    }

    /// The part of the bucket that is left; nothing during a pause that Jira ordered.
    pub(super) fn remaining(&self) -> f64 {
        let mut state = self.state();
        let now = Instant::now();
        if state.pause.as_ref().is_some_and(|pause| pause.cause == Cause::Throttled && pause.until > now) {
            return 0.0;
        }
        self.fill(&mut state);
        (state.tokens / self.at_once(&state)).clamp(0.0, 1.0)
    }

    fn reserve(&self, deadline: Instant) -> Asked<Duration> {
        let mut state = self.state();
        self.fill(&mut state);
        let owed = (1.0 - state.tokens).max(0.0);
        let wait = Duration::from_secs_f64(owed * state.shared_by / self.per_second);
        if Instant::now() + wait > deadline {
            return Err(JiraError::Unavailable { retry_after: Some(wait), reason: "the rate budget of the site is used up".into() });
        }
        state.tokens -= 1.0;
        Ok(wait)
    }

    fn fill(&self, state: &mut State) {
        let now = Instant::now();
        let gained = now.saturating_duration_since(state.filled).as_secs_f64() * self.per_second / state.shared_by;
        state.tokens = (state.tokens + gained).min(self.at_once(state));
        state.filled = now;
    }

    fn at_once(&self, state: &State) -> f64 {
        (self.at_once / state.shared_by).max(1.0)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pause {
    fn error(&self, now: Instant) -> JiraError {
        let reason = self.reason.clone();
        match self.cause {
            Cause::LoginRefused => JiraError::Unauthorized { reason },
            Cause::Throttled | Cause::Failing => {
                JiraError::Unavailable { retry_after: Some(self.until.saturating_duration_since(now)), reason }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget() -> Budget {
        Budget::new(&Limits::default())
    }

    fn far() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    fn left(budget: &Budget) -> Duration {
        match budget.gate() {
            Err(JiraError::Unavailable { retry_after: Some(left), .. }) => left,
            other => panic!("not paused: {other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_and_then_the_rate_holds() {
        let (budget, start) = (budget(), Instant::now());
        for _ in 0..100 {
            budget.take(far()).await.expect("a token");
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert!(budget.remaining() < 0.01);
        for _ in 0..50 {
            budget.take(far()).await.expect("a token");
        }
        let took = start.elapsed().as_millis();
        assert!((990..1060).contains(&took), "{took} ms");
        assert!(matches!(budget.take(Instant::now()).await, Err(JiraError::Unavailable { retry_after: Some(_), .. })));
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(budget.remaining(), 1.0);
    }

    #[tokio::test(start_paused = true)]
    async fn several_processes_together_take_no_more_than_one() {
        let parts: Vec<Budget> = (0..4).map(|_| budget()).collect();
        parts.iter().for_each(|part| part.share_by(4));
        let (start, mut taken) = (Instant::now(), 0);
        while start.elapsed() < Duration::from_secs(10) {
            for part in &parts {
                while part.take(Instant::now()).await.is_ok() {
                    taken += 1;
                }
            }
            tokio::time::advance(Duration::from_millis(50)).await;
        }
        let limits = Limits::default();
        let allowed = limits.requests_at_once + 10.0 * limits.requests_per_second;
        assert!((allowed * 0.9..allowed + 4.0).contains(&f64::from(taken)), "{taken} of {allowed}");
        let alone = budget();
        alone.share_by(0);
        alone.take(Instant::now()).await.expect("nobody else is there");
    }

    #[tokio::test(start_paused = true)]
    async fn retry_after_is_obeyed_and_a_little_more() {
        let budget = budget();
        let (err, first) = budget.pause(Cause::Throttled, Instant::now(), Some(Duration::from_secs(6)), "429".into());
        assert!(first && matches!(err, JiraError::Unavailable { retry_after: Some(span), .. } if span > Duration::from_secs(6)));
        assert_eq!(budget.remaining(), 0.0);
        tokio::time::advance(Duration::from_secs(6)).await;
        assert!(budget.take(far()).await.is_err());
        tokio::time::advance(Duration::from_millis(251)).await;
        budget.take(far()).await.expect("the pause is over");

        budget.pause(Cause::Throttled, Instant::now(), Some(Duration::from_secs(1 << 40)), "429".into());
        assert!(left(&budget) <= PAUSE_MAX + Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_wait_longer_and_those_under_way_together_count_once() {
        let budget = budget();
        let failed = |asked| budget.pause(Cause::Failing, asked, None, "down".into()).1;
        let asked = Instant::now();
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(failed(asked));
        assert!(!failed(asked));
        assert!(left(&budget) <= Duration::from_secs(1));
        for most in [2, 4, 8, 16, 30, 30] {
            tokio::time::advance(Duration::from_secs(31)).await;
            assert!(!failed(Instant::now()));
            let left = left(&budget);
            assert!(left <= Duration::from_secs(most) && left >= Duration::from_millis(most * 750), "{most}: {left:?}");
        }
        assert!(!budget.answered());
        tokio::time::advance(Duration::from_secs(31)).await;
        budget.gate().expect("the pause is over");
        assert!(budget.answered() && !budget.answered());
        assert!(failed(Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_longer_pause_is_not_shortened_and_a_refused_login_is_told_as_such() {
        let budget = budget();
        budget.pause(Cause::LoginRefused, Instant::now(), None, "401".into());
        budget.pause(Cause::Failing, Instant::now(), None, "503".into());
        assert_eq!(budget.gate(), Err(JiraError::Unauthorized { reason: "401".into() }));
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(budget.gate(), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_login_is_told_once_an_outage_also_where_something_else_failed_before() {
        let budget = budget();
        let failed = async |cause| {
            tokio::time::advance(Duration::from_secs(31)).await;
            budget.pause(cause, Instant::now(), None, "down".into()).1
        };
        assert!(failed(Cause::Failing).await);
        assert!(failed(Cause::LoginRefused).await);
        assert!(!failed(Cause::LoginRefused).await && !failed(Cause::Failing).await);
        tokio::time::advance(Duration::from_secs(31)).await;
        budget.gate().expect("the pause is over");
        assert!(budget.answered());
        assert!(failed(Cause::LoginRefused).await);
    }
}
