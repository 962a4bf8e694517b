//! Which tickets are kept out: those of service-management projects that nobody listed.

use std::collections::BTreeMap;

use crate::event::{Event, Kind, Project, ProjectKind};
use crate::jira::SeenIssue;
use crate::setting::ConnectionName;
use crate::store::HeldTicket;

/// Connection and id of an issue.
pub(super) type Place = (ConnectionName, String);

/// The keys of the service-management projects whose tickets are kept.
pub(super) struct ServiceProjects(pub(super) Vec<String>);

impl ServiceProjects {
    /// A project whose kind is not known is kept: it may be any.
    pub(super) fn keeps(&self, project: Option<&Project>) -> bool {
        let service = project.filter(|project| project.kind == ProjectKind::ServiceDesk);
        service.is_none_or(|project| self.lists(project.key.as_deref()))
    }

    /// Whether the ticket of this event is kept out: by its project as the event and Jira tell it, else as the store knows it.
    pub(super) fn keeps_out(&self, event: &Event, seen: Option<&SeenIssue>, held: Option<&HeldTicket>) -> bool {
        let (told, shown) = (event.data.project.as_ref(), seen.and_then(|seen| seen.project.as_ref()));
        if told.is_some() || shown.is_some() {
            return !self.keeps(told) || !self.keeps(shown);
        }
        held.is_some_and(|held| held.is_service && !self.lists(held.project_key.as_deref()))
    }

    fn lists(&self, key: Option<&str>) -> bool {
        key.is_some_and(|key| self.0.iter().any(|listed| listed.eq_ignore_ascii_case(key)))
    }
}

/// The rows of the tickets of a batch: as the store has them, then as each event leaves them.
#[derive(Default)]
pub(super) struct Held(BTreeMap<Place, HeldTicket>);

impl Held {
    pub(super) fn add(&mut self, connection: &ConnectionName, ticket: HeldTicket) {
        self.0.insert((connection.clone(), ticket.id.clone()), ticket);
    }

    pub(super) fn get(&self, place: &Place) -> Option<&HeldTicket> {
        self.0.get(place)
    }

    /// There is nothing in Jira any more that would be kept.
    pub(super) fn mark_deleted(&mut self, place: &Place) {
        if let Some(held) = self.0.get_mut(place) {
            held.is_deleted = true;
        }
    }

    /// What an event that was kept says, which carries its issue as a whole if Jira does not show it.
    pub(super) fn keep(&mut self, place: Place, event: &Event, seen: Option<&SeenIssue>) {
        let project = seen.map_or(event.data.project.as_ref(), |seen| seen.project.as_ref());
        let was_deleted = self.0.get(&place).is_some_and(|held| held.is_deleted);
        let held = HeldTicket {
            id: place.1.clone(),
            is_whole: true,
            is_deleted: event.kind() == Kind::IssueDeleted || (was_deleted && seen.is_none()),
            project_key: project.and_then(|project| project.key.clone()),
            is_service: project.is_some_and(|project| project.kind == ProjectKind::ServiceDesk),
        };
        self.0.insert(place, held);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::sample;
    use super::*;

    fn project(key: Option<&str>, kind: ProjectKind) -> Project {
        Project { id: "1".into(), key: key.map(str::to_owned), name: None, kind }
    }

    #[test]
    fn service_management_is_kept_only_where_it_is_listed() {
        let service = ServiceProjects(vec!["HELP".to_owned()]);
        for (project, kept) in [
            (Some(project(Some("HELP"), ProjectKind::ServiceDesk)), true),
            (Some(project(Some("help"), ProjectKind::ServiceDesk)), true),
            (Some(project(Some("DESK"), ProjectKind::ServiceDesk)), false),
            (Some(project(None, ProjectKind::ServiceDesk)), false),
            (Some(project(Some("DESK"), ProjectKind::Unknown)), true),
            (Some(project(Some("DESK"), ProjectKind::Software)), true),
            (Some(project(Some("DESK"), ProjectKind::Business)), true),
            (None, true),
        ] {
            assert_eq!(service.keeps(project.as_ref()), kept, "{project:?}");
        }
    }

    #[test]
    fn the_stored_ticket_decides_where_nobody_names_the_project() {
        let service = ServiceProjects(vec!["HELP".to_owned()]);
        let mut event = (*sample::enriched(1).event).clone();
        let held = |key: &str, is_service| HeldTicket {
            id: "1".into(),
            is_whole: true,
            is_deleted: false,
            project_key: Some(key.into()),
            is_service,
        };
        let check = |event: &Event, held: Option<HeldTicket>, is_out: bool| {
            assert_eq!(service.keeps_out(event, None, held.as_ref()), is_out, "{held:?}");
        };
        check(&event, None, false);
        check(&event, Some(held("DESK", true)), true);
        check(&event, Some(held("HELP", true)), false);
        check(&event, Some(held("OPS", false)), false);
        event.data.project = Some(project(Some("OPS"), ProjectKind::Software));
        check(&event, Some(held("DESK", true)), false);
        event.data.project = Some(project(Some("DESK"), ProjectKind::ServiceDesk));
        check(&event, Some(held("OPS", false)), true);
    }
}
