//! What we say about ourselves: metrics for Prometheus, logs for people and machines, traces for a collector.
//!
//! Every metric is declared once in `metrics`, with its labels and buckets, and recorded by a typed function of `record`; a test compares
//! the two. No other room names a metric.

mod docs;
mod logs;
mod metrics;
mod process;
mod record;
mod traces;

pub use docs::markdown;
pub use logs::{Levels, LogError, LogSettings, install as install_logs, level};
pub use metrics::{Exporter, InstallError, install};
pub use record::{
    Entrance, clock_jump, config_reload, dead_letters, delivery, delivery_attempts, delivery_delay, delivery_duration, duplicate,
    jira_budget, jira_request, parked_deliveries, queue_events, queue_lost, queue_oldest, queue_unreadable, withheld,
};
pub use traces::{Collector, Span, TRACES_ARE_BUILT, TraceSettings, Traces, TracesError, Worked, WrongTraces};
