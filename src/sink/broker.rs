//! What the sinks on RabbitMQ and Kafka share: how an event leaves, and what the broker's answers mean.

use async_trait::async_trait;
use bytes::Bytes;

use super::{BuildError, Enriched, Receipt, Scope, Sink, SinkError, Traits};
use crate::event::Envelope;
use crate::queue::{ExternalPublishError, ExternalPublisher, Wrong};
use crate::setting::SinkName;

pub(super) struct BrokerSink {
    pub(super) name: SinkName,
    pub(super) publisher: Box<dyn ExternalPublisher>,
    pub(super) include_raw: bool,
}

#[async_trait]
impl Sink for BrokerSink {
    fn name(&self) -> &SinkName {
        &self.name
    }

    fn traits(&self) -> Traits {
        Traits { repeatable: true, records_itself: false, batch: 1, for_people: false }
    }

    async fn deliver(&self, batch: &[Enriched]) -> Vec<Result<Receipt, SinkError>> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for delivery in batch {
            outcomes.push(map_answer(self.publisher.publish(&outward(delivery, self.include_raw)).await));
        }
        outcomes
    }

    async fn check(&self) -> Result<(), SinkError> {
        map_answer(self.publisher.check().await).map(drop)
    }
}

/// The event as the guard left it. Jira's own body goes along only where it is wanted.
fn outward(delivery: &Enriched, include_raw: bool) -> Envelope {
    Envelope {
        event: (*delivery.event).clone(),
        raw: if include_raw { delivery.envelope.raw.clone() } else { Bytes::new() },
        target: None,
        traceparent: delivery.envelope.traceparent.clone(),
        received: None,
        renewable: false,
    }
}

fn map_answer(answer: Result<(), ExternalPublishError>) -> Result<Receipt, SinkError> {
    match answer {
        Ok(()) => Ok(Receipt::default()),
        Err(ExternalPublishError::Unavailable(reason)) => Err(SinkError::Unavailable { scope: Scope::Sink, retry_after: None, reason }),
        Err(ExternalPublishError::Misconfigured(reason)) => Err(SinkError::Refused { scope: Scope::Sink, reason }),
        Err(ExternalPublishError::EventRejected(reason)) => Err(SinkError::Refused { scope: Scope::Target, reason }),
    }
}

pub(super) fn not_built(what: &str, feature: &str) -> BuildError {
    BuildError::setting("url", format!("this build has no {what}: build it with `--features {feature}`"))
}

/// The first mistake: a broker's settings tell all, a sink's one.
pub(super) fn first_error(wrongs: Vec<Wrong>) -> BuildError {
    let text = |wrong: &Wrong| format!("{}; {}", wrong.why, wrong.hint);
    wrongs.first().map_or_else(|| BuildError::setting("url", "it cannot be used"), |wrong| BuildError::setting(wrong.member, text(wrong)))
}

/// A user in a URL would be shown wherever the URL is.
pub(super) fn without_user(url: &str) -> Result<(), BuildError> {
    if url.contains('@') {
        return Err(BuildError::setting("url", "a user does not belong there: use `username`, and `password = { env = \"NAME\" }`"));
    }
    Ok(())
}

/// A name of something on the broker.
pub(super) fn check_name(setting: &'static str, name: &str, most: usize) -> Result<(), BuildError> {
    match name.len() {
        0 => Err(BuildError::setting(setting, "it is empty: name one that is there")),
        length if length > most => Err(BuildError::setting(setting, format!("it is longer than {most} bytes"))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn the_raw_body_stays_unless_it_is_wanted() {
        let delivery = sample::enriched(1);
        assert!(outward(&delivery, false).raw.is_empty());
        assert_eq!(outward(&delivery, true).raw, delivery.envelope.raw);
        assert_eq!(outward(&delivery, true).event, *delivery.event);
    }

    #[test]
    fn answers_say_what_to_do_next() {
        let reason = || "why".to_owned();
        assert_eq!(map_answer(Ok(())), Ok(Receipt::default()));
        for (error, expected) in [
            (
                ExternalPublishError::Unavailable(reason()),
                SinkError::Unavailable { scope: Scope::Sink, retry_after: None, reason: reason() },
            ),
            (ExternalPublishError::Misconfigured(reason()), SinkError::Refused { scope: Scope::Sink, reason: reason() }),
            (ExternalPublishError::EventRejected(reason()), SinkError::Refused { scope: Scope::Target, reason: reason() }),
        ] {
            assert_eq!(map_answer(Err(error)), Err(expected));
        }
    }
}
