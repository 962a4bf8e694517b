//! The guard in front of every sink: restricted issues, restricted comments and internal notes reach cleared sinks only.
//!
//! It fails closed. What is known to be restricted is withheld, what cannot be known now waits, and both say why. It decides on the
//! stricter of the event and a read that was made after the event was received; it fetches nothing itself.

use std::time::Duration;

use super::rules::Rule;
use crate::event::{Change, Entity, Event, Kind, Project, ProjectKind, Secrecy};
use crate::jira::{Asked, JiraError, Place, Privacy, Sight, Talk};
use crate::sink::Clearance;

const NO_AUTH: &str = "cannot ask Jira: the connection has no `auth`";

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Ruling {
    Pass,
    /// A guard's name for the metric, and why, for people.
    Withhold(&'static str, String),
    /// Jira must be asked again.
    Wait(Option<Duration>, String),
}

/// What is known about the issues of an event when the guard decides.
pub(crate) struct Facts<'a> {
    pub(crate) event: &'a Event,
    /// One answer for each issue that the event shows (its own; for a link also the other end). None: the connection has no credential.
    pub(crate) sights: Option<&'a [Asked<Sight>]>,
    /// For a deleted issue: what the ticket store last knew. None: it never knew.
    pub(crate) last_level: Option<&'a LastLevel>,
    /// For a comment that does not say: whether it is an internal note. None: not asked.
    pub(crate) internal: Option<&'a Asked<bool>>,
    /// For a comment or worklog that is told late: what it is by now. None: not asked.
    pub(crate) talk: Option<&'a Asked<Talk>>,
    /// For what belongs to a project and to no issue. None: not asked, as the connection has no credential.
    pub(crate) privacy: Option<&'a Asked<Privacy>>,
    /// The rule that sends it.
    pub(crate) rule: Option<&'a Rule>,
}

/// The level of a deleted issue, as the ticket store has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum LastLevel {
    /// Known; none: it had none.
    Was(Option<String>),
    /// The store cannot be asked now, and why.
    Unread(String),
}

/// Whether the guard has to see the issue as it is now before it can decide for such a sink.
pub(crate) fn needs_read(event: &Event, clearance: &Clearance) -> bool {
    event.data.issue.is_some() && event.kind() != Kind::IssueDeleted && !clearance.clears_all_levels()
}

/// Whether Jira must be asked if the comment is an internal note.
pub(crate) fn needs_internal(event: &Event, project: Option<ProjectKind>, clearance: &Clearance) -> bool {
    let unknown = matches!(&event.data.entity, Some(Entity::Comment(comment)) if comment.internal.is_none());
    let plain = matches!(project, Some(ProjectKind::Software | ProjectKind::Business | ProjectKind::ProductDiscovery));
    unknown && !plain && !clearance.internal_comments
}

/// Whether a comment or worklog that passes as it came must be looked at anew, because it is told late. Of a deleted one nobody can ask.
pub(crate) fn needs_talk(event: &Event, clearance: &Clearance) -> bool {
    let is_deleted = matches!(event.kind(), Kind::CommentDeleted | Kind::WorklogDeleted);
    let passes = match &event.data.entity {
        Some(Entity::Comment(comment)) => {
            (comment.visibility.is_none() || clearance.restricted_comments)
                && (comment.internal != Some(true) || clearance.internal_comments)
        }
        Some(Entity::Worklog(worklog)) => worklog.visibility.is_none() || clearance.restricted_comments,
        _ => false,
    };
    passes && !is_deleted && !(clearance.restricted_comments && clearance.internal_comments)
}

/// Whether Jira must be asked if the event is of a private project, and where that is.
pub(crate) fn needs_privacy(event: &Event, clearance: &Clearance) -> bool {
    event.data.issue.is_none() && is_of_project(event) && !clearance.clears_all_levels()
}

/// None: the event does not say.
pub(crate) fn place_of(event: &Event) -> Option<Place> {
    match &event.data.entity {
        Some(Entity::Version(version)) => version.project_id.clone().map(Place::Project),
        Some(Entity::Board(board)) => Some(board.project_id.clone().map_or_else(|| Place::Board(board.id.clone()), Place::Project)),
        Some(Entity::Sprint(sprint)) => sprint.now.board_id.clone().map(Place::Board),
        _ => None,
    }
}

fn is_of_project(event: &Event) -> bool {
    matches!(event.kind().entity(), "version" | "board" | "sprint")
}

pub(crate) fn rule_on(facts: &Facts<'_>, clearance: &Clearance) -> Ruling {
    for ruling in [talk(facts, clearance), level(facts, clearance)] {
        if ruling != Ruling::Pass {
            return ruling;
        }
    }
    Ruling::Pass
}

/// Comments and worklogs by what they say of themselves.
fn talk(facts: &Facts<'_>, clearance: &Clearance) -> Ruling {
    let (visibility, internal) = match &facts.event.data.entity {
        Some(Entity::Comment(comment)) => (&comment.visibility, Some(comment.internal)),
        Some(Entity::Worklog(worklog)) => (&worklog.visibility, None),
        _ => return Ruling::Pass,
    };
    let (visible_to, was_made_internal) = match facts.talk {
        Some(Ok(Talk::There { visible_to, is_internal })) => (visible_to.as_ref(), *is_internal),
        Some(Ok(Talk::Gone)) => return Ruling::Withhold("comment", "deleted since, or not visible to us".into()),
        Some(Err(err)) => return ruling_on_error(err),
        None => (None, false),
    };
    if let Some(name) = visibility.as_ref().map(|visibility| &visibility.name).or(visible_to)
        && !clearance.restricted_comments
    {
        return Ruling::Withhold("comment", format!("restricted to {name}"));
    }
    if clearance.internal_comments {
        return Ruling::Pass;
    }
    match (internal, facts.internal) {
        _ if was_made_internal => Ruling::Withhold("comment", "internal note".into()),
        (Some(Some(true)), _) | (Some(None), Some(Ok(true))) => Ruling::Withhold("comment", "internal note".into()),
        (Some(None), Some(Err(err))) => ruling_on_error(err),
        _ => Ruling::Pass,
    }
}

/// The issue by its security level and its project's privacy.
fn level(facts: &Facts<'_>, clearance: &Clearance) -> Ruling {
    let event = facts.event;
    if clearance.clears_all_levels() {
        return Ruling::Pass;
    }
    let own = event.data.issue.as_ref().and_then(|issue| issue.security.as_ref());
    if let Some(level) = own {
        let ruling = by_name(level.name.as_deref(), clearance);
        if ruling != Ruling::Pass {
            return ruling;
        }
    }
    if let Some(ruling) = private(event.secrecy, event.data.project.as_ref(), facts, clearance) {
        return ruling;
    }
    if event.data.issue.is_none() {
        return of_no_issue(facts, clearance);
    }
    if event.kind() == Kind::IssueDeleted {
        return of_deleted(facts, own.is_some(), clearance);
    }
    let Some(sights) = facts.sights else {
        return if tells_level(event) { Ruling::Pass } else { Ruling::Withhold("unknown", NO_AUTH.into()) };
    };
    sights.iter().map(|sight| seen(sight, facts, clearance)).find(|ruling| *ruling != Ruling::Pass).unwrap_or(Ruling::Pass)
}

/// Whether it names a level, or carries its whole issue, which would. The other end of a link is never told of.
fn tells_level(event: &Event) -> bool {
    let Some(issue) = &event.data.issue else { return false };
    let is_told = issue.security.is_some() || (event.secrecy.level_known && !issue.partial);
    is_told && !matches!(event.data.entity, Some(Entity::Link(_)))
}

/// What belongs to an issue and does not say to which is not known to be public; what belongs to none is, unless its project is private.
fn of_no_issue(facts: &Facts<'_>, clearance: &Clearance) -> Ruling {
    match facts.event.kind().entity() {
        _ if is_of_project(facts.event) => of_project(facts, clearance),
        "issue" | "comment" | "worklog" | "attachment" | "link" | "property" => {
            Ruling::Withhold("unknown", "it does not say which issue it belongs to".into())
        }
        _ => Ruling::Pass,
    }
}

fn seen(sight: &Asked<Sight>, facts: &Facts<'_>, clearance: &Clearance) -> Ruling {
    match sight {
        Err(err) => ruling_on_error(err),
        Ok(Sight::NotVisible) => Ruling::Withhold("visibility", "not visible to us".into()),
        Ok(Sight::Seen(issue)) => {
            // The other end of a link may be of another project.
            let project = issue.project.as_ref().or(facts.event.data.project.as_ref());
            if let Some(ruling) = private(issue.secrecy, project, facts, clearance) {
                return ruling;
            }
            issue.issue.security.as_ref().map_or(Ruling::Pass, |level| by_name(level.name.as_deref(), clearance))
        }
    }
}

/// Whether another issue, as a parent is, may be shown beside the event that passed.
pub(crate) fn shows(sight: &Sight, facts: &Facts<'_>, clearance: &Clearance) -> bool {
    let is_seen = matches!(sight, Sight::Seen(_));
    is_seen && (clearance.clears_all_levels() || seen(&Ok(sight.clone()), facts, clearance) == Ruling::Pass)
}

/// Of a deleted issue its own event decides, else the ticket store's last row, else nobody.
fn of_deleted(facts: &Facts<'_>, has_level: bool, clearance: &Clearance) -> Ruling {
    if facts.event.secrecy.level_known || has_level {
        return Ruling::Pass;
    }
    match facts.last_level {
        Some(LastLevel::Was(Some(level))) => by_name(Some(level), clearance),
        Some(LastLevel::Was(None)) => Ruling::Pass,
        Some(LastLevel::Unread(why)) => Ruling::Wait(None, format!("the ticket store cannot be read: {why}")),
        None => Ruling::Withhold("unknown", "the issue is gone and nobody knows whether it was restricted".into()),
    }
}

fn by_name(level: Option<&str>, clearance: &Clearance) -> Ruling {
    if level.is_some_and(|name| clearance.clears_level(name)) {
        return Ruling::Pass;
    }
    Ruling::Withhold("level", format!("security level {}", level.unwrap_or("without a name")))
}

/// A private project counts as restricted unless the rule names it: matches nothing but what belongs to projects that it names.
fn private(secrecy: Secrecy, project: Option<&Project>, facts: &Facts<'_>, clearance: &Clearance) -> Option<Ruling> {
    if !secrecy.project_private || clearance.clears_all_levels() {
        return None;
    }
    let is_named = project.is_some_and(|project| is_named(project, facts));
    (!is_named).then(|| Ruling::Withhold("project", "private project".into()))
}

fn is_named(project: &Project, facts: &Facts<'_>) -> bool {
    facts.rule.is_some_and(|rule| rule.when.names_project(project))
}

/// What Jira refuses to tell it will not tell later: that is never known.
fn ruling_on_error(err: &JiraError) -> Ruling {
    match err {
        JiraError::Unavailable { retry_after, reason } => Ruling::Wait(*retry_after, format!("Jira cannot be asked: {reason}")),
        JiraError::Unauthorized { reason } => Ruling::Wait(None, format!("Jira does not answer us: {reason}")),
        JiraError::Refused { reason, .. } => Ruling::Withhold("unknown", format!("Jira cannot tell: {reason}")),
    }
}

fn of_project(facts: &Facts<'_>, clearance: &Clearance) -> Ruling {
    if facts.event.data.project.as_ref().is_some_and(|project| is_named(project, facts)) {
        return Ruling::Pass;
    }
    match facts.privacy {
        _ if place_of(facts.event).is_none() => Ruling::Withhold("unknown", "it does not say which project it belongs to".into()),
        None => Ruling::Withhold("unknown", NO_AUTH.into()),
        Some(Err(err)) => ruling_on_error(err),
        Some(Ok(Privacy::NotVisible)) => Ruling::Withhold("visibility", "its project is not visible to us".into()),
        Some(Ok(Privacy::Open)) => Ruling::Pass,
        Some(Ok(Privacy::Private(project))) => {
            let secrecy = Secrecy { project_private: true, ..Secrecy::default() };
            private(secrecy, Some(project), facts, clearance).unwrap_or(Ruling::Pass)
        }
    }
}

/// What passes may still carry words that a sink is not cleared for: Jira writes the text of a deleted comment into the changelog.
pub(crate) fn stripped(event: &Event, clearance: &Clearance) -> Option<Event> {
    let talks = |change: &Change| change.field.eq_ignore_ascii_case("comment");
    if (clearance.restricted_comments && clearance.internal_comments) || !event.data.changes.iter().any(talks) {
        return None;
    }
    let mut event = event.clone();
    for change in event.data.changes.iter_mut().filter(|change| talks(change)) {
        for side in [&mut change.from, &mut change.to].into_iter().flatten() {
            side.text = None;
        }
    }
    Some(event)
}

#[cfg(test)]
mod tests;
