//! Who of Jira is who in Slack: by the sink's `people`, else by the e-mail address that Jira shows.
//!
//! A mark `<@jira:ACCOUNT|Name>`, which only a template can make, becomes a mention; where nobody is known it becomes the name. What Slack
//! said of an address is kept for an hour.

use std::collections::BTreeMap;
use std::time::Duration;

use moka::future::Cache;
use serde_json::Value;

use super::{Enriched, SinkError, SlackSink};
use crate::event::Event;

const MARK: &str = "<@jira:";
const KEPT_FOR: Duration = Duration::from_secs(3_600);
const KEPT_MAX: u64 = 10_000;

/// Slack's user ids by account id or e-mail address.
pub(super) struct People {
    configured: BTreeMap<String, String>,
    asked: Cache<String, Option<String>>,
}

/// Somebody of Jira, as an event tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Somebody {
    pub(super) id: String,
    pub(super) name: Option<String>,
    pub(super) email: Option<String>,
}

impl People {
    pub(super) fn new(configured: &BTreeMap<String, String>) -> Self {
        let configured = configured.iter().map(|(who, user)| (who.to_lowercase(), user.clone())).collect();
        Self { configured, asked: Cache::builder().max_capacity(KEPT_MAX).time_to_live(KEPT_FOR).build() }
    }

    fn configured(&self, somebody: &Somebody) -> Option<String> {
        let by = |key: &str| self.configured.get(&key.to_lowercase()).cloned();
        by(&somebody.id).or_else(|| by(somebody.email.as_deref()?))
    }
}

impl SlackSink {
    /// None: nobody of Slack is known to be that person.
    pub(super) async fn user(&self, somebody: &Somebody) -> Result<Option<String>, SinkError> {
        if let Some(user) = self.people.configured(somebody) {
            return Ok(Some(user));
        }
        let Some(email) = &somebody.email else { return Ok(None) };
        if let Some(known) = self.people.asked.get(email).await {
            return Ok(known);
        }
        let user = self.look_up(email).await?;
        self.people.asked.insert(email.clone(), user.clone()).await;
        Ok(user)
    }

    /// The text with mentions in the place of marks.
    pub(super) async fn mentioning(&self, text: &str, delivery: &Enriched) -> Result<String, SinkError> {
        let (mut written, mut rest) = (String::with_capacity(text.len()), text);
        while let Some((before, after)) = rest.split_once(MARK) {
            written.push_str(before);
            let Some((mark, behind)) = after.split_once('>') else {
                written.push_str(MARK);
                rest = after;
                continue;
            };
            let (id, name) = mark.split_once('|').unwrap_or((mark, "somebody"));
            let somebody = find(&delivery.event, id);
            // A workspace that does not let us look reads the name.
            let user = match self.user(&somebody).await {
                Err(SinkError::Refused { .. }) => None,
                user => user?,
            };
            written.push_str(&user.map_or_else(|| name.to_owned(), |user| format!("<@{user}>")));
            rest = behind;
        }
        written.push_str(rest);
        Ok(written)
    }

    /// The same for every text in blocks or attachments.
    pub(super) async fn mentioning_in(&self, json: &Option<Value>, delivery: &Enriched) -> Result<Option<Value>, SinkError> {
        let Some(mut json) = json.clone() else { return Ok(None) };
        let mut places = vec![&mut json];
        while let Some(place) = places.pop() {
            match place {
                Value::String(text) if text.contains(MARK) => *text = self.mentioning(text, delivery).await?,
                Value::Array(items) => places.extend(items.iter_mut()),
                Value::Object(members) => places.extend(members.values_mut()),
                Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
            }
        }
        Ok(Some(json))
    }
}

/// Whom a target such as `@assignee` means for this event.
pub(super) fn target(event: &Event, target: &str) -> Option<Somebody> {
    let data = &event.data;
    let issue = data.issue.as_ref();
    let person = match target {
        "@actor" => data.actor.as_ref(),
        "@assignee" => issue?.assignee.as_ref(),
        "@reporter" => issue?.reporter.as_ref(),
        "@creator" => issue?.creator.as_ref(),
        _ => None,
    };
    person.map(|person| Somebody { id: person.id.clone(), name: person.name.clone(), email: person.email.clone() })
}

/// What the event tells of somebody besides the id.
fn find(event: &Event, id: &str) -> Somebody {
    let data = serde_json::to_value(&event.data).unwrap_or_default();
    let mut places = vec![&data];
    let mut found = Somebody { id: id.to_owned(), ..Somebody::default() };
    while let Some(place) = places.pop() {
        let Some(members) = place.as_object() else { continue };
        let text = |name: &str| members.get(name).and_then(Value::as_str).map(str::to_owned);
        if text("id").as_deref() == Some(id) && members.contains_key("email") {
            found.name = found.name.or_else(|| text("name"));
            found.email = found.email.or_else(|| text("email"));
        }
        places.extend(members.iter().filter(|(name, _)| *name != "custom").map(|(_, value)| value));
    }
    found
}
