//! What hangs on an issue: comments, worklogs and attachments.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::scalar::{Flag, Id, Moment, Rich, Text, Told, Whole, at, filled, known};
use super::{Site, User, person};
use crate::clock::Timestamp;
use crate::event::{self, CommentVisibility, VisibilityKind};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Comment<'a> {
    #[serde(borrow)]
    id: Option<Id<'a>>,
    #[serde(rename = "self")]
    link: Option<Text<'a>>,
    issue_id: Option<Id<'a>>,
    pub(crate) author: Option<User<'a>>,
    pub(crate) update_author: Option<User<'a>>,
    body: Option<Rich<'a>>,
    created: Option<Moment>,
    updated: Option<Moment>,
    visibility: Option<Visibility<'a>>,
    jsd_public: Option<Flag>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Worklog<'a> {
    #[serde(borrow)]
    id: Option<Id<'a>>,
    #[serde(rename = "self")]
    link: Option<Text<'a>>,
    issue_id: Option<Id<'a>>,
    pub(crate) author: Option<User<'a>>,
    pub(crate) update_author: Option<User<'a>>,
    comment: Option<Rich<'a>>,
    time_spent_seconds: Option<Whole>,
    started: Option<Moment>,
    created: Option<Moment>,
    updated: Option<Moment>,
    visibility: Option<Visibility<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Attachment<'a> {
    #[serde(borrow)]
    id: Option<Id<'a>>,
    #[serde(rename = "self")]
    link: Option<Text<'a>>,
    issue_id: Option<Id<'a>>,
    pub(crate) author: Option<User<'a>>,
    filename: Option<Text<'a>>,
    mime_type: Option<Text<'a>>,
    size: Option<Whole>,
    created: Option<Moment>,
}

impl Comment<'_> {
    pub(crate) fn id(&self) -> Option<&str> {
        known(self.id.as_ref())
    }

    pub(crate) fn issue_id(&self) -> Option<&str> {
        issue_of(self.issue_id.as_ref(), self.link.as_ref())
    }

    pub(crate) fn updated(&self) -> Option<Timestamp> {
        at(self.updated)
    }

    /// Nobody edited it, as far as its times tell.
    pub(crate) fn as_created(&self) -> bool {
        at(self.created) == at(self.updated)
    }

    /// Nothing where it has no id.
    pub(crate) fn entity(&self, site: Site<'_>) -> Option<event::Comment> {
        Some(event::Comment {
            id: self.id()?.to_owned(),
            author: person(self.author.as_ref()),
            editor: person(self.update_author.as_ref()),
            body: self.body.and_then(|text| text.markdown(site.to_markdown)),
            created_at: at(self.created),
            updated_at: at(self.updated),
            visibility: self.visibility.as_ref().map(Visibility::entity),
            internal: self.jsd_public.map(|public| !public.0),
        })
    }
}

impl Worklog<'_> {
    pub(crate) fn id(&self) -> Option<&str> {
        known(self.id.as_ref())
    }

    pub(crate) fn issue_id(&self) -> Option<&str> {
        issue_of(self.issue_id.as_ref(), self.link.as_ref())
    }

    pub(crate) fn updated(&self) -> Option<Timestamp> {
        at(self.updated)
    }

    /// Nobody edited it, as far as its times tell.
    pub(crate) fn as_created(&self) -> bool {
        at(self.created) == at(self.updated)
    }

    /// Nothing where it has no id.
    pub(crate) fn entity(&self, site: Site<'_>) -> Option<event::Worklog> {
        Some(event::Worklog {
            id: self.id()?.to_owned(),
            author: person(self.author.as_ref()),
            editor: person(self.update_author.as_ref()),
            body: self.comment.and_then(|text| text.markdown(site.to_markdown)),
            seconds: self.time_spent_seconds.map(|seconds| seconds.0),
            started_at: at(self.started),
            created_at: at(self.created),
            updated_at: at(self.updated),
            visibility: self.visibility.as_ref().map(Visibility::entity),
        })
    }
}

impl Attachment<'_> {
    pub(crate) fn id(&self) -> Option<&str> {
        known(self.id.as_ref())
    }

    pub(crate) fn issue_id(&self) -> Option<&str> {
        issue_of(self.issue_id.as_ref(), self.link.as_ref())
    }

    /// Nothing where it has no id.
    pub(crate) fn entity(&self) -> Option<event::Attachment> {
        Some(event::Attachment {
            id: self.id()?.to_owned(),
            name: filled(self.filename.as_ref()),
            mime_type: filled(self.mime_type.as_ref()),
            bytes: self.size.map(|size| size.0),
            author: person(self.author.as_ref()),
            created_at: at(self.created),
        })
    }
}

/// The issue by its id, else by the number between `/issue/` and the next slash of a `self` link. The link is read, never followed.
fn issue_of<'t>(id: Option<&'t Id<'_>>, link: Option<&'t Text<'_>>) -> Option<&'t str> {
    known(id).or_else(|| {
        link?.as_str().split("/issue/").skip(1).find_map(|after| {
            let (number, _) = after.split_once('/')?;
            (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(number)
        })
    })
}

/// Whom it is restricted to. Whatever stands there restricts, whether it can be read or not.
#[derive(Debug, Default)]
struct Visibility<'a> {
    kind: Option<Cow<'a, str>>,
    value: Option<Cow<'a, str>>,
    identifier: Option<Cow<'a, str>>,
}

impl Visibility<'_> {
    fn entity(&self) -> CommentVisibility {
        let kind = if self.kind.as_deref() == Some("group") { VisibilityKind::Group } else { VisibilityKind::Role };
        let name = self.value.as_ref().or(self.identifier.as_ref()).map(|name| name.to_string()).unwrap_or_default();
        CommentVisibility { kind, name }
    }
}

struct VisibilityVisitor;

impl<'de> Visitor<'de> for VisibilityVisitor {
    type Value = Visibility<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("whom it is restricted to")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Visibility::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Visibility::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Visibility::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Visibility::default())
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Visibility { value: Some(name.to_owned().into()), ..Visibility::default() })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Visibility::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut visibility = Visibility::default();
        while let Some(key) = map.next_key::<Text<'de>>()? {
            let place = match key.as_str() {
                "type" => &mut visibility.kind,
                "value" => &mut visibility.value,
                "identifier" => &mut visibility.identifier,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *place = match map.next_value()? {
                Told::Text(text) => Some(text),
                Told::Other => None,
            };
        }
        Ok(visibility)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Visibility<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(VisibilityVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_issue_is_found_by_id_or_link() {
        for (json, issue) in [
            (r#"{"issueId":10040,"self":"https://acme.example/rest/api/2/issue/7/worklog/1"}"#, Some("10040")),
            (r#"{"self":"https://acme.example/jira/rest/api/2/issue/10040/comment/10019"}"#, Some("10040")),
            (r#"{"self":"https://acme.example/issue/x/rest/api/2/issue/10040/comment/1"}"#, Some("10040")),
            (r#"{"self":"https://acme.example/rest/api/2/issue/10040"}"#, None),
            (r#"{"self":"https://acme.example/rest/api/2/10040/comment/1"}"#, None),
            ("{}", None),
        ] {
            let comment: Comment<'_> = serde_json::from_str(json).expect("a comment");
            assert_eq!(comment.issue_id(), issue, "{json}");
        }
    }

    #[test]
    fn whatever_restricts_is_kept() {
        let check = |json: &str, expected: Option<(VisibilityKind, &str)>| {
            let text = format!(r#"{{"id":1,"visibility":{json}}}"#);
            let comment: Comment<'_> = serde_json::from_str(&text).expect("a comment");
            let expected = expected.map(|(kind, name)| CommentVisibility { kind, name: name.to_owned() });
            assert_eq!(comment.visibility.as_ref().map(Visibility::entity), expected, "{json}");
        };
        check(r#"{"type":"role","value":"Developers","identifier":"x"}"#, Some((VisibilityKind::Role, "Developers")));
        check(r#"{"type":"group","identifier":"staff","other":[1]}"#, Some((VisibilityKind::Group, "staff")));
        check(r#"{"type":7,"value":{}}"#, Some((VisibilityKind::Role, "")));
        check(r#""Developers""#, Some((VisibilityKind::Role, "Developers")));
        check("[1]", Some((VisibilityKind::Role, "")));
        check("null", None);
    }
}
