//! Traces: a span for each step of an event's road, from the receiver to every sink; what joins them travels in the envelope.
//!
//! Rooms make spans and say how they went; only the files below know OpenTelemetry. Without a collector a span is nothing: none is made,
//! and nothing is computed or kept for it. No span holds a URL, a query, a body or an e-mail address, and no other crate makes one.

#[cfg(not(feature = "otel"))]
mod absent;
#[cfg(feature = "otel")]
mod context;
#[cfg(feature = "otel")]
mod export;
mod settings;

use tracing::field::{Empty, Value};
use tracing::info_span;
use tracing::instrument::{Instrument, Instrumented};

#[cfg(not(feature = "otel"))]
use absent as context;
#[cfg(not(feature = "otel"))]
pub use absent::Traces;
#[cfg(feature = "otel")]
pub use export::Traces;
pub use settings::{Collector, TraceSettings, WrongTraces};

/// Whether this build can send traces.
pub const TRACES_ARE_BUILT: bool = cfg!(feature = "otel");
/// The target of our own spans: spans with any other target are not sent.
const TARGET: &str = "ticketwire::traces";

#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The machine is at fault: TLS cannot be set up, or no thread can be started.
    #[error("traces cannot be sent: {0}")]
    Client(String),
}

/// One step of the road. It lasts as long as somebody holds it.
#[derive(Debug, Clone)]
pub struct Span(tracing::Span);

/// An event that a sink works on.
#[derive(Debug, Clone, Copy)]
pub struct Worked<'a> {
    pub sink: &'a str,
    pub lane: u16,
    pub event_id: &'a str,
    pub kind: &'static str,
    pub issue_key: Option<&'a str>,
    pub attempt: u32,
    /// The trace context that the envelope carries.
    pub traceparent: Option<&'a str>,
}

impl Span {
    pub fn none() -> Self {
        Self(tracing::Span::none())
    }

    /// A request at the receiver, with which a trace begins: what a stranger says of traces is not believed.
    pub fn receive(connection: &str) -> Self {
        Self(info_span!(
            target: TARGET, parent: None, "webhook receive", otel.kind = "server", otel.status_code = Empty,
            connection, http.response.status_code = Empty, events = Empty,
        ))
    }

    /// A child of this span: `events` events are published to the queue.
    pub fn publish(&self, events: usize) -> Self {
        Self(info_span!(
            target: TARGET, parent: &self.0, "queue publish", otel.kind = "producer", otel.status_code = Empty, events = number(events),
        ))
    }

    /// What one sink does with an event: it goes on where the envelope says, or begins a trace where that says nothing.
    pub fn deliver(worked: &Worked<'_>) -> Self {
        let span = info_span!(
            target: TARGET, parent: None, "deliver", otel.kind = "consumer", otel.status_code = Empty,
            sink = worked.sink, lane = i64::from(worked.lane), event.id = worked.event_id, event.kind = worked.kind,
            issue.key = worked.issue_key, attempt = i64::from(worked.attempt), outcome = Empty,
        );
        if let Some(traceparent) = worked.traceparent.filter(|_| !span.is_disabled()) {
            context::go_on(&span, traceparent);
        }
        Self(span)
    }

    /// A request to Jira, as a child of the span that waits for it; no span if no span waits.
    pub fn ask_jira(connection: &str, endpoint: &'static str) -> Self {
        if tracing::Span::current().is_none() {
            return Self::none();
        }
        Self(info_span!(
            target: TARGET, "jira request", otel.kind = "client", otel.status_code = Empty,
            connection, endpoint, http.response.status_code = Empty,
        ))
    }

    /// The trace context for the envelope; `None` without traces.
    pub fn traceparent(&self) -> Option<String> {
        if self.0.is_disabled() { None } else { context::traceparent(&self.0) }
    }

    pub fn answered(&self, status: u16) {
        self.say("http.response.status_code", i64::from(status));
        if status >= 500 {
            self.failed();
        }
    }

    pub fn events(&self, events: usize) {
        self.say("events", number(events));
    }

    /// How it ended, and that it ends now.
    pub fn ended(&self, outcome: &'static str) {
        self.say("outcome", outcome);
        // A span counts as ended where it was last left, and that may have been after a question to Jira.
        self.0.in_scope(|| ());
    }

    pub fn failed(&self) {
        self.say("otel.status_code", "error");
    }

    /// What the future asks of Jira is a part of this span.
    pub fn within<F: Future>(&self, future: F) -> Instrumented<F> {
        future.instrument(self.0.clone())
    }

    fn say(&self, name: &'static str, value: impl Value) {
        // The name would be looked for even where nobody listens.
        if !self.0.is_disabled() {
            self.0.record(name, value);
        }
    }
}

/// Spans know no unsigned numbers.
fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
