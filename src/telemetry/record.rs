//! One function per metric, so that every room that records it gives it the same labels. A test compares names and labels with what
//! `metrics` declares.
//!
//! `connection` and `sink` are names from the configuration, `kind` and `origin` the words of events, `endpoint` and `code` a name of the
//! Jira client for what it asks and the status of the answer. All other labels take the values listed here only.

use std::collections::BTreeMap;
use std::sync::{OnceLock, PoisonError, RwLock};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

/// What became of a request for a known connection; a repeat is accepted too.
pub(super) const WEBHOOK_OUTCOMES: &[&str] = &["accepted", "refused", "too_large", "too_slow", "unavailable"];
/// How a delivery ended: the words of `trace` without `pending`.
pub(super) const DELIVERY_OUTCOMES: &[&str] = &["delivered", "filtered", "withheld", "dead", "parked", "unknown"];
/// What a sink said to an attempt.
pub(super) const ATTEMPT_RESULTS: &[&str] = &["done", "unavailable", "failed", "refused", "panicked"];
/// Why the guard withheld a delivery: a restricted or internal comment, a security level, a private project, an issue that we cannot see,
/// or something that cannot be known.
pub(super) const GUARDS: &[&str] = &["comment", "level", "project", "unknown", "visibility"];

/// What the receiver counts for one connection. To look a metric up costs several times what counting does, so each is looked up once, when
/// it has its first value.
pub struct Entrance {
    connection: String,
    requests: Counters,
    events: Counters,
    duration: OnceLock<Histogram>,
    body: OnceLock<Histogram>,
    received: OnceLock<Gauge>,
    delay: OnceLock<Histogram>,
}

/// Counters that differ in one label, which has few values.
#[derive(Default)]
struct Counters {
    by_word: RwLock<BTreeMap<&'static str, Counter>>,
}

impl Entrance {
    pub fn new(connection: &str) -> Self {
        Self {
            connection: connection.to_owned(),
            requests: Counters::default(),
            events: Counters::default(),
            duration: OnceLock::new(),
            body: OnceLock::new(),
            received: OnceLock::new(),
            delay: OnceLock::new(),
        }
    }

    pub fn request(&self, outcome: &'static str) {
        debug_assert!(WEBHOOK_OUTCOMES.contains(&outcome), "`{outcome}` is not declared");
        self.requests.increment(
            outcome,
            || counter!("ticketwire_webhook_requests_total", "connection" => self.connection.clone(), "outcome" => outcome),
        );
    }

    pub fn duration(&self, duration: Duration) {
        self.duration.get_or_init(|| histogram!("ticketwire_webhook_request_duration_seconds")).record(duration);
    }

    pub fn body(&self, length: usize) {
        self.body.get_or_init(|| histogram!("ticketwire_webhook_body_bytes")).record(length as f64);
    }

    /// `at_ms`: wall time, in milliseconds since 1970.
    pub fn received(&self, at_ms: i64) {
        let name = "ticketwire_webhook_last_received_timestamp_seconds";
        self.received.get_or_init(|| gauge!(name, "connection" => self.connection.clone())).set(seconds(at_ms));
    }

    pub fn event(&self, kind: &'static str) {
        let connection = || self.connection.clone();
        self.events
            .increment(kind, || counter!("ticketwire_events_total", "connection" => connection(), "kind" => kind, "origin" => "webhook"));
    }

    pub fn receipt_delay(&self, delay: Duration) {
        let look_up = || histogram!("ticketwire_event_receipt_delay_seconds", "connection" => self.connection.clone());
        self.delay.get_or_init(look_up).record(delay);
    }
}

impl Counters {
    fn increment(&self, word: &'static str, look_up: impl FnOnce() -> Counter) {
        if let Some(counter) = self.by_word.read().unwrap_or_else(PoisonError::into_inner).get(word) {
            return counter.increment(1);
        }
        let counter = look_up();
        counter.increment(1);
        self.by_word.write().unwrap_or_else(PoisonError::into_inner).insert(word, counter);
    }
}

pub fn delivery_delay(sink: &str, delay: Duration) {
    histogram!("ticketwire_event_delivery_delay_seconds", "sink" => sink.to_owned()).record(delay);
}

pub fn queue_events(sink: &str, waiting: u64) {
    gauge!("ticketwire_queue_events", "sink" => sink.to_owned()).set(waiting as f64);
}

/// None: nothing waits, or the queue cannot say.
pub fn queue_oldest(sink: &str, received_ms: Option<i64>) {
    gauge!("ticketwire_queue_oldest_timestamp_seconds", "sink" => sink.to_owned()).set(received_ms.map_or(0.0, seconds));
}

pub fn queue_unreadable(sink: &str) {
    counter!("ticketwire_queue_unreadable_total", "sink" => sink.to_owned()).increment(1);
}

pub fn queue_lost(sink: &str, events: u64) {
    counter!("ticketwire_queue_lost_total", "sink" => sink.to_owned()).increment(events);
}

pub fn parked_deliveries(sink: &str, waiting: u64) {
    gauge!("ticketwire_parked_deliveries", "sink" => sink.to_owned()).set(waiting as f64);
}

pub fn dead_letters(sink: &str, dead: u64) {
    gauge!("ticketwire_dead_letters", "sink" => sink.to_owned()).set(dead as f64);
}

pub fn clock_jump() {
    counter!("ticketwire_clock_jumps_total").increment(1);
}

#[cfg_attr(not(feature = "otel"), allow(dead_code, reason = "a build without traces drops none"))]
pub(super) fn traces_dropped(spans: usize) {
    counter!("ticketwire_traces_dropped_total").increment(spans as u64);
}

pub fn config_reload(success: bool) {
    gauge!("ticketwire_config_reload_success").set(f64::from(u8::from(success)));
}

pub fn delivery(sink: &str, outcome: &'static str) {
    debug_assert!(DELIVERY_OUTCOMES.contains(&outcome), "`{outcome}` is not declared");
    counter!("ticketwire_deliveries_total", "sink" => sink.to_owned(), "outcome" => outcome).increment(1);
}

pub fn delivery_attempts(sink: &str, result: &'static str, count: usize) {
    debug_assert!(ATTEMPT_RESULTS.contains(&result), "`{result}` is not declared");
    counter!("ticketwire_delivery_attempts_total", "sink" => sink.to_owned(), "result" => result).increment(count as u64);
}

/// One call of the sink, however many deliveries it took.
pub fn delivery_duration(sink: &str, duration: Duration) {
    histogram!("ticketwire_delivery_duration_seconds", "sink" => sink.to_owned()).record(duration);
}

pub fn duplicate(connection: &str) {
    counter!("ticketwire_duplicates_total", "connection" => connection.to_owned()).increment(1);
}

pub fn withheld(sink: &str, guard: &'static str) {
    debug_assert!(GUARDS.contains(&guard), "`{guard}` is not declared");
    counter!("ticketwire_withheld_total", "sink" => sink.to_owned(), "guard" => guard).increment(1);
}

/// `code`: the status of the answer, or `error` where none came.
pub fn jira_request(connection: &str, endpoint: &'static str, code: &'static str) {
    let connection = connection.to_owned();
    counter!("ticketwire_jira_requests_total", "connection" => connection, "endpoint" => endpoint, "code" => code).increment(1);
}

/// `remaining`: from 0 to 1.
pub fn jira_budget(connection: &str, remaining: f64) {
    gauge!("ticketwire_jira_budget_remaining_ratio", "connection" => connection.to_owned()).set(remaining);
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::super::metrics::{METRICS, tests::rendered};
    use super::*;

    #[test]
    fn every_function_records_what_the_table_declares() {
        let text = rendered(|| {
            let entrance = Entrance::new("acme");
            entrance.request("too_large");
            entrance.duration(Duration::from_millis(2));
            entrance.body(10);
            entrance.received(1_500);
            for kind in ["issue.created", "issue.created", "issue.updated"] {
                entrance.event(kind);
            }
            entrance.receipt_delay(Duration::from_secs(1));
            delivery_delay("team", Duration::from_secs(2));
            queue_events("team", 3);
            queue_oldest("team", Some(2_500));
            queue_unreadable("team");
            queue_lost("team", 7);
            parked_deliveries("team", 4);
            dead_letters("team", 5);
            clock_jump();
            traces_dropped(2);
            config_reload(true);
            delivery("team", "delivered");
            delivery_attempts("team", "failed", 2);
            delivery_duration("team", Duration::from_secs(1));
            duplicate("acme");
            withheld("team", "level");
            jira_request("acme", "search", "200");
            jira_budget("acme", 0.5);
        });
        for metric in METRICS {
            let suffix = if metric.kind.as_str() == "histogram" { "_count" } else { "" };
            let sample = text.lines().find(|line| line.starts_with(&format!("{}{suffix}", metric.name)) && !line.starts_with('#'));
            let sample = sample.unwrap_or_else(|| panic!("{} is not recorded", metric.name));
            let mut labels: Vec<_> =
                sample.split(['{', ',', '}']).filter_map(|part| part.split_once("=\"").map(|(name, _)| name)).collect();
            labels.sort_unstable();
            let mut declared = metric.labels.to_vec();
            declared.sort_unstable();
            assert_eq!(labels, declared, "{sample}");
        }
        let line = "ticketwire_webhook_last_received_timestamp_seconds{connection=\"acme\"} 1.5";
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        let created = text.lines().find(|line| line.starts_with("ticketwire_events_total") && line.contains("issue.created"));
        assert!(created.is_some_and(|line| line.ends_with(" 2")), "{created:?}");
    }
}
