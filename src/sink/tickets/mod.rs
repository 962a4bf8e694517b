//! The ticket store: tickets, comments, changes, users and projects in SQL. Event and effect are one transaction.
//!
//! It holds what Jira said last: nothing goes back in time, nothing deleted comes back by a late event (the store guards that).
//! It asks Jira for an issue only where it holds no whole one.

mod effects;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{BuildError, Clearance, Enriched, Receipt, Scope, Sink, SinkError, Traits};
use crate::clock::Clock;
use crate::event::{Event, Kind, Project, ProjectKind};
use crate::jira::{Jira, SeenIssue, Sight, Want};
use crate::setting::{ConnectionName, SinkName};
use crate::store::{DeliveryKey, Ended, JournalRow, Progress, Store, StoreError, Write};

/// What `trace` says of an event that has no place here.
const NOT_ABOUT_A_TICKET: &str = "not about a ticket";
/// Likewise of a ticket whose project is kept out.
const NOT_LISTED: &str = "of a service-management project that `service_projects` does not list";

/// `type = "tickets"`
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What restricted content it takes: everything unless said otherwise.
    pub clearance: Option<Clearance>,
    /// Keys of the service-management projects whose tickets are kept, as in `["HELP"]`; of the others only the project is.
    pub service_projects: Vec<String>,
}

impl Settings {
    pub fn clearance(&self) -> Clearance {
        self.clearance.clone().unwrap_or_else(Clearance::everything)
    }

    pub fn check(&self) -> Result<(), BuildError> {
        Ok(())
    }
}

pub fn build(
    name: SinkName,
    settings: &Settings,
    store: Store,
    jiras: Arc<BTreeMap<ConnectionName, Arc<Jira>>>,
    clock: Clock,
) -> impl Sink + use<> {
    Tickets { name, service: ServiceProjects(settings.service_projects.clone()), store, jiras, clock }
}

struct Tickets {
    name: SinkName,
    service: ServiceProjects,
    store: Store,
    jiras: Arc<BTreeMap<ConnectionName, Arc<Jira>>>,
    clock: Clock,
}

#[async_trait]
impl Sink for Tickets {
    fn name(&self) -> &SinkName {
        &self.name
    }

    fn traits(&self) -> Traits {
        Traits { repeatable: true, records_itself: true, batch: 256, for_people: false }
    }

    fn takes(&self, event: &Event) -> Result<(), &'static str> {
        if !has_place(event.kind()) {
            return Err(NOT_ABOUT_A_TICKET);
        }
        // A project is known even where its tickets are not kept.
        let is_kept = event.kind().entity() == "project" || self.service.keeps(event.data.project.as_ref());
        if is_kept { Ok(()) } else { Err(NOT_LISTED) }
    }

    async fn deliver(&self, batch: &[Enriched]) -> Vec<Result<Receipt, SinkError>> {
        let read = self.read_missing(batch).await;
        let mut write = Write::default();
        let mut receipts = Vec::new();
        for delivery in batch {
            let event = &delivery.event;
            let seen = delivery.seen.as_ref().or_else(|| read.get(&(event.connection.clone(), event.issue_id()?.to_owned())));
            // The event may not have told of which kind its project is.
            let kept_out = seen.filter(|seen| !self.service.keeps(seen.project.as_ref()));
            match kept_out {
                Some(seen) => write.tickets.extend(effects::of_seen_project(&event.connection, seen)),
                None => {
                    write.tickets.extend(effects::of_event(event));
                    write.tickets.extend(seen.into_iter().flat_map(|seen| effects::of_seen(&event.connection, seen)));
                }
            }
            receipts.push(Receipt { not_taken: kept_out.is_some(), ..Receipt::default() });
            write.journal.push(self.done(delivery, kept_out.is_some()));
        }
        match self.store.write(write).await.map_err(unavailable) {
            Ok(()) => receipts.into_iter().map(Ok).collect(),
            Err(err) => batch.iter().map(|_| Err(err.clone())).collect(),
        }
    }

    async fn check(&self) -> Result<(), SinkError> {
        self.store.check().await.map_err(unavailable)
    }
}

impl Tickets {
    /// Whole issues of events that carry none, where the store holds none either. What cannot be read now comes with a later event.
    async fn read_missing(&self, batch: &[Enriched]) -> BTreeMap<(ConnectionName, String), Arc<SeenIssue>> {
        let mut partial: BTreeMap<&ConnectionName, BTreeMap<&str, Want>> = BTreeMap::new();
        let whole: HashSet<(&ConnectionName, &str)> =
            batch.iter().filter(|delivery| effects::is_whole(&delivery.event)).filter_map(|delivery| place(&delivery.event)).collect();
        for delivery in batch.iter().filter(|delivery| delivery.seen.is_none() && delivery.event.kind() != Kind::IssueDeleted) {
            if let Some((connection, id)) = place(&delivery.event)
                && !whole.contains(&(connection, id))
                && self.jiras.contains_key(connection)
            {
                let want = Want { issue_id: id.to_owned(), after: delivery.envelope.received };
                partial.entry(connection).or_default().insert(id, want);
            }
        }
        let mut read = BTreeMap::new();
        for (connection, mut wants) in partial {
            let ids: Vec<&str> = wants.keys().copied().collect();
            let held = self.store.tickets_held(connection, &ids).await.unwrap_or_default();
            wants.retain(|id, _| !held.iter().any(|known| known == id));
            let (Some(jira), false) = (self.jiras.get(connection), wants.is_empty()) else { continue };
            let wants: Vec<Want> = wants.into_values().collect();
            for (want, sight) in wants.iter().zip(jira.issues(&wants).await) {
                if let Ok(Sight::Seen(issue)) = sight {
                    read.insert((connection.clone(), want.issue_id.clone()), issue);
                }
            }
        }
        read
    }

    fn done(&self, delivery: &Enriched, is_kept_out: bool) -> JournalRow {
        JournalRow {
            key: DeliveryKey {
                sink: self.name.clone(),
                event_id: delivery.event.id.clone(),
                target: delivery.target.clone(),
                generation: delivery.generation,
            },
            rule: delivery.rule.clone(),
            progress: Progress::Ended(if is_kept_out { Ended::Filtered } else { Ended::Delivered }),
            reason: is_kept_out.then(|| NOT_LISTED.to_owned()),
            at: self.clock.now(),
            attempts: delivery.attempts,
            unclean_runs: 0,
        }
    }
}

/// The keys of the service-management projects whose tickets are kept.
struct ServiceProjects(Vec<String>);

impl ServiceProjects {
    /// A project whose kind is not known is kept: it may be any.
    fn keeps(&self, project: Option<&Project>) -> bool {
        let service = project.filter(|project| project.kind == ProjectKind::ServiceDesk);
        service.is_none_or(|project| project.key.as_deref().is_some_and(|key| self.0.iter().any(|listed| listed.eq_ignore_ascii_case(key))))
    }
}

fn place(event: &Event) -> Option<(&ConnectionName, &str)> {
    event.issue_id().map(|id| (&event.connection, id))
}

/// Kinds that change something in the tables.
fn has_place(kind: Kind) -> bool {
    matches!(kind.entity(), "issue" | "comment" | "project" | "user")
}

/// A full disk, a busy database or a broken one: in each case nothing was written and the deliveries wait.
fn unavailable(err: StoreError) -> SinkError {
    SinkError::Unavailable { scope: Scope::Sink, retry_after: None, reason: err.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_a_ticket_has_a_place() {
        let places: Vec<&str> = Kind::ALL.iter().filter(|kind| has_place(**kind)).map(|kind| kind.entity()).collect();
        assert!(places.iter().all(|entity| ["issue", "comment", "project", "user"].contains(entity)));
        assert!(!has_place(Kind::WorklogCreated) && !has_place(Kind::Unrecognized) && has_place(Kind::IssueSnapshot));
    }

    #[test]
    fn service_management_is_kept_only_where_it_is_listed() {
        let service = ServiceProjects(vec!["HELP".to_owned()]);
        let project = |key: Option<&str>, kind| Some(Project { id: "1".into(), key: key.map(str::to_owned), name: None, kind });
        for (project, kept) in [
            (project(Some("HELP"), ProjectKind::ServiceDesk), true),
            (project(Some("help"), ProjectKind::ServiceDesk), true),
            (project(Some("DESK"), ProjectKind::ServiceDesk), false),
            (project(None, ProjectKind::ServiceDesk), false),
            (project(Some("DESK"), ProjectKind::Unknown), true),
            (project(Some("DESK"), ProjectKind::Software), true),
            (project(Some("DESK"), ProjectKind::Business), true),
            (None, true),
        ] {
            assert_eq!(service.keeps(project.as_ref()), kept, "{project:?}");
        }
    }
}
