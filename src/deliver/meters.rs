//! What delivery counts. Names and help texts stand in `telemetry`.

use std::time::Duration;

use super::work::Work;
use crate::clock::Timestamp;
use crate::event::Event;
use crate::setting::{ConnectionName, SinkName};
use crate::sink::{Receipt, SinkError};
use crate::store::Ended;
use crate::telemetry;

pub(crate) fn duplicate(connection: &ConnectionName) {
    telemetry::duplicate(connection.as_str());
}

pub(crate) fn withheld(sink: &SinkName, guard: &'static str) {
    telemetry::withheld(sink.as_str(), guard);
}

pub(crate) fn outcome(sink: &SinkName, ended: Ended) {
    let outcome = match ended {
        Ended::Delivered => "delivered",
        Ended::Withheld => "withheld",
        Ended::Shadowed | Ended::Filtered => "filtered",
        Ended::Dead => "dead",
    };
    telemetry::delivery(sink.as_str(), outcome);
}

/// Those of which nobody knows whether an earlier process made them. What becomes of them now is counted besides.
pub(crate) fn unknown(works: &[Work]) {
    works.iter().filter(|work| work.is_found_unknown).for_each(|work| in_doubt(&work.key.sink));
}

/// A try has no answer and will have none.
pub(crate) fn in_doubt(sink: &SinkName) {
    telemetry::delivery(sink.as_str(), "unknown");
}

pub(crate) fn filtered(sink: &SinkName) {
    telemetry::delivery(sink.as_str(), "filtered");
}

pub(crate) fn parked(sink: &SinkName) {
    telemetry::delivery(sink.as_str(), "parked");
}

/// How long it took from what happened in Jira, by Jira's clock, to its effect here.
pub(crate) fn delay(sink: &SinkName, event: &Event, now: Timestamp) {
    telemetry::delivery_delay(sink.as_str(), now.since(event.data.occurred_at));
}

/// `results`: none where the sink panicked, and nobody knows on which of them.
pub(crate) fn attempts(sink: &SinkName, results: Option<&[Result<Receipt, SinkError>]>, took: Duration) {
    telemetry::delivery_duration(sink.as_str(), took);
    let Some(results) = results else {
        return telemetry::delivery_attempts(sink.as_str(), "panicked", 1);
    };
    for (word, belongs) in WORDS {
        let count = results.iter().filter(|result| belongs(result)).count();
        if count > 0 {
            telemetry::delivery_attempts(sink.as_str(), word, count);
        }
    }
}

type Belongs = fn(&Result<Receipt, SinkError>) -> bool;

const WORDS: [(&str, Belongs); 4] = [
    ("done", |result| result.is_ok()),
    ("unavailable", |result| matches!(result, Err(SinkError::Unavailable { .. } | SinkError::Unanswered { .. }))),
    ("failed", |result| matches!(result, Err(SinkError::Failed { .. }))),
    ("refused", |result| matches!(result, Err(SinkError::Refused { .. }))),
];
