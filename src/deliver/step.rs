//! What to do after a try: a pure table, no time, no store, no sink.

use std::time::Duration;

use crate::sink::{Receipt, Scope, SinkError};

/// What happens next to a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Done,
    /// Wait this long, then try again. `concerns` says who waits with it.
    Park {
        wait: Wait,
        concerns: Concerns,
        counted: bool,
        reason: String,
    },
    Dead {
        reason: String,
    },
    /// Nothing more for this sink until somebody mends it; the delivery waits.
    Pause {
        reason: String,
    },
    /// The sink does not answer: its lanes wait together and one probes.
    Hold {
        retry_after: Option<Duration>,
        reason: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// As long as the other side said.
    Told(Duration),
    /// The back-off after so many failures.
    Backoff(u32),
}

/// Whose time is put off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concerns {
    /// Deliveries of this issue to this target.
    Key,
    /// All deliveries to this target.
    Target,
}

/// Waits after 1, 2, 3 ... failures: about 1 s, 10 s, 1 min, 5 min, 15 min.
const FAILED_WAITS: [u64; 5] = [1, 10, 60, 300, 900];
/// A target that is not available and does not say until when.
const TARGET_WAIT: Duration = Duration::from_secs(2);
/// A longer `Retry-After` is cut to this: then the target is tried again.
const TOLD_MAX: Duration = Duration::from_secs(86_400);

/// `failures`: how often this delivery failed before, this time not included.
pub fn step(result: Result<Receipt, SinkError>, failures: u32, max_tries: u32) -> Step {
    match result {
        Ok(_) => Step::Done,
        Err(SinkError::Unavailable { scope: Scope::Sink, retry_after, reason }) => {
            Step::Hold { retry_after: retry_after.map(|span| span.min(TOLD_MAX)), reason }
        }
        Err(SinkError::Unanswered { reason }) => Step::Hold { retry_after: None, reason },
        Err(SinkError::Unavailable { scope: Scope::Target, retry_after, reason }) => {
            let wait = Wait::Told(retry_after.unwrap_or(TARGET_WAIT).min(TOLD_MAX));
            Step::Park { wait, concerns: Concerns::Target, counted: false, reason }
        }
        Err(SinkError::Failed { reason }) if failures + 1 >= max_tries => Step::Dead { reason },
        Err(SinkError::Failed { reason }) => {
            Step::Park { wait: Wait::Backoff(failures + 1), concerns: Concerns::Key, counted: true, reason }
        }
        Err(SinkError::Refused { scope: Scope::Sink, reason }) => Step::Pause { reason },
        Err(SinkError::Refused { scope: Scope::Target, reason }) => Step::Dead { reason },
    }
}

impl Wait {
    /// Before jitter.
    pub fn span(self) -> Duration {
        match self {
            Self::Told(span) => span,
            Self::Backoff(failures) => {
                let index = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX).min(FAILED_WAITS.len() - 1);
                Duration::from_secs(FAILED_WAITS[index])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason() -> String {
        "because".into()
    }

    #[test]
    fn every_answer_has_its_step() {
        let check = |result, failures, expected: Step| assert_eq!(step(result, failures, 6), expected);
        let unavailable = |scope, retry_after| Err(SinkError::Unavailable { scope, retry_after, reason: reason() });
        let told =
            |seconds, concerns| Step::Park { wait: Wait::Told(Duration::from_secs(seconds)), concerns, counted: false, reason: reason() };
        check(Ok(Receipt::default()), 0, Step::Done);
        check(unavailable(Scope::Sink, None), 99, Step::Hold { retry_after: None, reason: reason() });
        check(unavailable(Scope::Target, Some(Duration::from_secs(9))), 99, told(9, Concerns::Target));
        check(unavailable(Scope::Target, None), 0, told(2, Concerns::Target));
        check(unavailable(Scope::Target, Some(Duration::MAX)), 0, told(86_400, Concerns::Target));
        check(unavailable(Scope::Sink, Some(Duration::MAX)), 0, Step::Hold { retry_after: Some(TOLD_MAX), reason: reason() });
        check(Err(SinkError::Unanswered { reason: reason() }), 99, Step::Hold { retry_after: None, reason: reason() });
        let failed = || Err(SinkError::Failed { reason: reason() });
        check(failed(), 0, Step::Park { wait: Wait::Backoff(1), concerns: Concerns::Key, counted: true, reason: reason() });
        check(failed(), 4, Step::Park { wait: Wait::Backoff(5), concerns: Concerns::Key, counted: true, reason: reason() });
        check(failed(), 5, Step::Dead { reason: reason() });
        check(Err(SinkError::Refused { scope: Scope::Target, reason: reason() }), 0, Step::Dead { reason: reason() });
        check(Err(SinkError::Refused { scope: Scope::Sink, reason: reason() }), 99, Step::Pause { reason: reason() });
    }

    #[test]
    fn failures_wait_longer_and_longer() {
        let waits: Vec<u64> = (0..8).map(|failures| Wait::Backoff(failures).span().as_secs()).collect();
        assert_eq!(waits, [1, 1, 10, 60, 300, 900, 900, 900]);
    }
}
