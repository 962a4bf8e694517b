//! What a trace shows of an event at a sink: one span for each turn in which it is worked on, which goes on where the receiver left the
//! trace. Its outcome is the worst of its deliveries, where rules send it to several targets.

use std::sync::{Mutex, PoisonError};

use tracing::instrument::Instrumented;

use super::enrich::Item;
use super::worker::LaneWorker;
use crate::telemetry::{Span, Worked};

/// From good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    Filtered,
    /// It ended before.
    Known,
    Delivered,
    Withheld,
    Parked,
    Dead,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Filtered => "filtered",
            Self::Known => "known",
            Self::Delivered => "delivered",
            Self::Withheld => "withheld",
            Self::Parked => "parked",
            Self::Dead => "dead",
        }
    }
}

/// The span of an event in hand; it ends with it.
pub(crate) struct Trail {
    span: Span,
    worst: Mutex<Option<Outcome>>,
}

impl Trail {
    pub(crate) fn none() -> Self {
        Self { span: Span::none(), worst: Mutex::default() }
    }

    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    /// What the future asks of Jira shows in this trace.
    pub(crate) fn within<F: Future>(&self, future: F) -> Instrumented<F> {
        self.span.within(future)
    }

    /// How one of its deliveries ended for now.
    pub(crate) fn ended(&self, outcome: Outcome) {
        let mut worst = self.worst.lock().unwrap_or_else(PoisonError::into_inner);
        *worst = (*worst).max(Some(outcome));
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        let worst = *self.worst.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Some(outcome) = worst else { return };
        if outcome == Outcome::Dead {
            self.span.failed();
        }
        self.span.ended(outcome.as_str());
    }
}

impl LaneWorker {
    /// Begins a span for each of them.
    pub(super) fn trace<'a>(&self, items: impl Iterator<Item = &'a mut Item>) {
        for item in items {
            let event = &item.envelope.event;
            let span = Span::deliver(&Worked {
                sink: self.shared.route.name().as_str(),
                lane: self.lane_id().0,
                event_id: event.id.as_str(),
                kind: event.kind().as_str(),
                issue_key: event.data.issue.as_ref().and_then(|issue| issue.key.as_deref()),
                attempt: item.parked.as_ref().map_or(0, |row| row.attempts) + 1,
                traceparent: item.envelope.traceparent.as_deref(),
            });
            item.trail = Trail { span, worst: Mutex::default() };
        }
    }
}
