//! Each ruling for each clearance, from what is known when the guard decides.

use std::sync::Arc;

use tokio::time::Instant;

use super::*;
use crate::clock::Timestamp;
use crate::deliver::{Names, RuleSettings, Rules, SendSettings};
use crate::event::{
    Board, Comment, CommentVisibility, Data, Delivered, EventId, Issue, Keyed, Link, Named, Origin, PartitionKey, Value, Version,
    VisibilityKind, Worklog,
};
use crate::jira::SeenIssue;

/// What one case changes of a plain event: an open issue of a software project, seen open by a read.
struct Case {
    event: Event,
    sights: Option<Vec<Asked<Sight>>>,
    last_level: Option<LastLevel>,
    internal: Option<Asked<bool>>,
    talk: Option<Asked<Talk>>,
    privacy: Option<Asked<Privacy>>,
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
        issue: Some(Box::new(Issue { partial: false, ..Issue::only_id("7") })),
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
        talk: None,
        privacy: None,
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

fn link() -> Link {
    let end = |id: &str| Keyed { id: id.into(), key: None };
    Link { id: "1".into(), kind: None, outward: None, inward: None, source: end("7"), destination: end("8") }
}

fn cleared(levels: &[&str], restricted_comments: bool, internal_comments: bool) -> Clearance {
    let security_levels = levels.iter().map(|level| (*level).to_owned()).collect();
    Clearance { security_levels, restricted_comments, internal_comments }
}

fn down() -> JiraError {
    JiraError::Unavailable { retry_after: Some(Duration::from_secs(9)), reason: "no connection".into() }
}

fn refused() -> JiraError {
    JiraError::Refused { status: 0, reason: "no number".into() }
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
        talk: case.talk.as_ref(),
        privacy: case.privacy.as_ref(),
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
    assert_eq!(
        ruling(|case| case.sights = Some(vec![read(None, None), Err(refused())])),
        "withheld (unknown): Jira cannot tell: no number"
    );
    assert_eq!(ruling(|case| (case.sights, case.clearance) = (Some(vec![Err(down())]), Clearance::everything())), "pass");
    assert!(needs_read(&plain().event, &Clearance::nothing()) && !needs_read(&plain().event, &Clearance::everything()));
}

#[test]
fn without_a_credential_only_what_the_event_tells_passes() {
    assert_eq!(ruling(|case| case.sights = None), "pass");
    let not_told = "withheld (unknown): cannot ask Jira: the connection has no `auth`";
    let partial = |case: &mut Case| (case.sights, case.event.data.issue) = (None, Some(Box::new(Issue::only_id("7"))));
    assert_eq!(ruling(partial), not_told, "`security: null` of a reduced issue is no answer");
    assert_eq!(ruling(|case| (case.sights, case.event.data.entity) = (None, Some(Entity::Link(link())))), not_told);
    let unknown = |case: &mut Case| (case.sights, case.event.secrecy.level_known) = (None, false);
    assert_eq!(ruling(unknown), not_told);
    let of_no_issue = |case: &mut Case| (case.sights, case.event.data.issue, case.event.data.kind) = (None, None, Kind::UserUpdated);
    assert_eq!(ruling(of_no_issue), "pass");
    let of_some_issue =
        |case: &mut Case| (case.sights, case.event.data.issue, case.event.data.kind) = (None, None, Kind::AttachmentCreated);
    assert_eq!(ruling(of_some_issue), "withheld (unknown): it does not say which issue it belongs to");
}

#[test]
fn of_a_deleted_issue_the_event_or_the_last_row_decides() {
    let gone = |known: bool, last: Option<LastLevel>| {
        ruling(move |case| {
            (case.event.data.kind, case.sights, case.event.secrecy.level_known) = (Kind::IssueDeleted, None, known);
            case.last_level = last;
        })
    };
    assert_eq!(gone(true, None), "pass");
    assert_eq!(gone(false, Some(LastLevel::Was(None))), "pass");
    assert_eq!(gone(false, Some(LastLevel::Was(Some("Staff".into())))), "withheld (level): security level Staff");
    assert_eq!(gone(false, None), "withheld (unknown): the issue is gone and nobody knows whether it was restricted");
    assert_eq!(gone(false, Some(LastLevel::Unread("busy".into()))), "waits None: the ticket store cannot be read: busy");
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
    let linked = |case: &mut Case| {
        (case.event.data.entity, case.sights) = (Some(Entity::Link(link())), Some(vec![read(None, None), read(Some("Staff"), None)]));
    };
    assert_eq!(ruling(linked), "withheld (level): security level Staff");
}

#[test]
fn a_parent_is_shown_where_it_could_have_been_sent_itself() {
    let rules = ops_rule();
    let shown = |sight: Asked<Sight>, clearance: Clearance, is_ruled: bool| {
        let (event, rule) = (plain().event, is_ruled.then(|| &rules.list()[0]));
        let facts = Facts { event: &event, sights: None, last_level: None, internal: None, talk: None, privacy: None, rule };
        shows(&sight.expect("a sight"), &facts, &clearance)
    };
    assert!(shown(read(None, None), Clearance::nothing(), false));
    assert!(!shown(read(Some("Staff"), None), Clearance::nothing(), false));
    assert!(shown(read(Some("Staff"), None), cleared(&["Staff"], false, false), false));
    assert!(!shown(read(None, Some("OPS")), Clearance::nothing(), false) && shown(read(None, Some("OPS")), Clearance::nothing(), true));
    assert!(shown(read(Some("Staff"), Some("OPS")), Clearance::everything(), false));
    assert!(!shown(Ok(Sight::NotVisible), Clearance::everything(), true));
}

fn version(project_id: Option<&str>) -> Entity {
    let project_id = project_id.map(str::to_owned);
    let (name, released, archived, release_on, merged_into_id) = (Some("a secret plan".into()), None, None, None, None);
    Entity::Version(Version { id: "5".into(), project_id, name, released, archived, release_on, merged_into_id })
}

#[test]
fn what_belongs_to_a_project_is_as_private_as_that() {
    let of = |entity: Entity, privacy: Option<Asked<Privacy>>, ruled: bool| {
        ruling(|case| {
            (case.event.data.kind, case.event.data.issue, case.event.data.project) = (Kind::VersionReleased, None, None);
            (case.sights, case.event.data.entity, case.privacy, case.ruled) = (None, Some(entity), privacy, ruled);
        })
    };
    let told = |privacy: Option<Asked<Privacy>>, ruled: bool| of(version(Some("1")), privacy, ruled);
    let private = || Some(Ok(Privacy::Private(project("OPS"))));
    assert_eq!(told(Some(Ok(Privacy::Open)), false), "pass");
    assert_eq!(told(private(), false), "withheld (project): private project");
    assert_eq!(told(private(), true), "pass");
    assert_eq!(told(Some(Ok(Privacy::NotVisible)), false), "withheld (visibility): its project is not visible to us");
    assert_eq!(told(Some(Err(down())), false), "waits Some(9s): Jira cannot be asked: no connection");
    assert_eq!(told(None, false), "withheld (unknown): cannot ask Jira: the connection has no `auth`");
    assert_eq!(of(version(None), None, false), "withheld (unknown): it does not say which project it belongs to");

    let mut event = plain().event;
    (event.data.kind, event.data.issue) = (Kind::BoardUpdated, None);
    let board = |project_id: Option<&str>| {
        let (name, kind) = (Some("a board".into()), None);
        Some(Entity::Board(Board { id: "2".into(), name, kind, project_id: project_id.map(str::to_owned) }))
    };
    assert!(needs_privacy(&event, &Clearance::nothing()) && !needs_privacy(&event, &Clearance::everything()));
    event.data.entity = board(None);
    assert_eq!(place_of(&event), Some(Place::Board("2".into())));
    event.data.entity = board(Some("10"));
    assert_eq!(place_of(&event), Some(Place::Project("10".into())));
    event.data.kind = Kind::FilterUpdated;
    assert!(!needs_privacy(&event, &Clearance::nothing()));
}

#[test]
fn talk_that_is_told_late_counts_as_what_it_has_become() {
    let late = |talk: Option<Asked<Talk>>, clearance: Clearance| {
        ruling(|case| (case.event.data.entity, case.talk, case.clearance) = (comment(None, Some(false)), talk, clearance))
    };
    let there = |visible_to: Option<&str>, is_internal| Some(Ok(Talk::There { visible_to: visible_to.map(str::to_owned), is_internal }));
    let nothing = Clearance::nothing;
    assert_eq!(late(there(None, false), nothing()), "pass");
    assert_eq!(late(there(Some("Staff"), false), nothing()), "withheld (comment): restricted to Staff");
    assert_eq!(late(there(Some("Staff"), false), cleared(&[], true, false)), "pass");
    assert_eq!(late(there(None, true), cleared(&[], true, false)), "withheld (comment): internal note");
    assert_eq!(late(there(None, true), cleared(&[], false, true)), "pass");
    assert_eq!(late(Some(Ok(Talk::Gone)), nothing()), "withheld (comment): deleted since, or not visible to us");
    assert_eq!(late(Some(Err(down())), nothing()), "waits Some(9s): Jira cannot be asked: no connection");

    let needs = |kind: Kind, entity: Option<Entity>, clearance: Clearance| {
        let mut event = plain().event;
        (event.data.kind, event.data.entity) = (kind, entity);
        needs_talk(&event, &clearance)
    };
    assert!(needs(Kind::CommentCreated, comment(None, None), nothing()));
    assert!(needs(Kind::CommentUpdated, comment(Some("Staff"), Some(false)), cleared(&[], true, false)));
    assert!(!needs(Kind::CommentDeleted, comment(None, None), nothing()), "nobody can ask of it any more");
    assert!(!needs(Kind::CommentCreated, comment(Some("Staff"), None), nothing()), "it does not pass as it is");
    assert!(!needs(Kind::CommentCreated, comment(None, None), cleared(&[], true, true)));
    assert!(!needs(Kind::WorklogCreated, worklog("Staff"), nothing()));
    assert!(!needs(Kind::IssueUpdated, None, nothing()));
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
    assert_eq!(told(comment(None, None), Some(Err(refused())), nothing()), "withheld (unknown): Jira cannot tell: no number");
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
