//! From the bytes of a webhook to events: pure and total.
//!
//! Every body becomes one to several events; what cannot be read becomes `event.unrecognized`, never an error. A body of the right form is
//! read once, typed and borrowed; only what Jira did not write that way is repaired, at its own cost.

mod body;
mod content;
mod entity;
mod issue;
mod limit;
mod name;
mod telling;
mod unrecognized;

pub use content::content_hash;

use body::Body;
use telling::Telling;
use unrecognized::unrecognized;

use super::model::read;
use crate::clock::Timestamp;
use crate::event::{Event, ToMarkdown};
use crate::setting::{BaseUrl, ConnectionName};

/// What Jira's delivery headers said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers {
    pub identifier: Option<String>,
    pub retry: u32,
    /// In lower case.
    pub flow: Option<String>,
}

/// An authentic body and how it came.
pub struct Received<'a> {
    pub connection: &'a ConnectionName,
    pub base_url: &'a BaseUrl,
    pub body: &'a [u8],
    pub headers: &'a Headers,
    pub received_at: Timestamp,
    pub to_markdown: ToMarkdown,
}

/// One to several events, in the order of publication; all of one partition key.
pub fn normalize(received: &Received<'_>) -> Vec<Event> {
    events::<false>(received)
}

/// The same events in brief: for a queue that has them made again of the body.
pub fn identify(received: &Received<'_>) -> Vec<Event> {
    events::<true>(received)
}

fn events<const BRIEF: bool>(received: &Received<'_>) -> Vec<Event> {
    if received.body.is_empty() {
        return vec![unrecognized::<BRIEF>(received, None, "the body is empty, as of a webhook that excludes it")];
    }
    let Ok(text) = std::str::from_utf8(received.body) else {
        return vec![unrecognized::<BRIEF>(received, None, "the body is not UTF-8")];
    };
    let told = read::<Body<'_, BRIEF>, _>(text, |body| {
        let events = Telling::new(received, body).events(text).and_then(limit::within);
        events.unwrap_or_else(|reason| vec![unrecognized(received, Some(body), reason)])
    });
    told.unwrap_or_else(|reason| vec![unrecognized::<BRIEF>(received, None, reason)])
}
