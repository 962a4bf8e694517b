//! The fields of an issue: known ones typed, custom fields as they are, everything else skipped unread.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Project;
use super::agile::sprints;
use super::part::{IssueType, Level, Named, Parent, Status};
use super::person::{User, person};
use super::scalar::{Moment, Rich, Text, at, date, owned};
use crate::event::{self, ToMarkdown};

/// `security` and `reporter` tell a member that is `null` from one that is not there. In brief all but the first three are skipped.
#[derive(Debug, Default)]
pub(crate) struct Fields<'a, const BRIEF: bool> {
    pub(crate) project: Option<Project<'a>>,
    pub(crate) security: Option<Option<Level<'a>>>,
    pub(crate) updated: Option<Moment>,
    summary: Option<Text<'a>>,
    description: Option<Rich<'a>>,
    kind: Option<IssueType<'a>>,
    status: Option<Status<'a>>,
    priority: Option<Named<'a>>,
    resolution: Option<Named<'a>>,
    assignee: Option<User<'a>>,
    reporter: Option<Option<User<'a>>>,
    creator: Option<User<'a>>,
    labels: Option<Vec<Text<'a>>>,
    components: Option<Vec<Named<'a>>>,
    fix_versions: Option<Vec<Named<'a>>>,
    versions: Option<Vec<Named<'a>>>,
    parent: Option<Parent<'a>>,
    created: Option<Moment>,
    resolved: Option<Moment>,
    due: Option<Text<'a>>,
    custom: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<const BRIEF: bool> Fields<'_, BRIEF> {
    /// The reduced issue of Cloud's comment events has no reporter and no times.
    fn whole(&self) -> bool {
        self.summary.as_ref().is_some_and(|summary| !summary.as_str().is_empty()) && at(self.updated).is_some() && self.reporter.is_some()
    }

    pub(crate) fn fill(&self, issue: &mut event::Issue, to_markdown: ToMarkdown) {
        issue.partial = !self.whole();
        issue.kind = self.kind.as_ref().and_then(IssueType::kind);
        issue.summary = owned(self.summary.as_ref());
        issue.body = self.description.and_then(|text| text.markdown(to_markdown));
        issue.status = self.status.as_ref().and_then(Status::status);
        issue.priority = self.priority.as_ref().and_then(Named::named);
        issue.resolution = self.resolution.as_ref().and_then(Named::named);
        issue.assignee = person(self.assignee.as_ref());
        issue.reporter = person(self.reporter.as_ref().and_then(Option::as_ref));
        issue.creator = person(self.creator.as_ref());
        issue.labels = self.labels.iter().flatten().map(|label| label.as_str().to_owned()).collect();
        issue.components = all(self.components.as_ref());
        issue.fix_versions = all(self.fix_versions.as_ref());
        issue.affects_versions = all(self.versions.as_ref());
        issue.sprints = self.custom.iter().find_map(|(_, value)| sprints(value)).unwrap_or_default();
        issue.parent = self.parent.as_ref().and_then(Parent::keyed);
        issue.security = self.security.as_ref().and_then(Option::as_ref).map(|level| level.0.level());
        issue.created_at = at(self.created);
        issue.updated_at = at(self.updated);
        issue.resolved_at = at(self.resolved);
        issue.due_on = date(self.due.as_ref());
        issue.custom = event::Members::new(self.custom.iter().map(|(id, value)| (&**id, *value)));
    }
}

fn all(list: Option<&Vec<Named<'_>>>) -> Vec<event::Named> {
    list.into_iter().flatten().filter_map(Named::named).collect()
}

struct FieldsVisitor<const BRIEF: bool>;

impl<'de, const BRIEF: bool> Visitor<'de> for FieldsVisitor<BRIEF> {
    type Value = Fields<'de, BRIEF>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the fields of an issue")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields::default();
        while let Some(key) = map.next_key::<Text<'de>>()? {
            match key.as_str() {
                "project" => fields.project = map.next_value()?,
                "security" => fields.security = Some(map.next_value()?),
                "updated" => fields.updated = map.next_value()?,
                _ if BRIEF => drop(map.next_value::<IgnoredAny>()?),
                "summary" => fields.summary = map.next_value()?,
                "description" => fields.description = map.next_value()?,
                "issuetype" => fields.kind = map.next_value()?,
                "status" => fields.status = map.next_value()?,
                "priority" => fields.priority = map.next_value()?,
                "resolution" => fields.resolution = map.next_value()?,
                "assignee" => fields.assignee = map.next_value()?,
                "reporter" => fields.reporter = Some(map.next_value()?),
                "creator" => fields.creator = map.next_value()?,
                "labels" => fields.labels = map.next_value()?,
                "components" => fields.components = map.next_value()?,
                "fixVersions" => fields.fix_versions = map.next_value()?,
                "versions" => fields.versions = map.next_value()?,
                "parent" => fields.parent = map.next_value()?,
                "created" => fields.created = map.next_value()?,
                "resolutiondate" => fields.resolved = map.next_value()?,
                "duedate" => fields.due = map.next_value()?,
                custom if custom.starts_with("customfield_") => fields.custom.push((key.0, map.next_value()?)),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(fields)
    }
}

impl<'de: 'a, 'a, const BRIEF: bool> Deserialize<'de> for Fields<'a, BRIEF> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor::<BRIEF>)
    }
}
