//! From an event, or from an issue as Jira shows it, to rows. Pure: which of two rows is newer is the store's question.

use crate::clock::Timestamp;
use crate::event::{Change, Comment, Entity, Event, Issue, Kind, Person, Project, ProjectKind, hash16};
use crate::jira::SeenIssue;
use crate::setting::ConnectionName;
use crate::store::{ChangeRow, CommentRow, ProjectRow, TicketEffect, TicketRow, UserRow, Version};

/// In bytes; Jira allows 255 characters. Ids of people and projects, and labels, are parts of an index, which refuses what is much longer.
const INDEXED_MAX: usize = 1_020;

/// Whether the event carries its issue as a whole.
pub(super) fn is_whole(event: &Event) -> bool {
    event.data.issue.as_ref().is_some_and(|issue| !issue.partial)
}

pub(super) fn of_event(event: &Event) -> Vec<TicketEffect> {
    let (data, connection, at) = (&event.data, &event.connection, event.data.occurred_at);
    let mut effects = Vec::new();
    effects.extend(data.project.as_ref().map(|known| TicketEffect::Project(project(connection, known, at))));
    effects.extend(data.actor.as_ref().map(|person| TicketEffect::User(user(connection, person, at))));
    if let Some(issue) = data.issue.as_deref().filter(|issue| !issue.partial) {
        let level_known = event.secrecy.level_known || issue.security.is_some();
        effects.extend(of_issue(connection, issue, data.project.as_ref(), at, level_known, false));
    }
    if let (Kind::IssueDeleted, Some(issue)) = (event.kind(), data.issue.as_deref()) {
        effects.push(TicketEffect::TicketDeleted {
            connection: connection.clone(),
            id: issue.id.clone(),
            key: issue.key.clone(),
            project_key: data.project.as_ref().and_then(|project| project.key.clone()),
            at,
        });
    }
    effects.extend(changes(event));
    match &data.entity {
        Some(Entity::Comment(comment)) => effects.extend(of_comment(event, comment)),
        Some(Entity::User(who)) if event.kind() != Kind::UserDeleted => {
            let person = Person { id: who.id.clone(), name: who.name.clone(), email: who.email.clone(), kind: who.kind };
            effects.push(TicketEffect::User(user(connection, &person, at)));
        }
        _ => {}
    }
    effects.retain(has_indexable_id);
    effects
}

pub(super) fn of_seen(connection: &ConnectionName, seen: &SeenIssue) -> Vec<TicketEffect> {
    let mut effects: Vec<TicketEffect> = of_seen_project(connection, seen).into_iter().collect();
    effects.extend(of_issue(connection, &seen.issue, seen.project.as_ref(), seen.asked_at, true, true));
    effects.retain(has_indexable_id);
    effects
}

/// Of a ticket that is kept out: the row of its project, and that it is gone, if it is buried.
pub(super) fn of_kept_out(event: &Event, seen: Option<&SeenIssue>, needs_tombstone: bool) -> Vec<TicketEffect> {
    let (connection, at) = (&event.connection, event.data.occurred_at);
    let mut effects: Vec<TicketEffect> = seen.and_then(|seen| of_seen_project(connection, seen)).into_iter().collect();
    effects.extend(event.data.project.as_ref().map(|known| TicketEffect::Project(project(connection, known, at))));
    if let Some(id) = event.issue_id().filter(|_| needs_tombstone) {
        let (connection, id) = (connection.clone(), id.to_owned());
        effects.push(TicketEffect::TicketDeleted { connection, id, key: None, project_key: None, at });
    }
    effects.retain(has_indexable_id);
    effects
}

fn has_indexable_id(effect: &TicketEffect) -> bool {
    match effect {
        TicketEffect::User(row) => row.id.len() <= INDEXED_MAX,
        TicketEffect::Project(row) => row.id.len() <= INDEXED_MAX,
        _ => true,
    }
}

pub(super) fn of_seen_project(connection: &ConnectionName, seen: &SeenIssue) -> Option<TicketEffect> {
    seen.project.as_ref().map(|known| TicketEffect::Project(project(connection, known, seen.asked_at)))
}

fn of_issue(
    connection: &ConnectionName,
    issue: &Issue,
    project: Option<&Project>,
    observed: Timestamp,
    level_known: bool,
    from_rest: bool,
) -> Vec<TicketEffect> {
    let people = [&issue.assignee, &issue.reporter, &issue.creator].into_iter().flatten();
    let mut effects: Vec<TicketEffect> = people.map(|person| TicketEffect::User(user(connection, person, observed))).collect();
    effects.push(TicketEffect::Ticket(Box::new(TicketRow {
        connection: connection.clone(),
        id: issue.id.clone(),
        version: Version { updated: issue.updated_at.unwrap_or(observed), observed },
        from_rest,
        key: issue.key.clone(),
        project_key: project.and_then(|project| project.key.clone()),
        kind: issue.kind.as_ref().and_then(|kind| kind.name.clone()),
        summary: issue.summary.clone(),
        body: issue.body.clone(),
        status: issue.status.as_ref().and_then(|status| status.name.clone()),
        status_category: issue.status.as_ref().and_then(|status| status.category).map(|category| category.as_str().to_owned()),
        assignee: issue.assignee.as_ref().map(|person| person.id.clone()),
        reporter: issue.reporter.as_ref().map(|person| person.id.clone()),
        security_level: issue.security.as_ref().map(|level| level.name.clone().or_else(|| level.id.clone()).unwrap_or_default()),
        level_known,
        created_at: issue.created_at,
        updated_at: issue.updated_at,
        labels: issue.labels.iter().filter(|label| label.len() <= INDEXED_MAX).cloned().collect(),
    })));
    effects
}

fn of_comment(event: &Event, comment: &Comment) -> Vec<TicketEffect> {
    let (connection, at) = (&event.connection, event.data.occurred_at);
    let Some(ticket_id) = event.issue_id().map(str::to_owned) else { return Vec::new() };
    let people = [&comment.author, &comment.editor].into_iter().flatten();
    let mut effects: Vec<TicketEffect> = people.map(|person| TicketEffect::User(user(connection, person, at))).collect();
    effects.push(TicketEffect::Comment(Box::new(CommentRow {
        connection: connection.clone(),
        id: comment.id.clone(),
        ticket_id: ticket_id.clone(),
        author: comment.author.as_ref().map(|person| person.id.clone()),
        body: comment.body.clone(),
        created_at: comment.created_at,
        updated_at: comment.updated_at,
    })));
    if event.kind() == Kind::CommentDeleted {
        effects.push(TicketEffect::CommentDeleted { connection: connection.clone(), id: comment.id.clone(), ticket_id, at });
    }
    effects
}

/// `<changelog id>.<item>`; without a changelog id the 16 hexadecimal digits at the end of the event's id take its place.
fn changes(event: &Event) -> Vec<TicketEffect> {
    let Some(ticket_id) = event.issue_id().filter(|_| event.kind() == Kind::IssueUpdated) else { return Vec::new() };
    let id = event.id.as_str();
    let change_id = id.rsplit_once(':').map_or_else(|| hash16(id.as_bytes()), |(_, last)| last.to_owned());
    let author = event.data.actor.as_ref().map(|person| person.id.clone());
    let row = |(number, change): (usize, &Change)| {
        TicketEffect::Change(Box::new(ChangeRow {
            connection: event.connection.clone(),
            id: format!("{change_id}.{number}"),
            ticket_id: ticket_id.to_owned(),
            field: change.field.clone(),
            from_id: change.from.as_ref().and_then(|value| value.id.clone()),
            from_value: change.from.as_ref().and_then(|value| value.text.clone()),
            to_id: change.to.as_ref().and_then(|value| value.id.clone()),
            to_value: change.to.as_ref().and_then(|value| value.text.clone()),
            author: author.clone(),
            at: event.data.occurred_at,
        }))
    };
    event.data.changes.iter().enumerate().map(row).collect()
}

fn user(connection: &ConnectionName, person: &Person, seen_at: Timestamp) -> UserRow {
    UserRow {
        connection: connection.clone(),
        id: person.id.clone(),
        name: person.name.clone(),
        email: person.email.clone(),
        kind: person.kind.as_str(),
        seen_at,
    }
}

fn project(connection: &ConnectionName, project: &Project, seen_at: Timestamp) -> ProjectRow {
    let kind = match project.kind {
        ProjectKind::Unknown => None,
        known => Some(known.as_str()),
    };
    ProjectRow {
        connection: connection.clone(),
        id: project.id.clone(),
        key: project.key.clone(),
        name: project.name.clone(),
        kind,
        seen_at,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::sample;
    use super::*;
    use crate::event::PersonKind;

    #[test]
    fn what_no_index_takes_is_left_out() {
        let person = |id: &str| Some(Person { id: id.to_owned(), name: None, email: None, kind: PersonKind::Person });
        let mut event = (*sample::enriched(1).event).clone();
        event.data.actor = person("5b:1");
        let issue = event.data.issue.as_mut().expect("an issue");
        issue.partial = false;
        issue.reporter = person(&"r".repeat(9_000));
        issue.labels = vec!["guide".to_owned(), "l".repeat(9_000)];
        let (mut people, mut labels) = (Vec::new(), Vec::new());
        for effect in of_event(&event) {
            match effect {
                TicketEffect::User(row) => people.push(row.id),
                TicketEffect::Ticket(row) => labels.extend(row.labels),
                _ => {}
            }
        }
        assert_eq!((people, labels), (vec!["5b:1".to_owned()], vec!["guide".to_owned()]));
    }
}
