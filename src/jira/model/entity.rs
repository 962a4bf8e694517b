//! The other things that have webhooks of their own: links, versions, filters, issue types, properties.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::scalar::{Flag, Id, Text, date, filled, known, owned_id};
use crate::event::{self, Keyed};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Link<'a> {
    #[serde(borrow)]
    id: Option<Id<'a>>,
    source_issue_id: Option<Id<'a>>,
    destination_issue_id: Option<Id<'a>>,
    issue_link_type: Option<LinkType<'a>>,
}

/// Jira writes `outwardName` in webhooks and `outward` in REST answers.
#[derive(Debug, Deserialize)]
struct LinkType<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(alias = "outwardName")]
    outward: Option<Text<'a>>,
    #[serde(alias = "inwardName")]
    inward: Option<Text<'a>>,
}

impl Link<'_> {
    pub(crate) fn source(&self) -> Option<&str> {
        known(self.source_issue_id.as_ref())
    }

    /// Nothing where it has no id. An end that is not named has an empty id.
    pub(crate) fn entity(&self) -> Option<event::Link> {
        let keyed = |id: Option<&str>| Keyed { id: id.unwrap_or_default().to_owned(), key: None };
        let kind = self.issue_link_type.as_ref();
        Some(event::Link {
            id: known(self.id.as_ref())?.to_owned(),
            kind: kind.and_then(|kind| filled(kind.name.as_ref())),
            outward: kind.and_then(|kind| filled(kind.outward.as_ref())),
            inward: kind.and_then(|kind| filled(kind.inward.as_ref())),
            source: keyed(self.source()),
            destination: keyed(known(self.destination_issue_id.as_ref())),
        })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Version<'a> {
    #[serde(borrow)]
    id: Option<Id<'a>>,
    project_id: Option<Id<'a>>,
    name: Option<Text<'a>>,
    released: Option<Flag>,
    archived: Option<Flag>,
    release_date: Option<Text<'a>>,
}

impl Version<'_> {
    pub(crate) fn id(&self) -> Option<&str> {
        known(self.id.as_ref())
    }

    /// Nothing where it has no id.
    pub(crate) fn entity(&self, merged_into: Option<&Version<'_>>) -> Option<event::Version> {
        Some(event::Version {
            id: self.id()?.to_owned(),
            project_id: owned_id(self.project_id.as_ref()),
            name: filled(self.name.as_ref()),
            released: self.released.map(|flag| flag.0),
            archived: self.archived.map(|flag| flag.0),
            release_on: date(self.release_date.as_ref()),
            merged_into_id: merged_into.and_then(Version::id).map(str::to_owned),
        })
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Filter<'a> {
    #[serde(borrow)]
    id: Option<Id<'a>>,
    name: Option<Text<'a>>,
    jql: Option<Text<'a>>,
}

impl Filter<'_> {
    /// Nothing where it has no id.
    pub(crate) fn entity(&self) -> Option<event::Filter> {
        let id = known(self.id.as_ref())?.to_owned();
        Some(event::Filter { id, name: filled(self.name.as_ref()), jql: filled(self.jql.as_ref()) })
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct IssueTypeEntity<'a> {
    #[serde(borrow)]
    id: Option<Id<'a>>,
    name: Option<Text<'a>>,
    subtask: Option<Flag>,
}

impl IssueTypeEntity<'_> {
    /// Nothing where it has no id.
    pub(crate) fn entity(&self) -> Option<event::IssueTypeEntity> {
        let id = known(self.id.as_ref())?.to_owned();
        Some(event::IssueTypeEntity { id, name: filled(self.name.as_ref()), subtask: self.subtask.map(|flag| flag.0) })
    }
}

/// A property of an issue, or the setting that an option event is about. An app's key has the same form.
#[derive(Debug, Deserialize)]
pub(crate) struct Property<'a> {
    #[serde(borrow)]
    key: Option<Id<'a>>,
    value: Option<&'a RawValue>,
}

impl Property<'_> {
    pub(crate) fn key(&self) -> Option<&str> {
        known(self.key.as_ref())
    }

    pub(crate) fn value(&self) -> serde_json::Value {
        let raw = self.value.map(RawValue::get).filter(|raw| event::is_readable(raw));
        raw.and_then(|raw| serde_json::from_str(raw).ok()).unwrap_or_default()
    }
}
