//! The ticket store: tickets, comments, changes, users and projects in SQL. Event and effect are one transaction.
//!
//! It holds what Jira said last: nothing goes back in time, nothing deleted comes back by a late event (the store guards that).
//! It asks Jira for an issue only where it holds no whole one, or one that is deleted and is told of again.

mod effects;
mod service;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{BuildError, Clearance, Enriched, Receipt, Scope, Sink, SinkError, Traits};
use crate::clock::Clock;
use crate::event::{Event, Kind};
use crate::jira::{Jira, SeenIssue, Sight, Want};
use crate::setting::{ConnectionName, SinkName};
use crate::store::{DeliveryKey, Ended, HeldTicket, JournalRow, Progress, Store, StoreError, Write};

use service::{Held, Place, ServiceProjects};

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
        // A project is known even where its tickets are not kept, and a ticket that is kept out may have been kept before.
        let is_looked_at = matches!(event.kind().entity(), "project" | "issue") || self.service.keeps(event.data.project.as_ref());
        if is_looked_at { Ok(()) } else { Err(NOT_LISTED) }
    }

    async fn deliver(&self, batch: &[Enriched]) -> Vec<Result<Receipt, SinkError>> {
        match self.take(batch).await.map_err(unavailable) {
            Ok(receipts) => receipts.into_iter().map(Ok).collect(),
            Err(err) => batch.iter().map(|_| Err(err.clone())).collect(),
        }
    }

    async fn check(&self) -> Result<(), SinkError> {
        self.store.check().await.map_err(unavailable)
    }
}

impl Tickets {
    /// Writes the whole batch and how it ended.
    async fn take(&self, batch: &[Enriched]) -> Result<Vec<Receipt>, StoreError> {
        let mut held = self.held(batch).await?;
        let read = self.read_missing(batch, &held).await;
        let (mut write, mut receipts) = (Write::default(), Vec::new());
        for delivery in batch {
            let event = &*delivery.event;
            let Some(place) = place(event) else {
                write.tickets.extend(effects::of_event(event));
                write.journal.push(self.done(delivery, false));
                receipts.push(Receipt::default());
                continue;
            };
            let seen = delivery.seen.as_deref().or_else(|| read.get(&place).map(|seen| &**seen));
            let known = held.get(&place);
            let is_out = self.service.keeps_out(event, seen, known);
            let needs_tombstone = is_out && known.is_some_and(|known| must_have_tombstone(event, known));
            if is_out {
                write.tickets.extend(effects::of_kept_out(event, seen, needs_tombstone));
                held.mark_deleted(&place);
            } else {
                write.tickets.extend(effects::of_event(event));
                write.tickets.extend(seen.into_iter().flat_map(|seen| effects::of_seen(&event.connection, seen)));
                if seen.is_some() || effects::is_whole(event) {
                    held.keep(place, event, seen);
                }
            }
            let is_filtered = is_out && !needs_tombstone;
            write.journal.push(self.done(delivery, is_filtered));
            receipts.push(Receipt { not_taken: is_filtered, ..Receipt::default() });
        }
        self.store.write(write).await?;
        Ok(receipts)
    }

    async fn held(&self, batch: &[Enriched]) -> Result<Held, StoreError> {
        let mut ids: BTreeMap<ConnectionName, BTreeSet<String>> = BTreeMap::new();
        for (connection, id) in batch.iter().filter_map(|delivery| place(&delivery.event)) {
            ids.entry(connection).or_default().insert(id);
        }
        let mut held = Held::default();
        for (connection, ids) in &ids {
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            for ticket in self.store.tickets_held(connection, &ids).await? {
                held.add(connection, ticket);
            }
        }
        Ok(held)
    }

    /// Whole issues of events that carry none, where the store holds none either, and of tickets that are deleted and told of again. What
    /// cannot be read now comes with a later event.
    async fn read_missing(&self, batch: &[Enriched], held: &Held) -> BTreeMap<Place, Arc<SeenIssue>> {
        let places = |is_one: &dyn Fn(&Event) -> bool| -> HashSet<Place> {
            batch.iter().filter(|delivery| is_one(&delivery.event)).filter_map(|delivery| place(&delivery.event)).collect()
        };
        let whole = places(&effects::is_whole);
        let leaving = places(&|event| !self.service.keeps(event.data.project.as_ref()));
        let mut wanted: BTreeMap<ConnectionName, BTreeMap<String, Want>> = BTreeMap::new();
        for delivery in batch.iter().filter(|delivery| delivery.seen.is_none() && delivery.event.kind() != Kind::IssueDeleted) {
            let event = &*delivery.event;
            let Some(place) = place(event).filter(|_| self.service.keeps(event.data.project.as_ref())) else { continue };
            let known = held.get(&place);
            let is_whole = whole.contains(&place) || known.is_some_and(|known| known.is_whole);
            let is_deleted = leaving.contains(&place) || known.is_some_and(|known| known.is_deleted);
            if is_deleted || !is_whole {
                let want = Want { issue_id: place.1.clone(), after: delivery.envelope.received };
                wanted.entry(place.0).or_default().insert(place.1, want);
            }
        }
        let mut read = BTreeMap::new();
        for (connection, wants) in wanted {
            let Some(jira) = self.jiras.get(&connection) else { continue };
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

fn place(event: &Event) -> Option<Place> {
    event.issue_id().map(|id| (event.connection.clone(), id.to_owned()))
}

/// Of a ticket that is kept out and known from before: it is told that it is gone, once, and when Jira deletes it.
fn must_have_tombstone(event: &Event, known: &HeldTicket) -> bool {
    !known.is_deleted || event.kind() == Kind::IssueDeleted
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
    use super::super::sample;
    use super::*;
    use crate::clock::Timestamp;
    use crate::event::{EventId, Project, ProjectKind};
    use crate::store::TicketView;

    #[test]
    fn what_is_about_a_ticket_has_a_place() {
        let places: Vec<&str> = Kind::ALL.iter().filter(|kind| has_place(**kind)).map(|kind| kind.entity()).collect();
        assert!(places.iter().all(|entity| ["issue", "comment", "project", "user"].contains(entity)));
        assert!(!has_place(Kind::WorklogCreated) && !has_place(Kind::Unrecognized) && has_place(Kind::IssueSnapshot));
    }

    const AT: i64 = 1_000;

    fn project(key: &str, kind: ProjectKind) -> Option<Project> {
        Some(Project { id: key.into(), key: Some(key.into()), name: None, kind })
    }

    /// One event of issue 1, told at `AT` and so many milliseconds.
    fn told(number: u32, kind: Kind, project: Option<Project>) -> Enriched {
        let mut delivery = sample::enriched(1);
        let mut event = (*delivery.event).clone();
        event.id = EventId::known(&format!("acme:{number}"));
        let at = Timestamp::from_ms(AT + i64::from(number));
        (event.data.kind, event.data.occurred_at) = (kind, at);
        if let Some(issue) = event.data.issue.as_mut() {
            issue.partial = project.is_none();
            issue.key = project.as_ref().and_then(|project| project.key.as_ref()).map(|key| format!("{key}-{number}"));
            issue.updated_at = Some(at);
        }
        event.data.project = project;
        delivery.event = Arc::new(event);
        delivery
    }

    /// Hands the batches over one after the other, to a sink that lists `HELP`, and asks nobody.
    async fn after(batches: &[&[Enriched]]) -> (Option<TicketView>, Vec<Vec<bool>>) {
        let (dir, tasks) = (tempfile::tempdir().expect("a folder"), crate::shutdown::Tasks::new());
        let store = Store::open(&crate::store::Settings::default(), dir.path(), &tasks).await.expect("it opens");
        let settings = Settings { service_projects: vec!["HELP".into()], ..Settings::default() };
        let sink = build("tickets".parse().expect("a name"), &settings, store.clone(), Arc::default(), Clock::system());
        let mut taken = Vec::new();
        for batch in batches {
            assert!(batch.iter().all(|delivery| sink.takes(&delivery.event).is_ok()));
            let answers = sink.deliver(batch).await;
            taken.push(answers.into_iter().map(|answer| !answer.expect("it is written").not_taken).collect());
        }
        let ticket = store.ticket(&batches[0][0].event.connection, "1").await.expect("it can be read");
        (ticket, taken)
    }

    #[tokio::test]
    async fn a_ticket_that_moves_where_none_are_kept_is_told_to_be_gone() {
        let created = told(1, Kind::IssueCreated, project("OPS", ProjectKind::Software));
        let moved = told(2, Kind::IssueUpdated, project("DESK", ProjectKind::ServiceDesk));
        let again = told(3, Kind::IssueUpdated, project("DESK", ProjectKind::ServiceDesk));
        let batches: [&[&[Enriched]]; 2] = [&[&[created.clone(), moved.clone(), again.clone()]], &[&[created], &[moved], &[again]]];
        for batches in batches {
            let (ticket, taken) = after(batches).await;
            let ticket = ticket.expect("the row stays");
            assert_eq!((ticket.key.as_deref(), ticket.is_deleted), (Some("OPS-1"), true), "as it was before, and gone");
            assert_eq!(taken.concat(), [true, true, false]);
        }
    }

    #[tokio::test]
    async fn a_ticket_that_was_never_kept_has_no_row() {
        let created = told(1, Kind::IssueCreated, project("DESK", ProjectKind::ServiceDesk));
        let deleted = told(2, Kind::IssueDeleted, project("DESK", ProjectKind::ServiceDesk));
        let (ticket, taken) = after(&[&[created], &[deleted]]).await;
        assert_eq!((ticket, taken.concat()), (None, vec![false, false]));
    }

    #[tokio::test]
    async fn a_deletion_is_applied_wherever_the_ticket_is_now() {
        let created = told(1, Kind::IssueCreated, project("OPS", ProjectKind::Software));
        let deleted = told(2, Kind::IssueDeleted, project("DESK", ProjectKind::ServiceDesk));
        let (ticket, taken) = after(&[&[created], &[deleted]]).await;
        assert_eq!((ticket.is_some_and(|ticket| ticket.is_deleted), taken.concat()), (true, vec![true, true]));
    }

    #[tokio::test]
    async fn an_event_without_a_project_is_kept_where_nothing_says_otherwise() {
        let created = told(1, Kind::IssueCreated, project("HELP", ProjectKind::ServiceDesk));
        let said = told(2, Kind::CommentCreated, None);
        let (ticket, taken) = after(&[&[created], std::slice::from_ref(&said)]).await;
        assert_eq!((ticket.is_some_and(|ticket| !ticket.is_deleted), taken.concat()), (true, vec![true, true]));
        assert_eq!(after(&[&[said]]).await.1.concat(), [true], "nobody knows the ticket");
    }
}
