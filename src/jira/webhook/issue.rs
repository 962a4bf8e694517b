//! Updates of issues, and the comments and worklogs that come alone or inside such an update.

use super::name::Verb;
use super::telling::{Draft, NO_ID, Telling, Unknown};
use crate::clock::Timestamp;
use crate::event::{Change, Entity, Event, EventId, Issue, Kind, Person, hash16};
use crate::jira::model::{self, Item, User, person};

impl<'t, const BRIEF: bool> Telling<'t, BRIEF> {
    /// The change, or the comment or worklog that is all the body carries, or both, the change first.
    pub(super) fn issue_updated(&self, name: &str) -> Result<Vec<Event>, Unknown> {
        let body = self.body;
        let issue = body.issue.as_ref().and_then(|issue| issue.issue(self.site)).ok_or(NO_ID)?;
        let mut said = Vec::new();
        if let Some(comment) = body.comment.as_ref().filter(|comment| comment.id().is_some()) {
            let verb = Verb::told(body.type_name(), comment.as_created());
            said.push(self.comment(verb.of_comment(), Some(&issue))?);
        }
        if let Some(worklog) = body.worklog.as_ref().filter(|worklog| worklog.id().is_some() && name != "jira:worklog_updated") {
            let verb = Verb::told(body.type_name(), worklog.as_created());
            said.push(self.worklog(verb.of_worklog(), Some(&issue))?);
        }
        let changed = body.changelog_id().is_some() || !self.items().is_empty() || body.transition.is_some();
        if changed || said.is_empty() {
            said.insert(0, self.change(issue));
        }
        Ok(said)
    }

    fn change(&self, issue: Issue) -> Event {
        let id = issue.id.clone();
        let mut draft = Draft::new(Kind::IssueUpdated, &id, None);
        draft.actor = person(self.body.user.as_ref());
        draft.changes = self.changes();
        let event_id = match self.body.changelog_id() {
            Some(change) => EventId::new(self.received.connection, &["issue", &id, "change", change]),
            None => {
                let updated = issue.updated_at.map_or_else(|| self.stamp.clone(), |at| at.ms().to_string());
                EventId::new(self.received.connection, &["issue", &id, "updated", &updated, &self.change_hash()])
            }
        };
        draft.issue = Some(issue);
        self.finish(draft, event_id)
    }

    /// Tells apart what happened in one millisecond, where Jira numbers no changes.
    fn change_hash(&self) -> String {
        let items: Vec<_> = self.items().iter().map(Item::hashed).collect();
        let transition = self.body.transition.as_ref().and_then(model::Transition::id);
        let text = serde_json::to_vec(&(self.body.type_name(), items, transition)).expect("text and lists are written as JSON");
        hash16(&text)
    }

    fn items(&self) -> &[Item<'t>] {
        self.body.changelog.as_ref().map_or(&[], |changelog| changelog.items())
    }

    pub(super) fn changes(&self) -> Vec<Change> {
        if BRIEF { Vec::new() } else { self.items().iter().map(Item::change).collect() }
    }

    pub(super) fn comment(&self, kind: Kind, issue: Option<&Issue>) -> Result<Event, Unknown> {
        let comment = self.body.comment.as_ref().ok_or(NO_ID)?;
        let id = comment.id().ok_or(NO_ID)?;
        let mut draft = Draft::new(kind, id, comment.entity(self.site).map(Entity::Comment));
        draft.issue = issue.cloned().or_else(|| self.issue_or(comment.issue_id()));
        draft.actor = self.actor(kind, comment.author.as_ref(), comment.update_author.as_ref());
        draft.when = self.edited(kind, comment.updated());
        Ok(self.told(draft))
    }

    pub(super) fn worklog(&self, kind: Kind, issue: Option<&Issue>) -> Result<Event, Unknown> {
        let worklog = self.body.worklog.as_ref().ok_or(NO_ID)?;
        let id = worklog.id().ok_or(NO_ID)?;
        let mut draft = Draft::new(kind, id, worklog.entity(self.site).map(Entity::Worklog));
        draft.issue = issue.cloned().or_else(|| self.issue_or(worklog.issue_id()));
        draft.actor = self.actor(kind, worklog.author.as_ref(), worklog.update_author.as_ref());
        draft.when = self.edited(kind, worklog.updated());
        Ok(self.told(draft))
    }

    /// The user of the body; else who wrote or edited. Who deleted is not known: a body without user still names the author.
    pub(super) fn actor(&self, kind: Kind, author: Option<&User<'_>>, editor: Option<&User<'_>>) -> Option<Person> {
        person(self.body.user.as_ref()).or_else(|| match kind.verb() {
            "created" => person(author),
            "updated" => person(editor),
            _ => None,
        })
    }

    /// Edits are told apart by their time in seconds, because Jira's two ways to tell of one differ in the milliseconds.
    fn edited(&self, kind: Kind, updated: Option<Timestamp>) -> Option<String> {
        let updated = updated.map_or_else(|| self.stamp.clone(), |at| at.ms().div_euclid(1000).to_string());
        (kind.verb() == "updated").then_some(updated)
    }
}
