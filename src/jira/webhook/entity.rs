//! Everything that is not an update of an issue, a comment or a worklog: by an id of its own, or by what stands in for one.

use super::telling::{Draft, NO_ID, Telling, Unknown};
use crate::event::{self, Entity, Event, Issue, Kind, hash16, person_hash};
use crate::jira::model::{self, Property, User, person};

impl<const BRIEF: bool> Telling<'_, BRIEF> {
    /// Everything that is known by an id of its own and tells nothing special.
    pub(super) fn entity(&self, kind: Kind) -> Result<Event, Unknown> {
        let body = self.body;
        let (mut issue, mut actor, mut changes) = (None, person(body.user.as_ref()), Vec::new());
        let (id, entity) = match kind.entity() {
            "issue" => {
                issue = self.issue_or(None);
                changes = self.changes();
                (body.issue.as_ref().and_then(model::Issue::id).map(str::to_owned), None)
            }
            "attachment" => {
                let attachment = body.attachment.as_ref().ok_or(NO_ID)?;
                issue = self.issue_or(attachment.issue_id());
                actor = self.actor(kind, attachment.author.as_ref(), None);
                (attachment.id().map(str::to_owned), attachment.entity().map(Entity::Attachment))
            }
            "link" => {
                let link = body.issue_link.as_ref().ok_or(NO_ID)?;
                issue = link
                    .source()
                    .map(|source| self.issue_or(Some(source)).filter(|issue| issue.id == source).unwrap_or_else(|| Issue::only_id(source)));
                let entity = link.entity().ok_or(NO_ID)?;
                (Some(entity.id.clone()), Some(Entity::Link(entity)))
            }
            "sprint" => return self.sprint(kind),
            "board" => {
                let board = body.configuration.as_ref().filter(|_| kind == Kind::BoardConfigured).or(body.board.as_ref());
                let entity = board.and_then(model::Board::entity).ok_or(NO_ID)?;
                (Some(entity.id.clone()), Some(Entity::Board(entity)))
            }
            "version" => {
                let version = body.version.as_ref().ok_or(NO_ID)?;
                let merged_to = body.merged_to.as_ref().filter(|_| kind == Kind::VersionMerged);
                (version.id().map(str::to_owned), version.entity(merged_to).map(Entity::Version))
            }
            "project" => (body.project.as_ref().and_then(model::Project::id).map(str::to_owned), None),
            "filter" => {
                let entity = body.filter.as_ref().and_then(model::Filter::entity).ok_or(NO_ID)?;
                (Some(entity.id.clone()), Some(Entity::Filter(entity)))
            }
            "issuetype" => {
                let entity = body.issuetype.as_ref().and_then(model::IssueTypeEntity::entity).ok_or(NO_ID)?;
                (Some(entity.id.clone()), Some(Entity::Issuetype(entity)))
            }
            _ => return Err(NO_ID),
        };
        let id = id.ok_or(NO_ID)?;
        let when = (!matches!(kind.verb(), "created" | "deleted")).then(|| self.stamp.clone());
        Ok(self.told(Draft { kind, id: &id, when, issue, actor, changes, entity }))
    }

    /// Starting and closing have times of their own; both may be told twice, with different timestamps.
    fn sprint(&self, kind: Kind) -> Result<Event, Unknown> {
        let sprint = self.body.sprint.as_ref().ok_or(NO_ID)?;
        let id = sprint.id().ok_or(NO_ID)?;
        let now = sprint.state(id);
        let at = match kind {
            Kind::SprintStarted => now.start_at,
            Kind::SprintClosed => now.completed_at,
            _ => None,
        };
        let when = at.map_or_else(|| self.stamp.clone(), |at| at.ms().to_string());
        let previous = self.body.old_value.as_ref().filter(|_| kind == Kind::SprintUpdated).map(|old| old.state(id));
        let mut draft = Draft::new(kind, id, Some(Entity::Sprint(event::Sprint { now, previous })));
        draft.actor = person(self.body.user.as_ref());
        draft.when = (!matches!(kind.verb(), "created" | "deleted")).then_some(when);
        Ok(self.told(draft))
    }

    /// The user of the body is whom it is about; who did it is not told.
    pub(super) fn user(&self, kind: Kind, user: &User<'_>) -> Result<Event, Unknown> {
        let id = person_hash(user.id().ok_or(NO_ID)?);
        let mut draft = Draft::new(kind, &id, user.entity().map(Entity::User));
        draft.when = (kind == Kind::UserUpdated).then(|| self.stamp.clone());
        Ok(self.told(draft))
    }

    pub(super) fn property(&self, kind: Kind) -> Event {
        let property = self.body.property.as_ref();
        let issue = self.issue_or(None);
        let key = property.and_then(Property::key);
        // A property without a key was seen in a sample only; its ids say so in one word, as every reader of them computes it.
        let id = match &issue {
            Some(issue) => format!("{}-{}", issue.id, key.unwrap_or("None")),
            None => hash16(self.received.body),
        };
        let key = key.unwrap_or_default().to_owned();
        let value = property.map(Property::value).unwrap_or_default();
        let mut draft = Draft::new(kind, &id, Some(Entity::Property(event::Property { key, value })));
        draft.issue = issue;
        draft.actor = person(self.body.user.as_ref());
        draft.when = Some(self.stamp.clone());
        self.told(draft)
    }

    pub(super) fn option(&self, setting: &str) -> Event {
        let property = self.body.property.as_ref();
        let key = property.and_then(Property::key).unwrap_or(setting).to_owned();
        let value = property.map(Property::value).unwrap_or_default();
        let mut draft = Draft::new(Kind::OptionChanged, setting, Some(Entity::Option(event::OptionChange { key, value })));
        draft.actor = person(self.body.user.as_ref());
        draft.when = Some(self.stamp.clone());
        self.told(draft)
    }

    pub(super) fn app(&self, kind: Kind) -> Event {
        let id = hash16(self.received.body);
        let key = self.body.app.as_ref().and_then(Property::key).map(str::to_owned);
        let mut draft = Draft::new(kind, &id, Some(Entity::App(event::App { key })));
        draft.actor = person(self.body.user.as_ref());
        draft.when = Some(self.stamp.clone());
        self.told(draft)
    }
}
