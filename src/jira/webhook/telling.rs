//! What a body tells: which kind of event it is, and the events that are made of it.

use super::Received;
use super::body::Body;
use super::{limit, name};
use crate::clock::Timestamp;
use crate::event::{
    self, Change, Data, Delivered, Entity, Event, EventId, Issue, Kind, Markup, Origin, PartitionKey, Person, Project, encode_part,
};
use crate::jira::model::{self, Site, User, known};

/// Why a body is no event we know, in words for people.
pub(super) type Unknown = &'static str;

pub(super) const NO_ID: Unknown = "what the event is about has no id";

pub(super) struct Telling<'t, const BRIEF: bool> {
    pub received: &'t Received<'t>,
    pub body: &'t Body<'t, BRIEF>,
    pub site: Site<'t>,
    /// The webhook's timestamp as it stands in ids.
    pub stamp: String,
}

/// What differs from event to event.
pub(super) struct Draft<'d> {
    pub kind: Kind,
    pub id: &'d str,
    /// What follows the id in the identity, after the verb.
    pub when: Option<String>,
    pub issue: Option<Issue>,
    pub actor: Option<Person>,
    pub changes: Vec<Change>,
    pub entity: Option<Entity>,
}

impl<'d> Draft<'d> {
    pub fn new(kind: Kind, id: &'d str, entity: Option<Entity>) -> Self {
        Self { kind, id, when: None, issue: None, actor: None, changes: Vec::new(), entity }
    }
}

pub(super) fn delivered<const BRIEF: bool>(received: &Received<'_>, body: Option<&Body<'_, BRIEF>>) -> Delivered {
    Delivered {
        event: body.and_then(Body::name).map(str::to_owned),
        type_name: body.and_then(Body::type_name).map(str::to_owned),
        identifier: received.headers.identifier.clone(),
        retry: received.headers.retry,
        flow: received.headers.flow.clone(),
    }
}

impl<'t, const BRIEF: bool> Telling<'t, BRIEF> {
    pub fn new(received: &'t Received<'t>, body: &'t Body<'t, BRIEF>) -> Self {
        // Nobody reads the text of an event in brief.
        let to_markdown = if BRIEF { |_: Markup<'_>| String::new() } else { received.to_markdown };
        let site = Site { base_url: received.base_url, to_markdown };
        let stamp = body.timestamp.map_or_else(|| "0".to_owned(), |ms| ms.0.to_string());
        Self { received, body, site, stamp }
    }

    /// One or more, or why it is none. `text` is the body as it came.
    pub fn events(&self, text: &str) -> Result<Vec<Event>, Unknown> {
        let body = self.body;
        if body.webhook_event.is_some() {
            let name = body.name().ok_or("`webhookEvent` is not text")?;
            let kind = name::kind(name).ok_or("an event that is not known")?;
            return self.named(kind, name);
        }
        if body.issue.is_some() && (body.transition.is_some() || body.changelog.is_some() || body.comment.is_some()) {
            // A post function, or a Server from before events had names.
            return self.issue_updated("");
        }
        if let Some(user) = body.bare_user(text) {
            return self.user(Kind::UserDeleted, &user).map(|event| vec![event]);
        }
        Err(if body.fields.is_some() { "an issue without an event" } else { "a body that names no event" })
    }

    fn named(&self, kind: Kind, name: &str) -> Result<Vec<Event>, Unknown> {
        let body = self.body;
        let event = match kind {
            Kind::IssueUpdated => return self.issue_updated(name),
            Kind::CommentCreated | Kind::CommentUpdated | Kind::CommentDeleted => self.comment(kind, None),
            Kind::WorklogCreated | Kind::WorklogUpdated | Kind::WorklogDeleted => self.worklog(kind, None),
            Kind::VersionDeleted if body.merged_to.is_some() => self.entity(Kind::VersionMerged),
            Kind::UserCreated | Kind::UserUpdated | Kind::UserDeleted => {
                let bare = body.account_id.clone().map(|id| User::only(id, body.username.clone()));
                self.user(kind, body.user.as_ref().or(bare.as_ref()).ok_or(NO_ID)?)
            }
            Kind::PropertySet | Kind::PropertyDeleted => Ok(self.property(kind)),
            Kind::OptionChanged => Ok(self.option(name::option(name).unwrap_or_default())),
            Kind::AppAccessBlocked | Kind::AppContainerAccessBlocked | Kind::AppExpressionFailed => Ok(self.app(kind)),
            _ => self.entity(kind),
        }?;
        Ok(vec![event])
    }

    /// The issue of the body, or one of which only the id is known.
    pub(super) fn issue_or(&self, id: Option<&str>) -> Option<Issue> {
        let body = self.body;
        body.issue.as_ref().and_then(|issue| issue.issue(self.site)).or_else(|| id.or(known(body.issue_id.as_ref())).map(Issue::only_id))
    }

    /// With the usual identity: entity, id, verb, and when it happened if that tells apart what happens more than once.
    pub(super) fn told(&self, draft: Draft<'_>) -> Event {
        let parts = [draft.kind.entity(), draft.id, draft.kind.verb(), draft.when.as_deref().unwrap_or_default()];
        let count = if draft.when.is_some() { 4 } else { 3 };
        let id = EventId::new(self.received.connection, parts.get(..count).unwrap_or(&parts));
        self.finish(draft, id)
    }

    pub(super) fn finish(&self, draft: Draft<'_>, id: EventId) -> Event {
        let Draft { kind, id: entity_id, issue, actor, changes, entity, .. } = draft;
        let (connection, issue) = (self.received.connection, issue.map(limit::with_readable_key));
        let key = issue.as_ref().and_then(|issue| issue.key.clone());
        let subject = key.unwrap_or_else(|| format!("{}:{}", kind.entity(), encode_part(entity_id)));
        let partition_key = match &issue {
            Some(issue) => PartitionKey::issue(connection, &issue.id),
            None => PartitionKey::entity(connection, kind.entity(), entity_id),
        };
        let mut secrecy = self.own(issue.as_ref()).map(model::Issue::secrecy).unwrap_or_default();
        if kind.entity() == "project" {
            secrecy.project_private = self.body.project.as_ref().is_some_and(model::Project::private);
        }
        let data = Data {
            kind,
            origin: Origin::Webhook,
            occurred_at: self.body.timestamp.map_or(self.received.received_at, |ms| Timestamp::from_ms(ms.0)),
            received_at: self.received.received_at,
            jira: delivered(self.received, Some(self.body)),
            actor,
            project: if BRIEF { None } else { self.project(kind, issue.as_ref(), entity.as_ref()) },
            issue: issue.map(Box::new),
            changes,
            degraded: Vec::new(),
            entity,
        };
        Event { id, connection: connection.clone(), source: self.received.base_url.clone(), subject, partition_key, secrecy, data }
    }

    /// The body's issue, if it is the event's: a link's may be another.
    fn own(&self, issue: Option<&Issue>) -> Option<&model::Issue<'t, BRIEF>> {
        self.body.issue.as_ref().filter(|own| issue.is_some_and(|issue| own.id() == Some(issue.id.as_str())))
    }

    /// As far as the body names it: often whole, sometimes by its id only.
    fn project(&self, kind: Kind, issue: Option<&Issue>, entity: Option<&Entity>) -> Option<Project> {
        if kind.entity() == "project" {
            return self.body.project.as_ref()?.project();
        }
        let id = match entity {
            Some(Entity::Version(version)) => version.project_id.as_deref(),
            Some(Entity::Board(board)) => board.project_id.as_deref(),
            _ => None,
        };
        self.own(issue)
            .and_then(model::Issue::project)
            .or_else(|| Some(Project { id: id?.to_owned(), key: None, name: None, kind: event::ProjectKind::Unknown }))
    }
}
