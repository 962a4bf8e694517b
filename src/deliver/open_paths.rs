//! Which paths of Jira cannot answer what a sink might not be cleared for, known by what is fixed in them.
//!
//! What a lookup answers is not guarded part by part, so that the list is short: people, names of a site, and what belongs to the event's own
//! issue, project, board or sprint, which the guard has let pass. A part that a text of the ticket may choose could name any issue.

/// Parts that may stand for a value.
enum Part {
    Is(&'static str),
    /// One of these members of the event.
    Own(&'static [&'static str]),
}

use Part::{Is, Own};

const OWN_ISSUE: &[&str] = &["{issue.id}", "{issue.key}", "{now.id}", "{now.key}", "{event.issue.id}", "{event.issue.key}"];
const OWN_PROJECT: &[&str] = &[
    "{project.id}",
    "{project.key}",
    "{issue.project.id}",
    "{issue.project.key}",
    "{event.project.id}",
    "{event.project.key}",
    "{event.issue.project.id}",
    "{event.issue.project.key}",
];
const PLATFORM: [&str; 2] = ["/rest/api/2/", "/rest/api/3/"];
const AGILE: &str = "/rest/agile/1.0/";

/// Behind `PLATFORM`, each with the names that its query may have.
const OPEN: [(&[Part], &[&str]); 8] = [
    (&[Is("issue"), Own(OWN_ISSUE), Is("watchers")], &[]),
    (&[Is("issue"), Own(OWN_ISSUE), Is("votes")], &[]),
    // Without a query, which could ask for the fields and what may stand in them.
    (&[Is("issue"), Own(OWN_ISSUE), Is("transitions")], &[]),
    (&[Is("project"), Own(OWN_PROJECT)], &[]),
    (&[Is("user")], &["accountId", "key", "username"]),
    (&[Is("field")], &[]),
    (&[Is("status")], &[]),
    (&[Is("priority")], &[]),
];
const OWN_BOARD: &[&str] = &["{board.id}", "{event.board.id}", "{sprint.board_id}", "{event.sprint.board_id}"];
const OWN_SPRINT: &[&str] = &["{sprint.id}", "{event.sprint.id}"];
/// Behind `AGILE`: another board or sprint may be of a private project.
const OPEN_AGILE: [(&[Part], &[&str]); 2] = [(&[Is("board"), Own(OWN_BOARD)], &[]), (&[Is("sprint"), Own(OWN_SPRINT)], &[])];

/// Of a path with the names of its values in braces, as in `/rest/api/3/issue/{issue.id}/watchers`.
pub(crate) fn is_open(outline: &str) -> bool {
    let (path, query) = outline.split_once('?').map_or((outline, None), |(path, query)| (path, Some(query)));
    let open: &[(&[Part], &[&str])] = if path.starts_with(AGILE) { &OPEN_AGILE } else { &OPEN };
    let mut begins = PLATFORM.into_iter().chain([AGILE]);
    let Some(rest) = begins.find_map(|begin| path.strip_prefix(begin)) else { return false };
    let parts: Vec<&str> = rest.split('/').collect();
    open.iter().any(|(pattern, names)| fits(pattern, &parts) && query.is_none_or(|query| asks_only(query, names)))
}

fn fits(pattern: &[Part], parts: &[&str]) -> bool {
    let one = |(wanted, part): (&Part, &&str)| match wanted {
        Is(name) => name == part,
        Own(names) => names.contains(part),
    };
    pattern.len() == parts.len() && pattern.iter().zip(parts).all(one)
}

fn asks_only(query: &str, names: &[&str]) -> bool {
    query.split('&').all(|pair| pair.split_once('=').is_some_and(|(name, _)| names.contains(&name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cannot_show_restricted_things_is_open() {
        for (outline, open) in [
            ("/rest/api/3/issue/{issue.id}/watchers", true),
            ("/rest/api/2/issue/{issue.key}/watchers", true),
            ("/rest/api/3/issue/{now.key}/votes", true),
            ("/rest/api/3/issue/{event.issue.id}/transitions", true),
            ("/rest/api/3/user?accountId={issue.assignee.id}", true),
            ("/rest/api/2/user?username={issue.assignee.id}", true),
            ("/rest/api/3/field", true),
            ("/rest/api/3/status", true),
            ("/rest/api/3/priority", true),
            ("/rest/api/3/project/{issue.project.key}", true),
            ("/rest/agile/1.0/board/{sprint.board_id}", true),
            ("/rest/agile/1.0/board/{event.board.id}", true),
            ("/rest/agile/1.0/sprint/{sprint.id}", true),
            // An issue that a text of the ticket or the author chose has not passed the guard.
            ("/rest/api/3/issue/{issue.summary}/watchers", false),
            ("/rest/api/3/issue/{issue.parent.id}/watchers", false),
            ("/rest/api/3/issue/{}/watchers", false),
            ("/rest/api/3/issue/OPS-1/watchers", false),
            ("/rest/api/3/project/{issue.custom.customfield_1}", false),
            ("/rest/api/3/project/SECRET", false),
            ("/rest/api/3/issue/{issue.id}", false),
            ("/rest/api/3/issue/{issue.id}/comment", false),
            ("/rest/api/3/issue/{issue.id}/comment/{comment.id}", false),
            ("/rest/api/3/issue/{issue.id}/watchers/{issue.id}", false),
            ("/rest/api/3/issue/{issue.id}/worklog", false),
            ("/rest/api/3/issue/{issue.id}/changelog", false),
            ("/rest/api/3/issue/{issue.id}/{issue.summary}", false),
            ("/rest/api/3/issue/{issue.id}/transitions?expand=transitions.fields", false),
            ("/rest/api/3/issue/{issue.id}/watchers?", false),
            ("/rest/api/3/{issue.summary}", false),
            ("/rest/api/3/search/jql?jql=project=DOCS", false),
            ("/rest/api/3/user?accountId={actor.id}&expand=groups", false),
            ("/rest/api/3/user?{actor.name}={actor.id}", false),
            ("/rest/api/3/user/search?query={actor.name}", false),
            ("/rest/api/3/project/{project.key}/role", false),
            ("/rest/api/3/project/{project.key}?expand=insight", false),
            ("/rest/api/3/myself", false),
            ("/rest/agile/1.0/board/4", false),
            ("/rest/agile/1.0/board/{issue.custom.customfield_1}", false),
            ("/rest/agile/1.0/sprint/{}", false),
            ("/rest/agile/1.0/board/4/issue", false),
            ("/rest/agile/1.0/sprint/4/issue", false),
            ("/rest/agile/1.0/board/", false),
            ("/rest/agile/1.0/field", false),
            ("/rest/agile/1.0/issue/{issue.id}/watchers", false),
            ("/rest/api/latest/field", false),
            ("/rest/servicedeskapi/request/{issue.id}", false),
        ] {
            assert_eq!(is_open(outline), open, "{outline}");
        }
    }
}
