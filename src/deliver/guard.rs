//! The guard in front of every sink: restricted issues, restricted comments and internal notes reach cleared sinks only.
//!
//! It fails closed. What is known to be restricted is withheld, what cannot be known now waits, and both say why. It decides on the
//! stricter of the event and a read that was made after the event was received; it fetches nothing itself.

use std::time::Duration;

use super::rules::Rule;
use crate::event::{Change, Entity, Event, Kind, Project, ProjectKind, Secrecy};
use crate::jira::{Asked, JiraError, Sight};
use crate::sink::Clearance;

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
    /// For a deleted issue: what the ticket store last knew.
    pub(crate) last_level: Option<&'a Option<String>>,
    /// For a comment that does not say: whether it is an internal note. None: not asked.
    pub(crate) internal: Option<&'a Asked<bool>>,
    /// The rule that sends it.
    pub(crate) rule: Option<&'a Rule>,
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
    if let Some(visibility) = visibility
        && !clearance.restricted_comments
    {
        return Ruling::Withhold("comment", format!("restricted to {}", visibility.name));
    }
    if clearance.internal_comments {
        return Ruling::Pass;
    }
    match (internal, facts.internal) {
        (Some(Some(true)), _) | (Some(None), Some(Ok(true))) => Ruling::Withhold("comment", "internal note".into()),
        (Some(None), Some(Err(err))) => waits(err),
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
        return unnamed(event);
    }
    if event.kind() == Kind::IssueDeleted {
        return of_deleted(facts, own.is_some(), clearance);
    }
    let Some(sights) = facts.sights else {
        let known_open = event.secrecy.level_known && own.is_none() || own.is_some();
        return if known_open { Ruling::Pass } else { Ruling::Withhold("unknown", "cannot ask Jira: the connection has no `auth`".into()) };
    };
    sights.iter().map(|sight| seen(sight, facts, clearance)).find(|ruling| *ruling != Ruling::Pass).unwrap_or(Ruling::Pass)
}

/// What belongs to an issue and does not say to which is not known to be public; what belongs to none is.
fn unnamed(event: &Event) -> Ruling {
    match event.kind().entity() {
        "issue" | "comment" | "worklog" | "attachment" | "link" | "property" => {
            Ruling::Withhold("unknown", "it does not say which issue it belongs to".into())
        }
        _ => Ruling::Pass,
    }
}

fn seen(sight: &Asked<Sight>, facts: &Facts<'_>, clearance: &Clearance) -> Ruling {
    match sight {
        Err(err) => waits(err),
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
        Some(Some(level)) => by_name(Some(level), clearance),
        Some(None) => Ruling::Pass,
        None => Ruling::Withhold("unknown", "the issue is gone and nobody knows whether it was restricted".into()),
    }
}

fn by_name(level: Option<&str>, clearance: &Clearance) -> Ruling {
    if level.is_some_and(|name| clearance.clears_level(name)) {
        return Ruling::Pass;
    }
    Ruling::Withhold("level", format!("security level {}", level.unwrap_or("without a name")))
}

/// A private project counts as restricted unless the rule names it.
fn private(secrecy: Secrecy, project: Option<&Project>, facts: &Facts<'_>, clearance: &Clearance) -> Option<Ruling> {
    if !secrecy.project_private || clearance.clears_all_levels() {
        return None;
    }
    let key = project.and_then(|project| project.key.as_deref());
    let named = key.is_some_and(|key| facts.rule.is_some_and(|rule| rule.when.names_text(key)));
    (!named).then(|| Ruling::Withhold("project", "private project".into()))
}

fn waits(err: &JiraError) -> Ruling {
    match err {
        JiraError::Unavailable { retry_after, reason } => Ruling::Wait(*retry_after, format!("Jira cannot be asked: {reason}")),
        JiraError::Unauthorized { reason } | JiraError::Refused { reason, .. } => {
            Ruling::Wait(None, format!("Jira does not answer us: {reason}"))
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
mod tests {
    use std::sync::Arc;

    use tokio::time::Instant;

    use super::*;
    use crate::clock::Timestamp;
    use crate::deliver::{Names, RuleSettings, Rules, SendSettings};
    use crate::event::{
        Comment, CommentVisibility, Data, Delivered, EventId, Issue, Keyed, Link, Named, Origin, PartitionKey, Value, VisibilityKind,
        Worklog,
    };
    use crate::jira::SeenIssue;

    /// What one case changes of a plain event: an open issue of a software project, seen open by a read.
    struct Case {
        event: Event,
        sights: Option<Vec<Asked<Sight>>>,
        last_level: Option<Option<String>>,
        internal: Option<Asked<bool>>,
        ruled: bool,
        clearance: Clearance,
    }

    fn named(name: &str) -> Named {
        Named { id: None, name: Some(name.into()) }
    }

    fn project(key: &str) -> Project {
        Project { id: "1".into(), key: Some(key.into()), name: None, kind: ProjectKind::Software }
    }

    fn read(level: Option<&str>, private: Option<&str>) -> Asked<Sight> {
        let mut issue = Issue::only_id("7");
        issue.security = level.map(named);
        let secrecy = Secrecy { level_known: true, project_private: private.is_some() };
        let project = private.map(project);
        Ok(Sight::Seen(Arc::new(SeenIssue { issue, project, secrecy, asked_at: Timestamp::default(), asked: Instant::now() })))
    }

    fn plain() -> Case {
        let acme = "acme".parse().expect("a name");
        let data = Data {
            kind: Kind::IssueUpdated,
            origin: Origin::Webhook,
            occurred_at: Timestamp::default(),
            received_at: Timestamp::default(),
            jira: Delivered::default(),
            actor: None,
            project: Some(project("OPS")),
            issue: Some(Box::new(Issue::only_id("7"))),
            changes: Vec::new(),
            degraded: Vec::new(),
            entity: None,
        };
        let event = Event {
            id: EventId::new(&acme, &["issue", "7", "change", "1"]),
            partition_key: PartitionKey::issue(&acme, "7"),
            connection: acme,
            source: "https://acme.atlassian.net".parse().expect("a base URL"),
            subject: "OPS-7".into(),
            secrecy: Secrecy { level_known: true, project_private: false },
            data,
        };
        Case {
            event,
            sights: Some(vec![read(None, None)]),
            last_level: None,
            internal: None,
            ruled: false,
            clearance: Clearance::nothing(),
        }
    }

    fn comment(visible_to: Option<&str>, internal: Option<bool>) -> Option<Entity> {
        let visibility = visible_to.map(|name| CommentVisibility { kind: VisibilityKind::Role, name: name.into() });
        let (author, editor, body, created_at, updated_at) = (None, None, None, None, None);
        Some(Entity::Comment(Comment { id: "1".into(), author, editor, body, created_at, updated_at, visibility, internal }))
    }

    fn worklog(visible_to: &str) -> Option<Entity> {
        let visibility = Some(CommentVisibility { kind: VisibilityKind::Group, name: visible_to.into() });
        let (author, editor, body, seconds, started_at) = (None, None, None, None, None);
        let (created_at, updated_at) = (None, None);
        Some(Entity::Worklog(Worklog { id: "1".into(), author, editor, body, seconds, started_at, created_at, updated_at, visibility }))
    }

    fn cleared(levels: &[&str], restricted_comments: bool, internal_comments: bool) -> Clearance {
        let security_levels = levels.iter().map(|level| (*level).to_owned()).collect();
        Clearance { security_levels, restricted_comments, internal_comments }
    }

    fn down() -> JiraError {
        JiraError::Unavailable { retry_after: Some(Duration::from_secs(9)), reason: "no connection".into() }
    }

    fn ops_rule() -> Rules {
        let send = SendSettings::to("team".parse().expect("a name"));
        let settings = RuleSettings::new("event.project.key == \"OPS\"", vec![send]);
        Rules::compile(&[("ops".into(), settings)], &|_| None, &Names::of_events()).expect("it compiles")
    }

    fn ruling(change: impl FnOnce(&mut Case)) -> String {
        let mut case = plain();
        change(&mut case);
        let rules = ops_rule();
        let facts = Facts {
            event: &case.event,
            sights: case.sights.as_deref(),
            last_level: case.last_level.as_ref(),
            internal: case.internal.as_ref(),
            rule: case.ruled.then(|| &rules.list()[0]),
        };
        match rule_on(&facts, &case.clearance) {
            Ruling::Pass => "pass".into(),
            Ruling::Withhold(guard, reason) => format!("withheld ({guard}): {reason}"),
            Ruling::Wait(after, reason) => format!("waits {after:?}: {reason}"),
        }
    }

    #[test]
    fn issues_by_the_stricter_of_event_and_read() {
        let staff = || Some(named("Staff"));
        assert_eq!(ruling(|_| {}), "pass");
        assert_eq!(ruling(|case| case.event.data.issue.as_mut().unwrap().security = staff()), "withheld (level): security level Staff");
        assert_eq!(ruling(|case| case.sights = Some(vec![read(Some("Staff"), None)])), "withheld (level): security level Staff");
        let by_read = |clearance| ruling(|case| (case.sights, case.clearance) = (Some(vec![read(Some("Staff"), None)]), clearance));
        assert_eq!(by_read(cleared(&["Staff"], false, false)), "pass");
        assert_eq!(by_read(cleared(&["Board"], true, true)), "withheld (level): security level Staff");
        assert_eq!(by_read(cleared(&["*"], false, false)), "pass");
        assert_eq!(ruling(|case| case.sights = Some(vec![Ok(Sight::NotVisible)])), "withheld (visibility): not visible to us");
        assert_eq!(ruling(|case| case.sights = Some(vec![Err(down())])), "waits Some(9s): Jira cannot be asked: no connection");
        let unauthorized = || JiraError::Unauthorized { reason: "401".into() };
        assert_eq!(ruling(|case| case.sights = Some(vec![Err(unauthorized())])), "waits None: Jira does not answer us: 401");
        assert_eq!(ruling(|case| (case.sights, case.clearance) = (Some(vec![Err(down())]), Clearance::everything())), "pass");
        assert!(needs_read(&plain().event, &Clearance::nothing()) && !needs_read(&plain().event, &Clearance::everything()));
    }

    #[test]
    fn without_a_credential_only_what_the_event_tells_passes() {
        assert_eq!(ruling(|case| case.sights = None), "pass");
        let unknown = |case: &mut Case| (case.sights, case.event.secrecy.level_known) = (None, false);
        assert_eq!(ruling(unknown), "withheld (unknown): cannot ask Jira: the connection has no `auth`");
        let of_no_issue = |case: &mut Case| (case.sights, case.event.data.issue, case.event.data.kind) = (None, None, Kind::SprintUpdated);
        assert_eq!(ruling(of_no_issue), "pass");
        let of_some_issue =
            |case: &mut Case| (case.sights, case.event.data.issue, case.event.data.kind) = (None, None, Kind::AttachmentCreated);
        assert_eq!(ruling(of_some_issue), "withheld (unknown): it does not say which issue it belongs to");
    }

    #[test]
    fn of_a_deleted_issue_the_event_or_the_last_row_decides() {
        let gone = |known: bool, last: Option<Option<&str>>| {
            ruling(move |case| {
                (case.event.data.kind, case.sights, case.event.secrecy.level_known) = (Kind::IssueDeleted, None, known);
                case.last_level = last.map(|level| level.map(str::to_owned));
            })
        };
        assert_eq!(gone(true, None), "pass");
        assert_eq!(gone(false, Some(None)), "pass");
        assert_eq!(gone(false, Some(Some("Staff"))), "withheld (level): security level Staff");
        assert_eq!(gone(false, None), "withheld (unknown): the issue is gone and nobody knows whether it was restricted");
    }

    #[test]
    fn private_projects_go_only_where_a_rule_names_them() {
        let private = |case: &mut Case| case.event.secrecy.project_private = true;
        assert_eq!(ruling(private), "withheld (project): private project");
        assert_eq!(
            ruling(|case| (case.event.secrecy.project_private, case.event.data.issue) = (true, None)),
            "withheld (project): private project"
        );
        assert_eq!(ruling(|case| (case.event.secrecy.project_private, case.ruled) = (true, true)), "pass");
        let read_as = |key: &str| ruling(|case| (case.sights, case.ruled) = (Some(vec![read(None, None), read(None, Some(key))]), true));
        assert_eq!(read_as("OPS"), "pass");
        assert_eq!(read_as("SECRET"), "withheld (project): private project", "the other end of a link");
        let link = Link {
            id: "1".into(),
            kind: None,
            outward: None,
            inward: None,
            source: Keyed { id: "7".into(), key: None },
            destination: Keyed { id: "8".into(), key: None },
        };
        let linked = |case: &mut Case| {
            (case.event.data.entity, case.sights) = (Some(Entity::Link(link)), Some(vec![read(None, None), read(Some("Staff"), None)]));
        };
        assert_eq!(ruling(linked), "withheld (level): security level Staff");
    }

    #[test]
    fn a_parent_is_shown_where_it_could_have_been_sent_itself() {
        let rules = ops_rule();
        let shown = |sight: Asked<Sight>, clearance: Clearance, is_ruled: bool| {
            let (event, rule) = (plain().event, is_ruled.then(|| &rules.list()[0]));
            let facts = Facts { event: &event, sights: None, last_level: None, internal: None, rule };
            shows(&sight.expect("a sight"), &facts, &clearance)
        };
        assert!(shown(read(None, None), Clearance::nothing(), false));
        assert!(!shown(read(Some("Staff"), None), Clearance::nothing(), false));
        assert!(shown(read(Some("Staff"), None), cleared(&["Staff"], false, false), false));
        assert!(!shown(read(None, Some("OPS")), Clearance::nothing(), false) && shown(read(None, Some("OPS")), Clearance::nothing(), true));
        assert!(shown(read(Some("Staff"), Some("OPS")), Clearance::everything(), false));
        assert!(!shown(Ok(Sight::NotVisible), Clearance::everything(), true));
    }

    #[test]
    fn comments_and_worklogs_by_what_they_say_or_jira_says_of_them() {
        let told = |entity: Option<Entity>, internal: Option<Asked<bool>>, clearance: Clearance| {
            ruling(|case| (case.event.data.entity, case.internal, case.clearance) = (entity, internal, clearance))
        };
        let nothing = Clearance::nothing;
        assert_eq!(told(comment(None, Some(false)), None, nothing()), "pass");
        assert_eq!(told(comment(Some("Staff"), Some(false)), None, nothing()), "withheld (comment): restricted to Staff");
        assert_eq!(told(comment(Some("Staff"), Some(false)), None, cleared(&[], true, false)), "pass");
        assert_eq!(told(comment(None, Some(true)), None, cleared(&[], true, false)), "withheld (comment): internal note");
        assert_eq!(told(comment(None, Some(true)), None, cleared(&[], false, true)), "pass");
        assert_eq!(told(comment(None, None), Some(Ok(true)), nothing()), "withheld (comment): internal note");
        assert_eq!(told(comment(None, None), Some(Ok(false)), nothing()), "pass");
        assert_eq!(told(comment(None, None), Some(Err(down())), nothing()), "waits Some(9s): Jira cannot be asked: no connection");
        assert_eq!(told(worklog("Staff"), None, nothing()), "withheld (comment): restricted to Staff");
        assert_eq!(told(worklog("Staff"), None, cleared(&[], true, false)), "pass");
        let asks = |project, clearance: &Clearance| {
            let mut event = plain().event;
            event.data.entity = comment(None, None);
            needs_internal(&event, project, clearance)
        };
        assert!(asks(None, &nothing()) && asks(Some(ProjectKind::ServiceDesk), &nothing()) && asks(Some(ProjectKind::Unknown), &nothing()));
        assert!(!asks(Some(ProjectKind::Software), &nothing()) && !asks(None, &cleared(&[], false, true)));
    }

    #[test]
    fn words_of_a_deleted_comment_do_not_travel_in_the_changelog() {
        let mut event = plain().event;
        let side = || Some(Value { id: None, text: Some("what was said".into()) });
        event.data.changes = vec![Change { field: "Comment".into(), name: None, custom: false, from: side(), to: None }];
        let shown = stripped(&event, &cleared(&["*"], true, false)).expect("it is changed");
        assert_eq!(shown.data.changes[0].from.as_ref().map(|side| &side.text), Some(&None));
        assert!(stripped(&event, &Clearance::everything()).is_none());
        event.data.changes[0].field = "status".into();
        assert!(stripped(&event, &Clearance::nothing()).is_none());
    }
}
