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
pub(crate) struct Folds {
    latest: Mutex<HashMap<String, Latest>>,
}

struct Latest {
    content: [u8; 32],
    identifier: Option<String>,
    id: EventId,
    at: Instant,
}

impl Folds {
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

    /// Only after it is stored.
    pub(crate) fn remember(&self, event: &Event, body: &[u8]) {
        let Some(place) = place(event) else { return };
        let Some(content) = content_hash(body) else { return };
        let now = Instant::now();
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
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
