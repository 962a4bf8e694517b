//! Whether a topic keeps what it is given: what of its settings cannot be, and what should be otherwise. Pure.

use super::clients::RECORD_OVERHEAD;
use super::settings::Broker;

/// A record of this size must fit; Kafka's own default is a little more.
const RECORD_LEAST: usize = 1 << 20;
/// Kafka's own defaults, for a cluster that does not tell.
const RECORD_DEFAULT: usize = 1_048_588;

/// The settings of a topic that matter; none: not told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct TopicSettings {
    pub(super) cleanup: Option<String>,
    pub(super) retention_ms: Option<i64>,
    pub(super) retention_bytes: Option<i64>,
    pub(super) record_max: Option<usize>,
    pub(super) in_sync_least: Option<usize>,
    pub(super) unclean_election: Option<bool>,
    /// Of the brokers: how long a group without members keeps its offsets.
    pub(super) offsets_kept_minutes: Option<i64>,
    pub(super) copies: usize,
    pub(super) brokers: usize,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Validation {
    pub(super) errors: Vec<String>,
    pub(super) warnings: Vec<String>,
}

pub(super) fn validate(topic: &TopicSettings, broker: &Broker) -> Validation {
    let Validation { mut errors, mut warnings } = Validation::default();
    if topic.cleanup.as_deref().is_some_and(|policy| policy.contains("compact")) {
        errors.push("`cleanup.policy` is `compact`, which drops all but the last event of an issue; set it to `delete`".to_owned());
    }
    if let Some(most) = topic.record_max.filter(|most| *most < RECORD_LEAST) {
        errors.push(format!("`max.message.bytes` is {most}, and events need {RECORD_LEAST}; raise it"));
    }
    let kept_ms = i64::try_from(broker.retention.0.as_millis()).unwrap_or(i64::MAX);
    let is_short = |kept: i64| kept >= 0 && kept < kept_ms;
    if let Some(ms) = topic.retention_ms.filter(|ms| is_short(*ms)) {
        warnings
            .push(format!("`retention.ms` is {ms}, less than `queue.retention` ({kept_ms}): a sink that is away for longer loses events"));
    }
    if let Some(bytes) = topic.retention_bytes.filter(|bytes| *bytes >= 0) {
        warnings.push(format!("`retention.bytes` is {bytes}: when more waits in a lane, events are lost whatever their age; set it to -1"));
    }
    if let Some(minutes) = topic.offsets_kept_minutes.filter(|minutes| is_short(minutes.saturating_mul(60_000))) {
        warnings.push(format!(
            "`offsets.retention.minutes` of the brokers is {minutes}, less than `queue.retention`: when no process runs for longer, sinks \
             lose their place"
        ));
    }
    if topic.copies == 1 && topic.brokers > 1 {
        warnings.push("it has one copy on a cluster of several brokers: when one is lost, so are events; raise its replication".to_owned());
    }
    if topic.copies > 2 && topic.in_sync_least == Some(1) {
        warnings.push("`min.insync.replicas` is 1: an event that one broker has counts as stored; set it to 2".to_owned());
    }
    if topic.unclean_election == Some(true) {
        warnings.push("`unclean.leader.election.enable` is `true`: events that were stored can be lost; set it to `false`".to_owned());
    }
    let wanted = broker.max_message.length() + RECORD_OVERHEAD;
    if let Some(most) = topic.record_max.filter(|most| (RECORD_LEAST..wanted).contains(most)) {
        warnings.push(format!(
            "`max.message.bytes` is {most}, and `queue.max_message` needs {wanted}: longer events travel without Jira's own body"
        ));
    }
    Validation { errors, warnings }
}

/// The longest body that the topic takes.
pub(super) fn body_max(record_max: Option<usize>, broker: &Broker) -> usize {
    broker.max_message.length().min(record_max.unwrap_or(RECORD_DEFAULT).saturating_sub(RECORD_OVERHEAD))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::kafka::Settings;

    fn broker() -> Broker {
        Settings::default().broker("kafka://host", None).expect("good settings")
    }

    fn good() -> TopicSettings {
        TopicSettings {
            cleanup: Some("delete".into()),
            retention_ms: Some(604_800_000),
            retention_bytes: Some(-1),
            record_max: Some(20 << 20),
            in_sync_least: Some(2),
            unclean_election: Some(false),
            offsets_kept_minutes: Some(10_080),
            copies: 3,
            brokers: 3,
        }
    }

    #[test]
    fn a_topic_that_keeps_everything_is_good() {
        let alone = TopicSettings { copies: 1, brokers: 1, in_sync_least: Some(1), retention_ms: Some(-1), ..good() };
        for topic in [good(), alone, TopicSettings::default()] {
            assert_eq!(validate(&topic, &broker()), Validation::default(), "{topic:?}");
        }
    }

    #[test]
    fn what_would_lose_events_is_named() {
        for (topic, is_error, named) in [
            (TopicSettings { cleanup: Some("compact,delete".into()), ..good() }, true, "cleanup.policy"),
            (TopicSettings { record_max: Some(500_000), ..good() }, true, "max.message.bytes"),
            (TopicSettings { record_max: Some(1_048_588), ..good() }, false, "max.message.bytes"),
            (TopicSettings { retention_ms: Some(3_600_000), ..good() }, false, "retention.ms"),
            (TopicSettings { retention_bytes: Some(1 << 30), ..good() }, false, "retention.bytes"),
            (TopicSettings { offsets_kept_minutes: Some(1_440), ..good() }, false, "offsets.retention.minutes"),
            (TopicSettings { copies: 1, ..good() }, false, "one copy"),
            (TopicSettings { in_sync_least: Some(1), ..good() }, false, "min.insync.replicas"),
            (TopicSettings { unclean_election: Some(true), ..good() }, false, "unclean.leader.election.enable"),
        ] {
            let validation = validate(&topic, &broker());
            let told = if is_error { &validation.errors } else { &validation.warnings };
            assert!(told.len() == 1 && told[0].contains(named), "{named}: {validation:?}");
            assert_eq!(validation.errors.len() + validation.warnings.len(), 1, "{named}: {validation:?}");
        }
    }

    #[test]
    fn bodies_fit_what_the_topic_takes() {
        assert_eq!(body_max(Some(20 << 20), &broker()), 12 << 20);
        assert_eq!(body_max(Some(2 << 20), &broker()), (2 << 20) - RECORD_OVERHEAD);
        assert!(body_max(None, &broker()) >= 1_000_000, "a megabyte always fits");
    }
}
