//! An event in brief: what its raw body does not say, so that the same event can be made of the body again.
//!
//! Who writes much and reads little (the log of the embedded queue) is spared most of what an event holds, because the body holds it
//! already. What is read is what was accepted: ids never change, so the event is found again by its id, also by a later version.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{Data, Delivered, Event, EventId, Issue, Kind, Origin, PartitionKey, Secrecy};
use crate::clock::Timestamp;
use crate::setting::{BaseUrl, ConnectionName};

/// How a webhook came: beside its body all that its events are made of.
pub struct Came<'a> {
    pub connection: &'a ConnectionName,
    pub source: &'a BaseUrl,
    /// What Jira's delivery headers said.
    pub delivered: &'a Delivered,
    pub received_at: Timestamp,
}

/// How much of an event is made of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Its identity, its order, its times and how it came: enough for `Renew` to make it whole later.
    Brief,
    Whole,
}

/// Makes the events of a webhook's body again. Handed in by whoever knows Jira: nothing here does.
pub type Renew = fn(&Came<'_>, &[u8]) -> Vec<Event>;

#[derive(Serialize, Deserialize)]
pub(super) struct Brief<'a> {
    id: Cow<'a, EventId>,
    connection: Cow<'a, ConnectionName>,
    source: Cow<'a, BaseUrl>,
    subject: Cow<'a, str>,
    partition_key: Cow<'a, PartitionKey>,
    secrecy: Secrecy,
    kind: Kind,
    occurred_at: Timestamp,
    received_at: Timestamp,
    jira: Cow<'a, Delivered>,
    issue: Option<Cow<'a, str>>,
}

impl<'a> Brief<'a> {
    pub(super) fn of(event: &'a Event) -> Self {
        Self {
            id: Cow::Borrowed(&event.id),
            connection: Cow::Borrowed(&event.connection),
            source: Cow::Borrowed(&event.source),
            subject: Cow::Borrowed(&event.subject),
            partition_key: Cow::Borrowed(&event.partition_key),
            secrecy: event.secrecy,
            kind: event.data.kind,
            occurred_at: event.data.occurred_at,
            received_at: event.data.received_at,
            jira: Cow::Borrowed(&event.data.jira),
            issue: event.issue_id().map(Cow::Borrowed),
        }
    }

    pub(super) fn renewed(self, raw: &[u8], renew: Renew) -> Event {
        let came = Came { connection: &self.connection, source: &self.source, delivered: &self.jira, received_at: self.received_at };
        renew(&came, raw).into_iter().find(|event| event.id == *self.id).unwrap_or_else(|| self.bare())
    }

    /// What was accepted is kept even if this version makes other events of the body: then only this is known of it.
    fn bare(self) -> Event {
        tracing::error!(event.id = %self.id, "`{}` is not what this version makes of its body: it goes on with what is known of it", self.id);
        let data = Data {
            kind: self.kind,
            origin: Origin::Webhook,
            occurred_at: self.occurred_at,
            received_at: self.received_at,
            jira: self.jira.into_owned(),
            actor: None,
            project: None,
            issue: self.issue.map(|id| Box::new(Issue::only_id(id))),
            changes: Vec::new(),
            degraded: vec!["event".to_owned()],
            entity: None,
        };
        Event {
            id: self.id.into_owned(),
            connection: self.connection.into_owned(),
            source: self.source.into_owned(),
            subject: self.subject.into_owned(),
            partition_key: self.partition_key.into_owned(),
            // What is not known counts as restricted.
            secrecy: Secrecy { level_known: false, ..self.secrecy },
            data,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::event::{Envelope, Restricted};

    fn event(id: &str) -> Event {
        let acme: ConnectionName = "acme".parse().expect("a name");
        let delivered = Delivered { identifier: Some("17".into()), retry: 2, flow: Some("primary".into()), ..Delivered::default() };
        let came = Came {
            connection: &acme,
            source: &"https://acme.example".parse().expect("a base URL"),
            delivered: &delivered,
            received_at: Timestamp::from_ms(1_765_441_200_123),
        };
        made(&came, id.as_bytes()).remove(0)
    }

    /// One event for each word of the body.
    fn made(came: &Came<'_>, body: &[u8]) -> Vec<Event> {
        let words = std::str::from_utf8(body).expect("text").split_whitespace();
        let event = |word: &str| Event {
            id: EventId::new(came.connection, &["issue", word, "created"]),
            connection: came.connection.clone(),
            source: came.source.clone(),
            subject: format!("OPS-{word}"),
            partition_key: PartitionKey::issue(came.connection, word),
            secrecy: Secrecy { level_known: true, project_private: false },
            data: Data {
                kind: Kind::IssueCreated,
                origin: Origin::Webhook,
                occurred_at: Timestamp::from_ms(1_765_441_200_000),
                received_at: came.received_at,
                jira: came.delivered.clone(),
                actor: None,
                project: None,
                issue: Some(Box::new(Issue { partial: false, summary: Some("told".into()), ..Issue::only_id(word) })),
                changes: Vec::new(),
                degraded: Vec::new(),
                entity: None,
            },
        };
        words.map(event).collect()
    }

    fn brief(event: Event, raw: &'static str, renewable: bool) -> Bytes {
        let traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned());
        let envelope = Envelope { event, raw: raw.into(), target: None, traceparent, received: None, renewable };
        [envelope.encode_brief_head(), raw.as_bytes().to_vec()].concat().into()
    }

    #[test]
    fn what_is_made_again_is_what_was_accepted() {
        for renewable in [true, false] {
            let bytes = brief(event("8"), "7 8 9", renewable);
            let envelope = Envelope::decode_any(&bytes, made).expect("it is read");
            assert_eq!((envelope.event, &*envelope.raw), (event("8"), &b"7 8 9"[..]), "{renewable}");
            assert!(envelope.traceparent.is_some());
            assert_eq!(Envelope::decode(&bytes).is_err(), renewable, "who cannot make events reads whole ones only");
        }
    }

    #[test]
    fn an_event_that_is_not_made_again_goes_on_in_brief() {
        let bytes = brief(event("8"), "7 9", true);
        let found = Envelope::decode_any(&bytes, made).expect("it is read").event;
        assert_eq!((&found.id, &found.subject, &found.partition_key), (&event("8").id, &event("8").subject, &event("8").partition_key));
        assert_eq!((found.issue_id(), &*found.data.degraded), (Some("8"), &["event".to_owned()][..]));
        assert_eq!(found.restricted(), Restricted::Unknown, "nothing that is not known is public");
    }
}
