//! Every metric in one table: name, kind, unit, labels and help text. `schemas/metrics.md` is made from it.
//!
//! Labels have few values: names from the configuration, kinds of events and closed lists; never an issue key, a person,
//! a URL or an error's text.

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use super::process;

pub(super) enum Type {
    Counter,
    Gauge,
    Histogram(&'static [f64]),
}

impl Type {
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) kind: Type,
    pub(super) unit: Unit,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
}

#[derive(Clone, Copy)]
pub(super) enum Unit {
    Count,
    Seconds,
    Bytes,
    Ratio,
}

impl Unit {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Count => "",
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
            Self::Ratio => "ratio",
        }
    }

    fn declared(self) -> metrics::Unit {
        match self {
            Self::Count | Self::Ratio => metrics::Unit::Count,
            Self::Seconds => metrics::Unit::Seconds,
            Self::Bytes => metrics::Unit::Bytes,
        }
    }
}

/// An answer at the receiver takes about a millisecond, and never longer than a body may take.
const ANSWER_SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];
/// From a ping to the largest body that is taken by default.
const BODY_BYTES: &[f64] = &[1_024.0, 4_096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 26_214_400.0];
/// From at once to the hours that an outage may last.
const DELAY_SECONDS: &[f64] = &[0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0, 86_400.0];
/// One call of a sink, which has a limit of its own.
const CALL_SECONDS: &[f64] = &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

const fn metric(name: &'static str, kind: Type, unit: Unit, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind, unit, labels, help }
}

#[rustfmt::skip]
pub(super) const METRICS: &[Metric] = &[
    metric("ticketwire_webhook_requests_total", Type::Counter, Unit::Count, &["connection", "outcome"], "Requests for a known connection, each once, by what became of it."),
    metric("ticketwire_webhook_request_duration_seconds", Type::Histogram(ANSWER_SECONDS), Unit::Seconds, &[], "From the request's head to its answer."),
    metric("ticketwire_webhook_body_bytes", Type::Histogram(BODY_BYTES), Unit::Bytes, &[], "Length of the bodies of authentic webhooks."),
    metric("ticketwire_webhook_last_received_timestamp_seconds", Type::Gauge, Unit::Seconds, &["connection"], "When the last authentic webhook came, in seconds since 1970."),
    metric("ticketwire_events_total", Type::Counter, Unit::Count, &["connection", "kind", "origin"], "Events put on the road."),
    metric("ticketwire_event_receipt_delay_seconds", Type::Histogram(DELAY_SECONDS), Unit::Seconds, &["connection"], "From when it happened by Jira's clock to its receipt."),
    metric("ticketwire_event_delivery_delay_seconds", Type::Histogram(DELAY_SECONDS), Unit::Seconds, &["sink"], "From when it happened by Jira's clock to its delivery."),
    metric("ticketwire_queue_events", Type::Gauge, Unit::Count, &["sink"], "Events that a sink has not passed yet."),
    metric("ticketwire_queue_oldest_timestamp_seconds", Type::Gauge, Unit::Seconds, &["sink"], "When the oldest event that a sink has not passed was received, in seconds since 1970; 0 where none waits."),
    metric("ticketwire_queue_unreadable_total", Type::Counter, Unit::Count, &["sink"], "Messages on a broker that could not be read: kept as `event.unrecognized`, or dropped where they were no events of ours."),
    metric("ticketwire_queue_lost_total", Type::Counter, Unit::Count, &["sink"], "Events that a broker had removed before a sink had passed them."),
    metric("ticketwire_parked_deliveries", Type::Gauge, Unit::Count, &["sink"], "Deliveries that wait because their target or their issue cannot go on."),
    metric("ticketwire_dead_letters", Type::Gauge, Unit::Count, &["sink"], "Deliveries that will not succeed by waiting."),
    metric("ticketwire_deliveries_total", Type::Counter, Unit::Count, &["sink", "outcome"], "Deliveries by how they ended, in the words of `trace`."),
    metric("ticketwire_delivery_attempts_total", Type::Counter, Unit::Count, &["sink", "result"], "Attempts to deliver, by what the sink said."),
    metric("ticketwire_delivery_duration_seconds", Type::Histogram(CALL_SECONDS), Unit::Seconds, &["sink"], "One attempt to deliver, or one batch where the sink takes several."),
    metric("ticketwire_duplicates_total", Type::Counter, Unit::Count, &["connection"], "Events that were known already: repeats and twins."),
    metric("ticketwire_withheld_total", Type::Counter, Unit::Count, &["sink", "guard"], "Deliveries kept back because the sink is not cleared for them, by which guard."),
    metric("ticketwire_jira_requests_total", Type::Counter, Unit::Count, &["connection", "endpoint", "code"], "Requests to Jira's REST API, by status code, or `error` where no answer came."),
    metric("ticketwire_jira_budget_remaining_ratio", Type::Gauge, Unit::Ratio, &["connection"], "How much of the site's rate budget is left, from 0 to 1."),
    metric("ticketwire_clock_jumps_total", Type::Counter, Unit::Count, &[], "How often the system's clock was set by more than five minutes while the process ran."),
    metric("ticketwire_traces_dropped_total", Type::Counter, Unit::Count, &[], "Spans that did not reach the collector: it did not take them, or too many waited for it."),
    metric("ticketwire_config_reload_success", Type::Gauge, Unit::Count, &[], "1 where the configuration at work is the one that was read last, 0 where that one was refused."),
    metric("ticketwire_build_info", Type::Gauge, Unit::Count, &["version", "revision"], "Always 1; the labels say what runs."),
];

#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// Somebody installed another recorder before: a mistake in this program.
    #[error("metrics are installed already")]
    Twice,
    #[error("the metrics table is wrong: {0}")]
    Table(#[from] BuildError),
}

/// Renders the metrics of this process.
#[derive(Clone)]
pub struct Exporter {
    handle: PrometheusHandle,
}

/// Starts recording. What was recorded before is lost.
pub fn install() -> Result<Exporter, InstallError> {
    let recorder = recorder()?;
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|_| InstallError::Twice)?;
    describe();
    Ok(Exporter { handle })
}

impl Exporter {
    /// The Prometheus text, with the process's own figures as they are now.
    pub fn render(&self) -> String {
        let mut text = self.handle.render();
        process::render(&mut text);
        text
    }

    /// To be called every few seconds, or memory grows without bound between scrapes.
    pub fn run_upkeep(&self) {
        self.handle.run_upkeep();
    }
}

fn recorder() -> Result<PrometheusRecorder, BuildError> {
    let mut builder = PrometheusBuilder::new();
    for metric in METRICS {
        if let Type::Histogram(buckets) = metric.kind {
            builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), buckets)?;
        }
    }
    Ok(builder.build_recorder())
}

fn describe() {
    for metric in METRICS {
        match metric.kind {
            Type::Counter => metrics::describe_counter!(metric.name, metric.unit.declared(), metric.help),
            Type::Gauge => metrics::describe_gauge!(metric.name, metric.unit.declared(), metric.help),
            Type::Histogram(_) => metrics::describe_histogram!(metric.name, metric.unit.declared(), metric.help),
        }
    }
    let revision = option_env!("TICKETWIRE_REVISION").unwrap_or("unknown");
    metrics::gauge!("ticketwire_build_info", "version" => env!("CARGO_PKG_VERSION"), "revision" => revision).set(1.0);
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// What `record` recorded, rendered.
    pub(crate) fn rendered(record: impl FnOnce()) -> String {
        let recorder = recorder().expect("a good table");
        let exporter = Exporter { handle: recorder.handle() };
        metrics::with_local_recorder(&recorder, || {
            describe();
            record();
        });
        exporter.run_upkeep();
        exporter.render()
    }

    #[test]
    fn the_table_keeps_the_rules_for_names() {
        let mut seen = BTreeMap::new();
        for metric in METRICS {
            assert!(metric.name.starts_with("ticketwire_"), "{}", metric.name);
            assert_eq!(metric.name.ends_with("_total"), matches!(metric.kind, Type::Counter), "{}", metric.name);
            assert!(metric.name.trim_end_matches("_total").ends_with(metric.unit.as_str()), "{}", metric.name);
            assert!(metric.help.ends_with('.'), "{}", metric.name);
            assert!(seen.insert(metric.name, ()).is_none(), "{} twice", metric.name);
        }
    }

    #[test]
    fn every_sample_has_help_and_type_and_a_prefix() {
        let text = rendered(|| {
            let entrance = super::super::Entrance::new("acme");
            entrance.request("accepted");
            entrance.duration(std::time::Duration::from_millis(3));
        });
        let mut described = BTreeMap::<&str, u32>::new();
        for line in text.lines().filter(|line| line.starts_with('#')) {
            let name = line.split(' ').nth(2).expect("a name");
            *described.entry(name).or_default() += 1;
        }
        assert!(described.values().all(|lines| *lines == 2), "{described:?}");
        let mut samples = 0;
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let name = line.split(['{', ' ']).next().expect("a name");
            assert!(name.starts_with("ticketwire_") || name.starts_with("process_"), "{line}");
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
            assert!(described.contains_key(name) || described.contains_key(family), "{line}");
            samples += 1;
        }
        assert!(samples > 20 && text.ends_with('\n'), "{text}");
    }

    #[test]
    fn histograms_have_buckets() {
        let text = rendered(|| super::super::Entrance::new("acme").body(5_000));
        for line in [
            "# TYPE ticketwire_webhook_body_bytes histogram",
            "ticketwire_webhook_body_bytes_bucket{le=\"4096\"} 0",
            "ticketwire_webhook_body_bytes_bucket{le=\"16384\"} 1",
            "ticketwire_webhook_body_bytes_sum 5000",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
