//! How long an id may be. Stores index ids and brokers carry them in headers; both refuse a longer one, and would refuse it for ever.

use percent_encoding::percent_decode_str;

use super::telling::Unknown;
use crate::event::{Event, Issue};

/// In bytes. Jira's own ids are much shorter, its keys of properties at most that long.
const ID_MAX: usize = 255;

const TOO_LONG: Unknown = "an id is longer than 255 bytes";

/// The events as they are, or why they have no ids.
pub(super) fn within(events: Vec<Event>) -> Result<Vec<Event>, Unknown> {
    if events.iter().all(fits) { Ok(events) } else { Err(TOO_LONG) }
}

/// A key that no issue of Jira could have is left out; the id identifies the issue.
pub(super) fn with_readable_key(mut issue: Issue) -> Issue {
    if issue.key.as_ref().is_some_and(|key| key.len() > ID_MAX) {
        issue.key = None;
        issue.url = None;
    }
    issue
}

/// By nothing but what an event in brief has, too: both must be the same events.
fn fits(event: &Event) -> bool {
    // The id of a property is the issue's and the property's key.
    let most = if event.kind().entity() == "property" { 2 * ID_MAX } else { ID_MAX };
    let fits = |part: &str| part.len() <= most || percent_decode_str(part).count() <= most;
    event.id.as_str().split(':').all(fits) && event.issue_id().is_none_or(|id| id.len() <= ID_MAX)
}
