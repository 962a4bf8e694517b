//! Two webhooks of one site, one happening: where Jira gives no number to what happened, its second body is recognised by its content.
//!
//! Only against the latest event of that kind and entity, within two minutes, and only where both have delivery identifiers that
//! differ: never by content alone, or a name that goes from A to B and back to A would lose its last step.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::event::{Entity, Event, EventId, Kind};
use crate::jira::content_hash;

const WITHIN: Duration = Duration::from_secs(120);
/// More entities than a site changes in two minutes.
const REMEMBERED: usize = 4_096;

#[derive(Default)]
pub(crate) struct TwinFilter {
    latest: Mutex<HashMap<String, Latest>>,
}

struct Latest {
    content: [u8; 32],
    identifier: Option<String>,
    id: EventId,
    at: Instant,
}

impl TwinFilter {
    /// The id of the event that this one repeats.
    pub(crate) fn twin_of(&self, event: &Event, body: &[u8]) -> Option<EventId> {
        let place = place(event)?;
        let content = content_hash(body)?;
        let identifier = event.data.jira.identifier.as_ref()?;
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let latest = latest.get(&place)?;
        let other = latest.identifier.as_ref().is_some_and(|known| known != identifier);
        (other && latest.content == content && latest.at.elapsed() <= WITHIN).then(|| latest.id.clone())
    }

    /// Only after it is stored. What was the latest before is forgotten in any case: a third that equals the first is no twin of it.
    pub(crate) fn remember(&self, event: &Event, body: &[u8]) {
        let Some(place) = place(event) else { return };
        let (content, now) = (content_hash(body), Instant::now());
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.remove(&place);
        let Some(content) = content else { return };
        if latest.len() >= REMEMBERED {
            latest.retain(|_, known| now.duration_since(known.at) <= WITHIN);
        }
        if latest.len() < REMEMBERED {
            latest.insert(place, Latest { content, identifier: event.data.jira.identifier.clone(), id: event.id.clone(), at: now });
        }
    }
}

/// Kind and entity, for events whose identity has nothing but the webhook's own time.
fn place(event: &Event) -> Option<String> {
    use Kind as K;
    let by_time = matches!(
        event.kind(),
        K::SprintUpdated
            | K::BoardUpdated
            | K::BoardConfigured
            | K::VersionUpdated
            | K::VersionReleased
            | K::VersionUnreleased
            | K::VersionMoved
            | K::VersionMerged
            | K::ProjectUpdated
            | K::ProjectTrashed
            | K::ProjectRestored
            | K::ProjectArchived
            | K::ProjectUnarchived
            | K::UserUpdated
            | K::FilterUpdated
            | K::IssuetypeUpdated
            | K::OptionChanged
            | K::PropertySet
            | K::PropertyDeleted
    );
    let entity = match &event.data.entity {
        Some(Entity::Property(property)) => property.key.as_str(),
        _ => "",
    };
    by_time.then(|| format!("{} {} {entity}", event.partition_key, event.kind()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::event::Markup;
    use crate::jira::{Headers, Received, normalize};

    fn told(sprint: usize, name: &str, delivery: usize) -> (Event, String) {
        let body = format!(r#"{{"webhookEvent":"sprint_updated","timestamp":{delivery},"sprint":{{"id":{sprint},"name":"{name}"}}}}"#);
        let received = Received {
            connection: &"acme".parse().expect("a name"),
            base_url: &"https://acme.example".parse().expect("a base URL"),
            body: body.as_bytes(),
            headers: &Headers { identifier: Some(delivery.to_string()), ..Headers::default() },
            received_at: Timestamp::from_ms(0),
            to_markdown: |_: Markup<'_>| String::new(),
        };
        (normalize(&received).remove(0), body)
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_goes_back_is_no_twin_however_many_are_remembered() {
        let twins = TwinFilter::default();
        let twin = |(event, body): &(Event, String)| twins.twin_of(event, body.as_bytes());
        let remember = |(event, body): &(Event, String)| twins.remember(event, body.as_bytes());
        let first = told(1, "A", 1);
        remember(&first);
        for sprint in 2..=REMEMBERED {
            remember(&told(sprint, "A", 1));
        }
        assert_eq!(twin(&told(1, "A", 2)), Some(first.0.id.clone()), "a second webhook of the same");
        remember(&told(1, "B", 3));
        assert_eq!(twin(&told(1, "A", 4)), None, "the name went back");
        assert_eq!(twin(&told(1, "B", 5)), Some(told(1, "B", 3).0.id), "the one of before made room");
        remember(&told(REMEMBERED + 1, "A", 6));
        assert_eq!(twin(&told(REMEMBERED + 1, "A", 7)), None, "there was no room for it");
    }
}
